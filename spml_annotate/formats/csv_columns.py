"""What the two kinds of CSV tables share: images in order of appearance, and a class list that is given or grows."""

from __future__ import annotations

from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats.images import clean_id, split_code
from spml_annotate.formats.text import at, check_text
from spml_annotate.taxonomy import Taxonomy


class ClassColumns:
    """Column of each class name in a file, with a fixed taxonomy or in the order of appearance."""

    def __init__(self, path: Path, taxonomy: Taxonomy | None) -> None:
        self._path, self._given = path, taxonomy
        self._columns: dict[str, int] = {}

    def column(self, name: str, line: int) -> int:
        """Column of a class; a new name gets the next column unless the taxonomy was given."""
        known = self._columns.get(name)
        if known is None:
            known = self._columns[name] = self._new(name, line)
        return known

    def _new(self, name: str, line: int) -> int:
        try:
            if self._given is not None:
                return self._given.column(name)
            check_text(name, "the class name")
        except DataError as error:
            raise at(self._path, line, str(error)) from None
        if name != name.strip():
            raise at(self._path, line, f"class {name!r} begins or ends with a space; remove it or give a class list")
        return len(self._columns)

    def taxonomy(self) -> Taxonomy:
        """The taxonomy that was given, or the classes found."""
        if self._given is not None:
            return self._given
        if not self._columns:
            raise DataError(f"{self._path}: no class is named in the file; give a class list")
        return Taxonomy(tuple(self._columns))


def image_id(path: Path, line: int, text: str) -> str:
    """The id in an image column.

    Raises:
        DataError: if it is empty or not text.
    """
    name = clean_id(text)
    try:
        check_text(name, "the image name")
    except DataError as error:
        raise at(path, line, str(error)) from None
    return name


def split_at(path: Path, line: int, text: str) -> int:
    """The split in a split column."""
    try:
        return split_code(text)
    except DataError as error:
        raise at(path, line, str(error)) from None
