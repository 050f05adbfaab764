"""What a CSV table is, told from its header and, where that leaves it open, from its cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from spml_annotate.formats.csv_codes import CODES
from spml_annotate.formats.csv_lists import ListTable, is_image, list_table, long_header
from spml_annotate.formats.text import Record, at, read_records
from spml_annotate.taxonomy import Taxonomy

_NAMELESS = re.compile(r"\s*(Unnamed: \d+(\.\d+)*)?\s*")
"""What pandas calls a column that had no name when it reads its own file again."""


def index_width(path: Path, header: Record) -> int:
    """How many leading columns are the index that pandas or R wrote, and not the image.

    In a table whose next columns are called image and label any whole numbers are; else they have to count the lines
    while the column after them does not hold codes, for then the numbers are what the images are called.

    Raises:
        DataError: if a column without a name stands before the image and is no index.
    """
    names = header.fields
    count = next((place for place, name in enumerate(names) if not _NAMELESS.fullmatch(name)), len(names))
    if not 0 < count < len(names) - 1:
        return 0
    rest = names[count:]
    sure = is_image(rest[0]) or long_header(rest) is not None or list_table(rest) is not None
    numbers, counts, codes = _leading(path, len(names), count)
    if sure and not numbers:
        raise at(path, header.line, "the first column has no name, and no numbers of lines in it; name it or remove it")
    return count if sure or (counts and not codes) else 0


def records_below(path: Path, width: int, index: int = 0) -> Iterator[Record]:
    """The records below the header, without an index; every one is as wide as the header.

    Raises:
        DataError: for one that is not; it names the line.
    """
    records = read_records(path)
    next(records, None)
    for line, fields in records:
        if len(fields) != width:
            raise at(path, line, f"{len(fields)} columns where the header has {width}; check the commas")
        yield Record(line, fields[index:])


def lists_of(path: Path, header: Record, index: int, taxonomy: Taxonomy | None) -> ListTable | None:
    """Where a table has one cell for all labels of an image; None if it has not.

    Columns beside the image and its labels are left out if a class list is given and none of them is a class. A column
    that is called as if it had numbers of classes, and has codes alone, is that of one class.
    """
    table = list_table(header.fields)
    if table is None:
        return None
    if table.further:
        known = taxonomy is not None and not any(name in taxonomy for name in header.fields)
        return table if known else None
    below = records_below(path, len(header.fields) + index, index)
    if table.numbers and all(record.fields[table.label].strip() in CODES for record in below):
        return None
    return table


def _leading(path: Path, width: int, count: int) -> tuple[bool, bool, bool]:
    """Whether the leading columns hold whole numbers, count the lines, and are followed by nothing but codes."""
    counts, codes = True, True
    start: int | None = None
    for place, (_, fields) in enumerate(records_below(path, width)):
        if not all(text.isascii() and text.isdecimal() for text in fields[:count]):
            return False, False, codes
        start = min(int(fields[0]), 2) if start is None else start
        counts = counts and start < 2 and fields[0] == str(start + place)
        codes = codes and fields[count].strip() in CODES
    return True, counts, codes
