"""Long CSV: one label per line."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_blocks import Block, Words
from spml_annotate.formats.csv_codes import NUMBERS
from spml_annotate.formats.csv_columns import ClassColumns, ImageNumbers, ImageRows, image_id
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.text import Record, at
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, LabelMatrix, Rows
from spml_annotate.taxonomy import Taxonomy

_BLANK, _WRONG = 2, 3


def _plain(header: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in header]


class LongReader:
    """Reads records line by line into flat columns: 25 bytes per label, whatever the number of classes.

    Args:
        path: for messages.
        header: the first record of the file.
        taxonomy: the classes, or None to take those of the file.
    """

    def __init__(self, path: Path, header: Record, taxonomy: Taxonomy | None) -> None:
        names = _plain(header.fields)
        self._path, self._width = path, len(names)
        self._image_at, self._label_at = names.index("image"), names.index("label")
        self._value_at = names.index("value") if "value" in names else None
        self._split_at = names.index("split") if "split" in names else None
        self._classes = ClassColumns(taxonomy)
        self._images = ImageRows(image_id)
        self._rows, self._labels, self._lines = array("q"), array("q"), array("q")
        self._values = array("b")

    def read(self, records: Iterator[Record], name: str) -> Dataset:
        """The data set."""
        for line, fields in records:
            try:
                self._add(line, fields)
            except DataError as error:
                raise at(self._path, line, str(error)) from None
        ids = self._images.ids()
        if not ids:
            raise DataError(f"{self._path}: there is a header but no image below it; add a line per label")
        try:
            taxonomy = self._classes.taxonomy()
        except DataError as error:
            raise DataError(f"{self._path}: {error}") from None
        labels = self._matrix(len(ids), len(taxonomy))
        return Dataset(name=name, taxonomy=taxonomy, image_ids=ids, labels=labels, split=self._images.split())

    def _add(self, line: int, fields: list[str]) -> None:
        if len(fields) != self._width:
            raise DataError(f"{len(fields)} columns where the header has {self._width}; check the commas")
        row = self._images.add(fields[self._image_at], "train" if self._split_at is None else fields[self._split_at])
        name = fields[self._label_at]
        value = POSITIVE if self._value_at is None else self._value(fields[self._value_at], name)
        if name:
            self._rows.append(row)
            self._labels.append(self._classes.columns[name])
            self._values.append(value)
            self._lines.append(line)

    @staticmethod
    def _value(text: str, name: str) -> int:
        code = NUMBERS.get(text.strip())
        if not name:
            if text.strip() and code != UNKNOWN:
                raise DataError(f"there is a value {text!r} but no label; name the class")
            return UNKNOWN
        if code is None:
            raise DataError(f"value {text!r} is not 1 (positive), 0 (negative) or -1 (unknown)")
        return code

    def _matrix(self, images: int, classes: int) -> LabelMatrix:
        rows, labels = (np.frombuffer(column, dtype=np.int64) for column in (self._rows, self._labels))
        values = np.frombuffer(self._values, dtype=np.int8)
        keep, clash = _distinct(rows * classes + labels, values)
        if clash is not None:
            first, second = (self._lines[place] for place in clash)
            raise at(self._path, second, f"the same image and class have another value on line {first}; keep one")
        return LabelMatrix.from_cells(rows[keep], labels[keep], values[keep], (images, classes))

    def read_blocks(self, blocks: Iterable[Block], name: str) -> Dataset:
        """The data set, if nothing is wrong with it.

        Raises:
            DataError: without a line; `read` says where.
        """
        images = ImageNumbers(cleaned=True)
        parts: list[tuple[Rows, Rows, Codes]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8))]
        for block in blocks:
            rows = images.add(
                block.words(self._image_at), None if self._split_at is None else block.words(self._split_at)
            )
            labels = self._columns_of(block.words(self._label_at))
            given = None if self._value_at is None else block.words(self._value_at)
            values = _values_of(given, labels)
            parts.append((rows[labels >= 0], labels[labels >= 0], values[labels >= 0]))
        taxonomy, ids = self._classes.taxonomy(), images.ids()
        if not ids:
            raise DataError(f"{self._path}: there is no image in it")
        rows, labels, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        keep, clash = _distinct(rows * len(taxonomy) + labels, values)
        if clash is not None:
            raise DataError(f"{self._path}: a cell has two values")
        matrix = LabelMatrix.from_cells(rows[keep], labels[keep], values[keep], (len(ids), len(taxonomy)))
        return Dataset(name=name, taxonomy=taxonomy, image_ids=ids, labels=matrix, split=images.split())

    def _columns_of(self, names: Words) -> NDArray[np.int64]:
        """Column of each label, -1 where no class is named."""
        columns = [self._classes.columns[name] if name else -1 for name in names.words]
        return np.array(columns, dtype=np.int64)[names.codes]


def _values_of(given: Words | None, labels: NDArray[np.int64]) -> Codes:
    if given is None:
        return np.full(len(labels), POSITIVE, dtype=np.int8)
    meaning = [NUMBERS.get(word.strip(), _WRONG if word.strip() else _BLANK) for word in given.words]
    values = np.array(meaning, dtype=np.int8)[given.codes]
    named = labels >= 0
    if (
        not np.isin(values[named], (POSITIVE, NEGATIVE, UNKNOWN)).all()
        or not np.isin(values[~named], (UNKNOWN, _BLANK)).all()
    ):
        raise DataError("a value is not 1, 0 or -1, or has no label")
    return values


def _distinct(cells: NDArray[np.int64], values: Codes) -> tuple[NDArray[np.bool_], tuple[int, int] | None]:
    """Which lines to keep, and the places of the first two that contradict each other.

    Cells named once more with the same value are the same cell; with another value they are a mistake.
    """
    order = np.argsort(cells, kind="stable")
    again = np.flatnonzero(np.diff(cells[order]) == 0)
    clash = again[values[order[again]] != values[order[again + 1]]]
    keep = values != UNKNOWN
    keep[order[again + 1]] = False
    return keep, (int(order[clash[0]]), int(order[clash[0] + 1])) if clash.size else None
