"""``init``, ``images`` and ``classes``: what a project is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spml_annotate.cli.options import echo_json, json_option, verbosity
from spml_annotate.cli.projects import SPLITS, counted, open_project, project_option
from spml_annotate.errors import DataError

if TYPE_CHECKING:
    from spml_annotate.taxonomy import Taxonomy

SHOWN = 10
"""Names that are listed before the rest is only counted."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--classes",
    required=True,
    metavar="FILE|A,B,C",
    help="Class names: a text file with one per line, a JSON list, or names separated by commas.",
)
@click.option("--name", default="", help="Short name for tables and exports. [default: that of the folder]")
@json_option
@verbosity
def init(folder: Path, classes: str, name: str, as_json: bool) -> None:
    """Make a project in the folder DIR."""
    from spml_annotate.project import Project

    with Project.create(folder, _classes(classes), name=name) as project:
        count = len(project.taxonomy)
        _note_lookalikes(project.taxonomy.names)
        if as_json:
            echo_json({"folder": str(folder), "name": project.workspace.settings.name, "classes": count})
            return
        click.echo(f"made the project {project.workspace.settings.name} in {folder}: {counted(count, 'class')}")
        click.echo(f"next: spml-annotate images add FOLDER --project {folder}")


def _classes(text: str) -> Taxonomy:
    from spml_annotate.formats.classes import load_classes
    from spml_annotate.taxonomy import Taxonomy

    if Path(text).is_file():
        return load_classes(text)
    if not text.strip(" ,"):
        raise DataError("--classes is empty; give a file, or names separated by commas")
    if "," not in text:
        raise DataError(
            f"--classes {text!r}: there is no such file; give a file, or names separated by commas "
            f"(a single one: {text + ','!r})"
        )
    return Taxonomy(tuple(part.strip() for part in text.split(",") if part.strip()))


def _note_lookalikes(names: Sequence[str]) -> None:
    from spml_annotate.taxonomy import lookalikes

    for one, other in lookalikes(names):
        click.echo(
            f"note: {one!r} and {other!r} are two classes that look alike; if they are one, start again with it alone",
            err=True,
        )


@click.group()
def images() -> None:
    """Add images to a project, list them, or say where they lie now."""


@images.command("add")
@click.argument("sources", metavar="FOLDER|FILES", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="train",
    show_default=True,
    help="Part of the data that the images belong to; only train images are trained on and asked about.",
)
@click.option("--prefix", default="", metavar="NAME/", help="Put before every id, to keep equal file names apart.")
@project_option
@json_option
@verbosity
def add(sources: tuple[Path, ...], split: str, prefix: str, folder: Path, as_json: bool) -> None:
    """Add folders (all images below them) and single files.

    Images that cannot be read are named and flagged; exact copies are named and kept in one split.
    """
    with open_project(folder) as project:
        added = project.add_images(list(sources), split=SPLITS.index(split), prefix=prefix)
    if as_json:
        echo_json(asdict(added))
        return
    click.echo(f"{counted(added.new, 'image')} added, {added.known} were there already; the project has {added.images}")
    _some("exact copy", [f"{copy} = {first}" for copy, first in added.duplicates])
    if added.others:
        kinds = ", ".join(sorted({Path(name).suffix.lower() for name in added.others}))
        click.echo(
            f"{counted(len(added.others), 'picture')} of kinds that are not read ({kinds}) left out, such as "
            f"{added.others[0]}; convert them to JPEG or PNG"
        )
    _some("unreadable file", [f"{name}: {reason}" for name, reason in added.unreadable])


def _some(what: str, lines: list[str]) -> None:
    if lines:
        click.echo(f"{counted(len(lines), what)}:")
        for line in lines[:SHOWN]:
            click.echo(f"  {line}")
        if len(lines) > SHOWN:
            click.echo(f"  ... and {len(lines) - SHOWN} more (images list shows all)")


@images.command("list")
@click.option("--split", type=click.Choice(SPLITS), help="Only images of this split.")
@click.option("--unreadable", is_flag=True, help="Only images that cannot be read.")
@project_option
@json_option
@verbosity
def list_(split: str | None, unreadable: bool, folder: Path, as_json: bool) -> None:
    """List the images: id, split, number of known labels, and what is wrong with them."""
    with open_project(folder) as project:
        table, known = project.workspace.images, project.labels.known_per_row()
        errors, copies, ids = table.errors(), table.duplicates(), table.ids()
        found = [
            {
                "image": ids[row],
                "path": str(path),
                "split": SPLITS[code],
                "known": int(known[row]),
                "duplicate_of": ids[copies[row]] if row in copies else None,
                "error": errors.get(row),
            }
            for row, (path, code) in enumerate(zip(project.workspace.image_paths(), table.splits(), strict=True))
            if split in (None, SPLITS[code]) and (row in errors or not unreadable)
        ]
    if as_json:
        echo_json(found)
        return
    for image in found:
        note = image["error"] or (f"copy of {image['duplicate_of']}" if image["duplicate_of"] else "")
        click.echo(f"{image['image']}\t{image['split']}\t{image['known']}\t{note}".rstrip())


@images.command("move")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@project_option
@verbosity
def move(old: Path, new: Path, folder: Path) -> None:
    """Say that the images in the folder OLD lie in the folder NEW now."""
    with open_project(folder) as project:
        click.echo(f"now in {new}: {counted(project.move_images(old, new), 'image')}")


@click.group()
def classes() -> None:
    """Add classes to a project, rename them, or give them further spellings."""


@classes.command("add")
@click.argument("names", nargs=-1, required=True)
@project_option
@verbosity
def add_classes(names: tuple[str, ...], folder: Path) -> None:
    """Add classes after the present ones; everything known stays."""
    with open_project(folder) as project:
        project.add_classes(names)
        _note_lookalikes(project.taxonomy.names)
        click.echo(f"the project has {counted(len(project.taxonomy), 'class')} now; train again to teach the new ones")


@classes.command("rename")
@click.argument("old")
@click.argument("new")
@project_option
@verbosity
def rename(old: str, new: str, folder: Path) -> None:
    """Give the class OLD the name NEW; the old name stays as an alias."""
    with open_project(folder) as project:
        project.rename_class(old, new)
    click.echo(f"{old} is called {new} now")


@classes.command("alias")
@click.argument("name")
@click.argument("other")
@project_option
@verbosity
def alias(name: str, other: str, folder: Path) -> None:
    """Let OTHER mean the class NAME in files that are imported."""
    with open_project(folder) as project:
        project.alias_class(name, other)
    click.echo(f"{other} means {name} now")


@classes.command("list")
@project_option
@json_option
@verbosity
def list_classes(folder: Path, as_json: bool) -> None:
    """List the classes with their known positives and negatives."""
    from spml_annotate.labels import NEGATIVE, POSITIVE

    with open_project(folder) as project:
        names = project.taxonomy.names
        counts = [project.labels.count(code).tolist() for code in (POSITIVE, NEGATIVE)]
    if as_json:
        echo_json([{"name": n, "positive": p, "negative": q} for n, p, q in zip(names, *counts, strict=True)])
        return
    for number, (name, positive, negative) in enumerate(zip(names, *counts, strict=True), start=1):
        click.echo(f"{number}\t{name}\t{positive} yes\t{negative} no")
