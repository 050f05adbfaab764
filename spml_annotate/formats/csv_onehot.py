"""One-hot CSV: one line per image, one column per class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_blocks import Block
from spml_annotate.formats.csv_codes import CODES
from spml_annotate.formats.csv_columns import ClassColumns, ImageNumbers, image_id
from spml_annotate.formats.dataset import TRAIN, Dataset
from spml_annotate.formats.images import split_code
from spml_annotate.formats.text import Record, at
from spml_annotate.labels import UNKNOWN, Codes, LabelMatrix
from spml_annotate.taxonomy import Taxonomy


class OneHotReader:
    """Reads a line at a time into one byte per cell.

    Args:
        path: for messages.
        header: the first record of the file.
        taxonomy: the classes, or None to take those of the file.
    """

    def __init__(self, path: Path, header: Record, taxonomy: Taxonomy | None) -> None:
        self._path, self._header = path, header.fields
        self._given, self._classes = taxonomy, ClassColumns(taxonomy)
        self._images: dict[str, int] = {}
        try:
            self._split_at = _split_column(header.fields)
            self._class_at = self._of_classes([i for i in range(1, len(header.fields)) if i != self._split_at])
            self._columns = self._match([header.fields[i] for i in self._class_at])
            self._taxonomy = self._classes.taxonomy()
        except DataError as error:
            raise at(path, header.line, str(error)) from None

    def _of_classes(self, places: Sequence[int]) -> list[int]:
        """Those columns that are classes: all, unless a class list is given and every class of it has a column."""
        if self._given is None:
            return list(places)
        known = [i for i in places if self._header[i] in self._given]
        found = {self._given.column(self._header[i]) for i in known}
        return known if len(found) == len(self._given) else list(places)

    def _match(self, names: Sequence[str]) -> list[int]:
        """Column in the taxonomy of each class column of the file."""
        found: dict[int, str] = {}
        for name in names:
            column = found.get(self._classes.columns[name])
            if column is not None:
                raise DataError(f"class {name!r} has two columns ({column!r} is the other); remove one")
            found[self._classes.columns[name]] = name
        return list(found)

    def read(self, records: Iterator[Record], name: str) -> Dataset:
        """The data set."""
        split, codes = bytearray(), bytearray()
        for record in records:
            try:
                split.append(self._image(record))
                codes += self._codes(record.fields).tobytes()
            except DataError as error:
                raise at(self._path, record.line, str(error)) from None
            except KeyError:
                raise self._wrong(record, records) from None
        if not self._images:
            raise DataError(f"{self._path}: there is a header but no image below it; add a line per image")
        return Dataset(
            name=name,
            taxonomy=self._taxonomy,
            image_ids=tuple(self._images),
            labels=LabelMatrix.from_dense(self._table(codes)),
            split=np.frombuffer(bytes(split), dtype=np.int8),
        )

    def read_blocks(self, blocks: Iterable[Block], name: str) -> Dataset:
        """The data set, if nothing is wrong with it.

        Raises:
            DataError: without a line; `read` says where.
        """
        images = ImageNumbers(cleaned=True)
        codes, lines = bytearray(), 0
        for block in blocks:
            images.add(block.words(0), None if self._split_at is None else block.words(self._split_at))
            part = np.empty((len(block), len(self._class_at)), dtype=np.int8)
            for place, column in enumerate(self._class_at):
                texts = block.words(column)
                if not all(text.strip() in CODES for text in texts.words):
                    raise DataError(f"{self._path}: a cell of {self._header[column]!r} is no code")
                meaning = np.array([CODES[text.strip()] for text in texts.words], dtype=np.int8)
                part[:, place] = meaning[texts.codes]
            codes += part.data
            lines += len(block)
        self._images = dict.fromkeys(images.ids(), 0)
        if not lines or lines != len(self._images):
            raise DataError(f"{self._path}: there is no image in it, or one twice")
        matrix = LabelMatrix.from_dense(self._table(codes))
        return Dataset(name, self._taxonomy, images.ids(), matrix, images.split())

    def _image(self, record: Record) -> int:
        """Note the image of a record; its split."""
        if len(record.fields) != len(self._header):
            raise DataError(f"{len(record.fields)} columns where the header has {len(self._header)}; check the commas")
        image = image_id(record.fields[0])
        if image in self._images:
            raise DataError(f"image {image!r} is on line {self._images[image]} already; keep one line per image")
        self._images[image] = record.line
        return TRAIN if self._split_at is None else split_code(record.fields[self._split_at])

    def _codes(self, fields: Sequence[str]) -> Codes:
        return np.array([CODES[fields[i].strip()] for i in self._class_at], dtype=np.int8)

    def _wrong(self, record: Record, further: Iterable[Record]) -> DataError:
        """An error about a cell that is no code; it names every column that has such cells, which may be no class."""
        wrong = next(i for i in self._class_at if record.fields[i].strip() not in CODES)
        text, name = record.fields[wrong], self._header[wrong]
        message = f"{text!r} in column {name!r} is not 1 (positive), 0 (negative), -1 or empty (unknown)"
        if any(word.strip().lower() == "label" for word in self._header):
            message += "; a table of one label per line has the columns image,label[,value][,split] and no others"
        elif self._given is None:
            odd = {wrong}
            with suppress(DataError):  # of a later line
                for one in chain([record], further):
                    odd.update(i for i in self._class_at if one.fields[i].strip() not in CODES)
            names = ", ".join(repr(self._header[i]) for i in sorted(odd))
            are = "are no classes, give those that are" if len(odd) > 1 else "is no class, give those that are"
            message += f"; if {names} {are} by --set csv.classes=FILE, and the other columns are left out"
        return at(self._path, record.line, message)

    def _table(self, codes: bytearray) -> Codes:
        """Columns of the file → columns of the taxonomy; a class without a column is unknown everywhere."""
        count = len(self._images)
        table = np.full((count, len(self._taxonomy)), UNKNOWN, dtype=np.int8)
        table[:, self._columns] = np.frombuffer(codes, dtype=np.int8).reshape(count, len(self._columns))
        return table


def _split_column(header: Sequence[str]) -> int | None:
    splits = [i for i, name in enumerate(header) if i and name.strip().lower() == "split"]
    if len(splits) > 1:
        raise DataError("two columns are called split; rename or remove one")
    return splits[0] if splits else None
