"""What every test may use: the option ``--golden``, hypothesis profiles, shared fixtures."""

import importlib.util
import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is loaded

settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        metavar="FILE",
        type=Path,
        default=None,
        help="reference values to compare the losses with (default: the file beside the checkout, else the compact "
        "copy in tests/golden)",
    )


@pytest.fixture
def checkout() -> Path:
    """Top folder of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def loud_again():
    """A command run inside the tests with -q must not keep the next test quiet."""
    from spml_annotate.progress import set_quiet

    yield
    set_quiet(False)
    logging.getLogger("spml_annotate").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def label_studio():
    """A real Label Studio, started once; besides its owner (``.token``) it has the annotators in ``.annotators``."""
    if importlib.util.find_spec("label_studio") is None:
        pytest.skip("Label Studio is not installed: pip install 'spml-annotate[test]'")
    from spml_annotate.studio.launch import LocalLabelStudio

    with LocalLabelStudio() as server:
        server.annotators = dict(
            server.add_user(f"{name}@example.com", f"password of {name}") for name in ("ann", "ben")
        )
        yield server
