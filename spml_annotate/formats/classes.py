"""Class lists: a text file with one name per line, or a JSON list of names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats.text import at, check_text, read_text
from spml_annotate.stores.atomic import write_text
from spml_annotate.taxonomy import Taxonomy

Classes = Taxonomy | Sequence[str] | str | Path
"""A taxonomy, a list of names, or the path of a class list."""


def load_classes(path: str | Path) -> Taxonomy:
    """Class names in the order of the file: JSON if it ends in ``.json``, else one name per line.

    Spaces around a name and lines without content are dropped in text files; JSON keeps names as they are.

    Raises:
        DataError: if the file is missing, holds no names, or names a class twice.
    """
    path = Path(path)
    text = read_text(path)
    names = _from_json(path, text) if path.suffix.lower() == ".json" else _from_lines(path, text)
    if not names:
        raise DataError(f"{path}: the class list is empty; write one class name per line")
    try:
        for name in names:
            check_text(name, "class name")
        return Taxonomy(tuple(names))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def save_classes(path: str | Path, taxonomy: Taxonomy) -> None:
    """Write the names in order, as JSON if the path ends in ``.json``, else one per line.

    Raises:
        DataError: for names that a text file cannot hold (line breaks, outer spaces); use ``.json`` for them.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        write_text(path, json.dumps(list(taxonomy.names), ensure_ascii=False, indent=1) + "\n")
        return
    for name in taxonomy.names:
        if name.splitlines() != [name] or name != name.strip() or name.startswith("\ufeff"):
            raise DataError(f"{path}: class {name!r} does not fit on a line of text; save the list as .json")
    write_text(path, "".join(f"{name}\n" for name in taxonomy.names))


def as_taxonomy(classes: Classes) -> Taxonomy:
    """The taxonomy that ``classes`` stands for; a string or path is a file to read."""
    if isinstance(classes, Taxonomy):
        return classes
    if isinstance(classes, str | Path):
        return load_classes(classes)
    return Taxonomy(tuple(classes))


def _from_lines(path: Path, text: str) -> list[str]:
    first: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip()
        if not name:
            continue
        if name in first:
            raise at(path, number, f"class {name!r} is on line {first[name]} already; keep one")
        first[name] = number
    return list(first)


def _from_json(path: Path, text: str) -> list[str]:
    try:
        names = json.loads(text)
    except json.JSONDecodeError as error:
        raise at(path, error.lineno, f"this is not JSON ({error.msg}); write a list of names") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f'{path}: expected a JSON list of names such as ["cat", "dog"]')
    return names
