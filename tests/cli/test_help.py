"""Every command says what it is for, and every option what it does."""

from collections.abc import Iterator

import click
import pytest

from spml_annotate.cli import main


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


ALL = [pytest.param(command, id=" ".join(path) or "spml-annotate") for path, command in commands(main)]


@pytest.mark.parametrize("command", ALL)
def test_everything_has_a_help_text(command):
    assert (command.help or "").strip()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert (parameter.help or "").strip(), parameter.name
            assert parameter.help.rstrip().endswith((".", "]", "]).", ")")), parameter.help


def test_all_verbs_are_there():
    verbs = "init images import-labels embed train propose ask answer evaluate export formats status undo losses doctor"
    assert set(verbs.split()) <= set(main.commands)
    assert {"add", "list"} <= set(main.commands["images"].commands)
    assert {"add", "rename", "alias"} <= set(main.commands["classes"].commands)


def test_the_verbs_of_python_have_the_same_names():
    from spml_annotate.project import Project

    for verb in ("import_labels", "embed", "train", "propose", "ask", "answer", "evaluate", "export", "status", "undo"):
        assert callable(getattr(Project, verb))
