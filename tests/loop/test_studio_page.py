"""What docs/label-studio.md says: the tests that it names exist, and its commands and variables; all complaints."""

import ast
import re
import shlex
import tomllib

import click
import pytest

from spml_annotate.cli import main
from spml_annotate.studio import environment

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
COMPLAINT = re.compile(r"^\| (\d+)\. ", re.MULTILINE)


@pytest.fixture
def page(checkout):
    return (checkout / "docs" / "label-studio.md").read_text("utf-8")


def test_every_complaint_is_answered_with_a_test_that_exists(page, checkout):
    assert [int(number) for number in COMPLAINT.findall(page)] == list(range(1, 21))
    lines = [line for line in page.splitlines() if COMPLAINT.match(line)]
    for line in lines:
        assert "https://github.com/HumanSignal/" in line, line
        (found,) = NAMED.findall(line)
        tree = ast.parse((checkout / found[0]).read_text("utf-8"))
        assert found[1] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, line


def test_all_variables_of_the_backend_are_listed(page):
    for variable in environment._VARIABLES:
        for name in variable.names:
            assert f"`{name}`" in page, name


def test_commands_of_the_page_exist_with_their_options(page):
    shown = [
        shlex.split(line, comments=True)[1:]
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("spml-annotate ")
    ]
    assert len(shown) >= 8
    for words in shown:
        command, context = main, click.Context(main)
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
            context = click.Context(command, info_name=name, parent=context)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_links_of_the_page_exist(page, checkout):
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert target.startswith("https://") or (checkout / "docs" / target).exists(), target
    assert "backends/label_studio/" in page
    assert (checkout / "backends" / "label_studio" / "README.md").exists()


def test_doctor_s_names_are_explained_in_order(page):
    explained = re.findall(r"^\d+\. ((?:\*\*[\w ]+\*\*(?:, )?)+)", page, re.MULTILINE)
    names = [name for part in explained for name in re.findall(r"\*\*([\w ]+)\*\*", part)]
    order = "address token link config sampling proposals blocking connection health setup versions predict webhook"
    assert names == [*order.split(), "leftovers", "stored", "duplicates", "coverage", "images"]


def test_nothing_is_required_from_a_repository(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert not [one for one in wanted if "@" in one or "git+" in one]
    assert not [one for one in wanted if one.startswith(("label-studio-ml", "label-studio-sdk"))]
