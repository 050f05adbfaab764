"""Writes labels as CSV, one-hot or long, such that `load_csv` gives the same labels back."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_long import LongReader
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.images import SPLIT_NAMES, check_ids
from spml_annotate.formats.text import check_text, csv_line, quoted
from spml_annotate.labels import UNKNOWN
from spml_annotate.stores.atomic import write_atomically

_BLOCK = 4096


def save_csv_onehot(path: str | Path, dataset: Dataset) -> None:
    """Write ``image,<one column per class>,split`` with 1, 0 and -1, one line per image.

    Raises:
        DataError: for class names that such a header cannot tell from its own columns; use `save_csv_long` then.
    """
    header = ["image", *dataset.taxonomy.names, "split"]
    if LongReader.fits(header) or any(name.strip().lower() == "split" for name in dataset.taxonomy.names):
        raise DataError(
            f"{path}: a class is called like a column of the table ('split' or 'label'); save it as long CSV"
        )
    _check(dataset)

    def write(file: BinaryIO) -> None:
        file.write(csv_line(header))
        for start in range(0, len(dataset), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(dataset)))
            for row, codes in zip(rows, dataset.labels.dense(slice(rows.start, rows.stop)).tolist(), strict=True):
                split = SPLIT_NAMES[int(dataset.split[row])]
                file.write(csv_line([dataset.image_ids[row], *map(str, codes), split]))

    write_atomically(Path(path), write)


def save_csv_long(path: str | Path, dataset: Dataset) -> None:
    """Write ``image,label,value,split``, one line per known cell, and one without a label for every other image.

    The order of the classes, and classes nobody has used, are in the class list: `formats.classes.save_classes`.
    """
    _check(dataset)
    names = [quoted(name) for name in dataset.taxonomy.names]

    def write(file: BinaryIO) -> None:
        file.write(csv_line(["image", "label", "value", "split"]))
        for start in range(0, len(dataset), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(dataset)))
            for row, codes in zip(rows, dataset.labels.dense(slice(rows.start, rows.stop)), strict=True):
                image, split = quoted(dataset.image_ids[row]), SPLIT_NAMES[int(dataset.split[row])]
                known = (codes != UNKNOWN).nonzero()[0]
                cells = zip(known.tolist(), codes[known].tolist(), strict=True)
                lines = [f"{image},{names[label]},{code},{split}\n" for label, code in cells]
                file.write("".join(lines or [f"{image},,,{split}\n"]).encode())

    write_atomically(Path(path), write)


def _check(dataset: Dataset) -> None:
    check_ids(dataset.image_ids)
    for name in dataset.taxonomy.names:
        check_text(name, "class name")
