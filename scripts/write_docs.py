"""Write docs/commands.md, docs/losses.md and docs/formats.md from the program itself; with ``--check`` only compare."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import format_page
import loss_page

from spml_annotate.cli import main

DOCS = Path(__file__).resolve().parent.parent / "docs"


def commands(command: click.Command, path: tuple[str, ...] = ("spml-annotate",)) -> Iterator[tuple[str, str]]:
    """(full name, help text) of a command and all below it."""
    context = click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100)
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from commands(command.commands[name], (*path, name))


def command_page() -> str:
    """The page of all commands, with their help."""
    parts = ["# Commands\n\nWritten by `python scripts/write_docs.py` from the program itself.\n"]
    parts += [f"## `{name}`\n\n```text\n{text}\n```\n" for name, text in commands(main)]
    return "\n".join(parts)


PAGES = {"commands.md": command_page, "losses.md": loss_page.page, "formats.md": format_page.page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        path = DOCS / name
        if "--check" not in sys.argv:
            path.write_text(page(), "utf-8")
        elif not path.exists() or path.read_text("utf-8") != page():
            sys.exit(f"{path} is not current; run this script without --check")
