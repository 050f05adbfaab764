"""Writes labels as CSV, one-hot or long, such that `load_csv` gives the same labels back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_lists import is_list, long_header
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import SPLIT_NAMES, check_ids
from spml_annotate.formats.text import check_text, csv_line, quoted
from spml_annotate.labels import CODES, UNKNOWN, Codes
from spml_annotate.progress import progress
from spml_annotate.stores.atomic import write_atomically

_BLOCK = 4096


def save_csv_onehot(
    path: str | Path, table: Dataset | LabelTable, *, pictures: Mapping[str, Path] | None = None
) -> None:
    """Write ``image,<one column per class>,split`` with 1, 0 and -1, one line per image.

    Raises:
        DataError: for class names that such a header cannot tell from its own columns; use `save_csv_long` then.
    """
    header = ["image", *table.taxonomy.names, "split"]
    if long_header(header) or is_list(header) or any(name.strip().lower() == "split" for name in table.taxonomy.names):
        raise DataError(
            f"{path}: a class is called like a column of the table ('split' or 'label'); save it as long CSV"
        )
    _check(table)

    texts = {code: str(code) for code in CODES}

    def write(file: BinaryIO) -> None:
        file.write(csv_line(header))
        for image, split, codes in _lines(table):
            cells = "".join([f"{texts[code]}," for code in codes.tolist()])
            file.write(f"{quoted(image)},{cells}{split}\n".encode())

    write_atomically(Path(path), write)


def save_csv_long(path: str | Path, table: Dataset | LabelTable, *, pictures: Mapping[str, Path] | None = None) -> None:
    """Write ``image,label,value,split``, one line per known cell, and one without a label for every other image.

    The order of the classes, and classes nobody has used, are in the class list: `formats.classes.save_classes`.
    """
    _check(table)
    names = [quoted(name) for name in table.taxonomy.names]

    def write(file: BinaryIO) -> None:
        file.write(csv_line(["image", "label", "value", "split"]))
        for name, split, codes in _lines(table):
            image = quoted(name)
            known = (codes != UNKNOWN).nonzero()[0]
            cells = zip(known.tolist(), codes[known].tolist(), strict=True)
            lines = [f"{image},{names[label]},{code},{split}\n" for label, code in cells]
            file.write("".join(lines or [f"{image},,,{split}\n"]).encode())

    write_atomically(Path(path), write)


def _lines(table: Dataset | LabelTable) -> Iterator[tuple[str, str, Codes]]:
    """(image, split, codes int8 [L]) of every image."""
    matrix = table.matrix() if isinstance(table, LabelTable) else table.labels
    for start in progress(range(0, len(table.image_ids), _BLOCK), what="writing labels"):
        rows = range(start, min(start + _BLOCK, len(table.image_ids)))
        for row, codes in zip(rows, matrix.dense(slice(rows.start, rows.stop)), strict=True):
            yield table.image_ids[row], SPLIT_NAMES[int(table.split[row])], codes


def _check(table: Dataset | LabelTable) -> None:
    check_ids(table.image_ids)
    for name in table.taxonomy.names:
        check_text(name, "class name")
