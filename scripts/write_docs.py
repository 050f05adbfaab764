"""Write docs/commands.md, the help pages of all commands; with ``--check`` only compare."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from spml_annotate.cli import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"


def commands(command: click.Command, path: tuple[str, ...] = ("spml-annotate",)) -> Iterator[tuple[str, str]]:
    """(full name, help text) of a command and all below it."""
    context = click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100)
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from commands(command.commands[name], (*path, name))


def page() -> str:
    """The whole page."""
    parts = ["# Commands\n\nWritten by `python scripts/write_docs.py` from the program itself.\n"]
    parts += [f"## `{name}`\n\n```text\n{text}\n```\n" for name, text in commands(main)]
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text("utf-8") == page() else f"{PAGE} is not current; run this script without --check")
    PAGE.write_text(page(), "utf-8")
