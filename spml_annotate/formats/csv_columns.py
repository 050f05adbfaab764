"""What the readers of CSV tables share: images in order of appearance, and a class list that is given or grows.

Errors raised here say what is wrong; the reader, which knows the line, adds where.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_blocks import Words
from spml_annotate.formats.images import SPLIT_NAMES, clean_id, split_code
from spml_annotate.formats.text import check_text
from spml_annotate.taxonomy import Taxonomy

T = TypeVar("T")


class Memo(dict[str, T], Generic[T]):
    """Remembers what each text of a column means, so that millions of lines cost one look-up each."""

    def __init__(self, meaning: Callable[[str], T]) -> None:
        super().__init__()
        self._meaning = meaning

    def __missing__(self, text: str) -> T:
        value = self[text] = self._meaning(text)
        return value


class ClassColumns:
    """Column of each class name in a file, with a fixed taxonomy or in the order of appearance."""

    def __init__(self, taxonomy: Taxonomy | None) -> None:
        self._given = taxonomy
        self._found: list[str] = []
        self.columns = Memo(self._column)

    def _column(self, name: str) -> int:
        if self._given is not None:
            return self._given.column(name)
        check_text(name, "the class name")
        if name != name.strip():
            raise DataError(f"class {name!r} begins or ends with a space; remove it or give a class list")
        self._found.append(name)
        return len(self._found) - 1

    def taxonomy(self) -> Taxonomy:
        """The taxonomy that was given, or the classes found."""
        if self._given is not None:
            return self._given
        if not self._found:
            raise DataError("no class is named in the file; give a class list")
        return Taxonomy(tuple(self._found))


class ImageRows:
    """Row and split of each image in a table that may name an image on several lines.

    Args:
        meaning: image column → id.
    """

    def __init__(self, meaning: Callable[[str], str]) -> None:
        self._meaning = meaning
        self._ids: dict[str, int] = {}
        self._splits = array("b")
        self._rows = Memo(self._row)
        self._codes = Memo(split_code)

    def _row(self, text: str) -> int:
        return self._ids.setdefault(self._meaning(text), len(self._ids))

    def add(self, image: str, split: str) -> int:
        """Row of an image.

        Raises:
            DataError: if the image was in another split before.
        """
        row, code = self._rows[image], self._codes[split]
        if row == len(self._splits):
            self._splits.append(code)
        elif self._splits[row] != code:
            before, now = SPLIT_NAMES[self._splits[row]], SPLIT_NAMES[code]
            raise DataError(f"image {self.ids()[row]!r} is in {now} here and in {before} above; choose one")
        return row

    def ids(self) -> tuple[str, ...]:
        """All ids in the order of their rows."""
        return tuple(self._ids)

    def split(self) -> NDArray[np.int8]:
        """Split of every image, int8 [N]."""
        return np.array(self._splits, dtype=np.int8)


class ImageNumbers:
    """What `ImageRows` is, for whole columns.

    Args:
        cleaned: whether names are paths as people write them, or are taken as they stand.
    """

    def __init__(self, *, cleaned: bool) -> None:
        self._cleaned = cleaned
        self._ids: dict[str, int] = {}
        self._splits: list[NDArray[np.int8]] = []
        self._codes = Memo(split_code)

    def add(self, images: Words, splits: Words | None) -> NDArray[np.int64]:
        """Row of each image, int64 [R]; without splits, all are in train.

        Raises:
            DataError: if a name is empty, or an image is in another split than before.
        """
        names, ids = images.words, self._ids
        if not all(names):
            raise DataError("an image name is empty")
        if self._cleaned and ("\\" in (joined := "\n".join(names)) or "./" in joined):
            names = [image_id(name) for name in names]
        before = len(ids)
        rows = np.array([ids.setdefault(name, len(ids)) for name in names], dtype=np.int64)[images.codes]
        given: NDArray[np.int8]
        if splits is None:
            given = np.full(len(rows), split_code("train"), dtype=np.int8)
        else:
            given = np.array([self._codes[word] for word in splits.words], dtype=np.int8)[splits.codes]
        fresh, first = np.unique(rows[rows >= before], return_index=True)
        self._splits.append(given[rows >= before][first])
        if len(fresh) != len(ids) - before or (self.split()[rows] != given).any():
            raise DataError("an image is in two splits")
        return rows

    def ids(self) -> tuple[str, ...]:
        """All ids in the order of their rows."""
        return tuple(self._ids)

    def split(self) -> NDArray[np.int8]:
        """Split of every image, int8 [N]."""
        self._splits = [np.concatenate(self._splits)] if self._splits else [np.zeros(0, dtype=np.int8)]
        return self._splits[0]


def image_id(text: str) -> str:
    """The id in an image column.

    Raises:
        DataError: if it is empty or not text.
    """
    name = clean_id(text)
    check_text(name, "the image name")
    return name
