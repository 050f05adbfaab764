"""One-hot CSV: one line per image, one column per class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_columns import ClassColumns, image_id, split_at
from spml_annotate.formats.dataset import TRAIN, Dataset
from spml_annotate.formats.text import Record, at
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

_CODES = {
    "1": POSITIVE,
    "0": NEGATIVE,
    "-1": UNKNOWN,
    "": UNKNOWN,
    "1.0": POSITIVE,
    "0.0": NEGATIVE,
    "-1.0": UNKNOWN,
}


class OneHotReader:
    """Reads a line at a time into one byte per cell.

    Args:
        path: for messages.
        header: the first record of the file.
        taxonomy: the classes, or None to take those of the file.
    """

    def __init__(self, path: Path, header: Record, taxonomy: Taxonomy | None) -> None:
        self._path, self._header = path, header.fields
        splits = [i for i, name in enumerate(header.fields) if i and name.strip().lower() == "split"]
        if len(splits) > 1:
            raise at(path, header.line, "two columns are called split; rename or remove one")
        self._split_at = splits[0] if splits else None
        self._class_at = [i for i in range(1, len(header.fields)) if i != self._split_at]
        self._columns, self._taxonomy = self._match(header, taxonomy)

    def _match(self, header: Record, taxonomy: Taxonomy | None) -> tuple[list[int], Taxonomy]:
        classes = ClassColumns(self._path, taxonomy)
        columns: dict[int, str] = {}
        for i in self._class_at:
            name = header.fields[i]
            column = classes.column(name, header.line)
            if column in columns:
                message = f"class {name!r} has two columns ({columns[column]!r} is the other); remove one"
                raise at(self._path, header.line, message)
            columns[column] = name
        return list(columns), classes.taxonomy()

    def read(self, records: Iterator[Record], name: str) -> Dataset:
        """The data set."""
        images: dict[str, int] = {}
        split = bytearray()
        codes = bytearray()
        for record in records:
            if len(record.fields) != len(self._header):
                message = f"{len(record.fields)} columns where the header has {len(self._header)}; check the commas"
                raise at(self._path, record.line, message)
            image = image_id(self._path, record.line, record.fields[0])
            if image in images:
                message = f"image {image!r} is on line {images[image]} already; keep one line per image"
                raise at(self._path, record.line, message)
            images[image] = record.line
            split.append(TRAIN if self._split_at is None else self._split(record))
            codes += self._codes(record).tobytes()
        if not images:
            raise DataError(f"{self._path}: there is a header but no image below it; add a line per image")
        return Dataset(
            name=name,
            taxonomy=self._taxonomy,
            image_ids=tuple(images),
            labels=LabelMatrix.from_dense(self._table(codes, len(images))),
            split=np.frombuffer(bytes(split), dtype=np.int8),
        )

    def _split(self, record: Record) -> int:
        assert self._split_at is not None
        return split_at(self._path, record.line, record.fields[self._split_at])

    def _codes(self, record: Record) -> Codes:
        try:
            return np.array([_CODES[record.fields[i].strip()] for i in self._class_at], dtype=np.int8)
        except KeyError:
            wrong = next(i for i in self._class_at if record.fields[i].strip() not in _CODES)
            text, name = record.fields[wrong], self._header[wrong]
            message = f"{text!r} in column {name!r} is not 1 (positive), 0 (negative), -1 or empty (unknown)"
            hint = "" if text.strip().lstrip("+-.").isdigit() else "; a table of one label per line starts image,label"
            raise at(self._path, record.line, message + hint) from None

    def _table(self, codes: bytearray, count: int) -> Codes:
        """Columns of the file → columns of the taxonomy; a class without a column is unknown everywhere."""
        table = np.full((count, len(self._taxonomy)), UNKNOWN, dtype=np.int8)
        table[:, self._columns] = np.frombuffer(codes, dtype=np.int8).reshape(count, len(self._columns))
        return table
