"""One world for all tests of the command line."""

import pytest
from project_world import World, embedded_copy, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def project(world, tmp_path):
    """Images, one positive each, and made-up features; no model."""
    with embedded_copy(world, tmp_path / "project") as made:
        yield made
