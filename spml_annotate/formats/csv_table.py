"""Labels as CSV: a column per class (one-hot), a line per label (long), or a cell with all labels of an image (list).

Which of them is told by the header; names that others have for its columns, such as ``filename`` and ``tags``, will do.

A leading column without a name that counts the lines, as pandas writes it, is left out, and so are columns that are no
class if a class list is given and all of its classes have a column.

One-hot: the first column is the image; 1 positive, 0 negative, -1 or empty unknown; a column ``split`` is optional.
Long: ``image,label[,value][,split]`` in any order; value 1, 0 or -1, 1 where the column is absent; an empty label
states an image about which nothing is known. List: ``image,labels[,split]``; the cell ``cat|dog`` names positives, and
so does ``0 5`` if a class list is given that numbers count in from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.csv_blocks import is_large, read_blocks
from spml_annotate.formats.csv_kinds import index_width, lists_of, records_below
from spml_annotate.formats.csv_lists import long_header, one_by_one
from spml_annotate.formats.csv_long import LongReader
from spml_annotate.formats.csv_onehot import OneHotReader
from spml_annotate.formats.csv_write import save_csv_long, save_csv_onehot
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.folder import attach_pictures
from spml_annotate.formats.text import Record, read_records
from spml_annotate.labels import NEGATIVE, UNKNOWN, LabelMatrix
from spml_annotate.progress import progress
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_csv", "save_csv_long", "save_csv_onehot"]


_CAN = frozenset({"several", "negatives", "unknown", "splits"})


@FORMATS.register(
    "csv-onehot",
    loads="dataset",
    saves=save_csv_onehot,
    suffixes=(),
    is_folder=False,
    can=_CAN,
    notes="A column per class: 1 positive, 0 negative, -1 unknown.",
)
@FORMATS.register(
    "csv",
    loads="dataset",
    saves=save_csv_long,
    suffixes=(".csv",),
    is_folder=False,
    can=_CAN,
    notes="A line per label: value 1 positive, 0 negative; a cell without a line is unknown.",
)
def load_csv(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    complete: bool = False,
    separator: str = "",
) -> Dataset:
    """Labels from a CSV file: one-hot, long, or with a list of labels in one cell.

    Args:
        path: the file, UTF-8; backslashes in image names become ``/``.
        classes: the classes and their order; by default those of the file in the order in which they appear. Columns
            of other things are left out if every class has one.
        root: the folder that the image names are relative to; every image must be there. Without it the data set
            has no pictures.
        name: short name for tables and figures; the file's by default.
        complete: read what a file does not say as negative; right only for files that name every positive.
        separator: what stands between labels in one cell: a mark, or "space"; by default "|", ";" or "," if found.

    Raises:
        DataError: for a missing, empty or malformed file, an unknown class, a wrong code, an image named twice or
            missing from ``root``; it names the line.
    """
    path = Path(path)
    taxonomy = as_taxonomy(classes) if classes is not None else None
    dataset = _read(path, taxonomy, name or path.stem.removesuffix(".labels"), separator)
    if complete:
        codes = dataset.truth.copy()
        codes[codes == UNKNOWN] = NEGATIVE
        dataset = replace(dataset, labels=LabelMatrix.from_dense(codes))
    if root is None:
        return dataset
    try:
        return attach_pictures(dataset, root)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _read(path: Path, taxonomy: Taxonomy | None, name: str, separator: str) -> Dataset:
    whole = _header(path, read_records(path))
    index = index_width(path, whole)
    header = whole._replace(fields=whole.fields[index:])
    below = partial(records_below, path, len(whole.fields), index)
    table = lists_of(path, header, index, taxonomy)
    if table is not None:
        header, records = one_by_one(path, table, below, separator, taxonomy)
        return LongReader(path, header, taxonomy).read(progress(records, what=f"reading {path.name}"), name)
    words = long_header(header.fields)
    header = header if words is None else header._replace(fields=words)
    reader = LongReader if words is not None else OneHotReader
    if is_large(path):
        with suppress(DataError):  # unusual or wrong: record by record, it is read after all, or told with its line
            blocks = (block.without_first(index) for block in read_blocks(path, whole))
            return reader(path, header, taxonomy).read_blocks(blocks, name)
    return reader(path, header, taxonomy).read(progress(below(), what=f"reading {path.name}"), name)


def _header(path: Path, records: Iterator[Record]) -> Record:
    header = next(records, None)
    if header is None:
        raise DataError(f"{path}: the file is empty; it needs a header such as image,label")
    if len(header.fields) == 1:
        other = next((mark for mark in "|;\t" if mark in header.fields[0]), None)
        found = f"columns are separated by {other!r}" if other else "there is only one column"
        raise DataError(f"{path}, line {header.line}: {found}; separate columns by commas")
    return header
