"""Long CSV: one label per line."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spml_annotate.formats.csv_columns import ClassColumns, image_id, split_at
from spml_annotate.formats.dataset import TRAIN, Dataset
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.formats.text import Record, at
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

_REQUIRED = frozenset({"image", "label"})
_COLUMNS = _REQUIRED | {"value", "split"}
_CODES = {"1": POSITIVE, "0": NEGATIVE, "-1": UNKNOWN, "1.0": POSITIVE, "0.0": NEGATIVE, "-1.0": UNKNOWN}


def _plain(header: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in header]


class LongReader:
    """Reads records line by line into flat columns: 32 bytes per label, whatever the number of classes.

    Args:
        path: for messages.
        header: the first record of the file.
        taxonomy: the classes, or None to take those of the file.
    """

    def __init__(self, path: Path, header: Record, taxonomy: Taxonomy | None) -> None:
        names = _plain(header.fields)
        self._path, self._width = path, len(names)
        self._at = {name: names.index(name) for name in names}
        self._classes = ClassColumns(path, taxonomy)
        self._images: dict[str, int] = {}
        self._split = array("b")
        self._rows, self._labels, self._lines = array("q"), array("q"), array("q")
        self._values = array("b")

    @staticmethod
    def fits(header: Sequence[str]) -> bool:
        """Whether this is the header of a long table."""
        names = _plain(header)
        return _REQUIRED <= set(names) <= _COLUMNS and len(set(names)) == len(names)

    def read(self, records: Iterator[Record], name: str) -> Dataset:
        """The data set."""
        for record in records:
            self._add(record)
        if not self._images:
            raise at(self._path, 1, "there is a header but no image below it; add a line per label")
        taxonomy = self._classes.taxonomy()
        return Dataset(
            name=name,
            taxonomy=taxonomy,
            image_ids=tuple(self._images),
            labels=self._matrix(len(taxonomy)),
            split=np.array(self._split, dtype=np.int8),
        )

    def _add(self, record: Record) -> None:
        line, fields = record
        if len(fields) != self._width:
            raise at(self._path, line, f"{len(fields)} columns where the header has {self._width}; check the commas")
        row = self._row(line, fields)
        name = fields[self._at["label"]]
        value = self._value(line, fields, name)
        if name:
            self._rows.append(row)
            self._labels.append(self._classes.column(name, line))
            self._values.append(value)
            self._lines.append(line)

    def _row(self, line: int, fields: list[str]) -> int:
        name = image_id(self._path, line, fields[self._at["image"]])
        split = split_at(self._path, line, fields[self._at["split"]]) if "split" in self._at else TRAIN
        row = self._images.setdefault(name, len(self._images))
        if row == len(self._split):
            self._split.append(split)
        elif self._split[row] != split:
            before, now = SPLIT_NAMES[self._split[row]], SPLIT_NAMES[split]
            raise at(self._path, line, f"image {name!r} is in {now} here and in {before} above; choose one")
        return row

    def _value(self, line: int, fields: list[str], name: str) -> int:
        if "value" not in self._at:
            return POSITIVE
        text = fields[self._at["value"]].strip()
        if not name:
            if text and _CODES.get(text) != UNKNOWN:
                raise at(self._path, line, f"there is a value {text!r} but no label; name the class")
            return UNKNOWN
        if text not in _CODES:
            raise at(self._path, line, f"value {text!r} is not 1 (positive), 0 (negative) or -1 (unknown)")
        return _CODES[text]

    def _matrix(self, classes: int) -> LabelMatrix:
        """Cells named once more with the same value are the same cell; with another value they are a mistake."""
        rows, labels, lines = (np.array(column, dtype=np.int64) for column in (self._rows, self._labels, self._lines))
        values = np.array(self._values, dtype=np.int8)
        cells = rows * classes + labels
        order = np.argsort(cells, kind="stable")
        again = np.flatnonzero(np.diff(cells[order]) == 0)
        clash = again[values[order[again]] != values[order[again + 1]]]
        if clash.size:
            first, second = (int(lines[order[i]]) for i in (clash[0], clash[0] + 1))
            raise at(self._path, second, f"the same image and class have another value on line {first}; keep one")
        keep = np.ones(len(cells), dtype=np.bool_)
        keep[order[again + 1]] = False
        keep &= values != UNKNOWN
        return LabelMatrix.from_cells(rows[keep], labels[keep], values[keep], (len(self._images), classes))
