"""Long CSV: one label per line."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_columns import ClassColumns, ImageRows, image_id
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.text import Record, at
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

_REQUIRED = frozenset({"image", "label"})
_COLUMNS = _REQUIRED | {"value", "split"}
_CODES = {"1": POSITIVE, "0": NEGATIVE, "-1": UNKNOWN, "1.0": POSITIVE, "0.0": NEGATIVE, "-1.0": UNKNOWN}


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

    @staticmethod
    def fits(header: Sequence[str]) -> bool:
        """Whether this is the header of a long table."""
        names = _plain(header)
        return _REQUIRED <= set(names) <= _COLUMNS and len(set(names)) == len(names)

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
        code = _CODES.get(text.strip())
        if not name:
            if text.strip() and code != UNKNOWN:
                raise DataError(f"there is a value {text!r} but no label; name the class")
            return UNKNOWN
        if code is None:
            raise DataError(f"value {text!r} is not 1 (positive), 0 (negative) or -1 (unknown)")
        return code

    def _matrix(self, images: int, classes: int) -> LabelMatrix:
        """Cells named once more with the same value are the same cell; with another value they are a mistake."""
        rows, labels = (np.frombuffer(column, dtype=np.int64) for column in (self._rows, self._labels))
        values = np.frombuffer(self._values, dtype=np.int8)
        cells = rows * classes + labels
        order = np.argsort(cells, kind="stable")
        again = np.flatnonzero(np.diff(cells[order]) == 0)
        clash = again[values[order[again]] != values[order[again + 1]]]
        if clash.size:
            first, second = (self._lines[order[i]] for i in (clash[0], clash[0] + 1))
            raise at(self._path, second, f"the same image and class have another value on line {first}; keep one")
        keep = values != UNKNOWN
        keep[order[again + 1]] = False
        return LabelMatrix.from_cells(rows[keep], labels[keep], values[keep], (images, classes))
