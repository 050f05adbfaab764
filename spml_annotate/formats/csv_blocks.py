"""Large CSV files in blocks of columns, as fast as they can be split: for tables of millions of lines.

Only files that are certainly understood as the reader of records would understand them are read in this way. Whatever
is unusual raises DataError without a line, and the caller reads the file again record by record: that either reads it,
or says what is wrong and where.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.text import Layout, Record, layout_of, unreadable
from spml_annotate.progress import progress

if TYPE_CHECKING:
    import pyarrow

LARGE = 1 << 20
"""Bytes from which on a file is worth the start-up of the block reader."""
_BLOCK = 1 << 24
_NEWLINE, _QUOTE, _DOUBLED = b'\n"\0'
_MARK = "\ufeff".encode()


class Words(NamedTuple):
    """A column of R texts: the distinct ones in order of appearance, and which of them each line has, int64 [R]."""

    words: list[str]
    codes: NDArray[np.int64]


class Block:
    """Some lines of a file, column by column."""

    def __init__(self, table: pyarrow.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def without_first(self, count: int) -> Block:
        """The same lines without their first columns."""
        return Block(self._table.select(range(count, self._table.num_columns))) if count else self

    def words(self, column: int) -> Words:
        """A column as texts, as they stand in the file."""
        found = self._table[column].unify_dictionaries().combine_chunks()
        texts = found.dictionary.to_numpy(zero_copy_only=False).tolist()  # several times as fast as to_pylist
        return Words(texts, found.indices.to_numpy().astype(np.int64))

    def numbers(self, column: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """A column as numbers [R], and where it is empty; there the number is NaN."""
        found = self._table[column]
        empty = found.is_null().to_numpy()
        return np.asarray(found.fill_null(np.nan).to_numpy(), dtype=np.float64), np.asarray(empty, dtype=np.bool_)


def is_large(path: Path) -> bool:
    """Whether a file is worth reading in blocks."""
    return path.is_file() and path.stat().st_size >= LARGE


def read_blocks(path: Path, header: Record, numbers: Collection[int] = ()) -> Iterator[Block]:
    """Everything below the header.

    Args:
        path: the file.
        header: its first record.
        numbers: columns of numbers; the others are texts.

    Raises:
        DataError: if the file is missing, or anything in it is unusual.
    """
    layout = layout_of(path)
    total = -(-path.stat().st_size // _BLOCK)
    try:
        with path.open("rb") as file:
            _skip(file, path, header, layout)
            for lines in progress(_cut(file, path), total=total, what=f"reading {path.name}"):
                block = _parsed(lines, len(header.fields), numbers, path, layout.separator)
                if len(block):
                    yield block
    except OSError as error:
        raise unreadable(path, error) from None


def _skip(file: BinaryIO, path: Path, header: Record, layout: Layout) -> None:
    first = file.readline().removeprefix(_MARK)
    first = file.readline() if layout.stated else first
    try:
        fields = next(csv.reader([first.decode()], delimiter=layout.separator), [])
    except (UnicodeDecodeError, csv.Error):
        fields = []
    if fields != header.fields:
        raise _unusual(path, "its header is not one line")


def _cut(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Parts of a file that end with a record."""
    rest = b""
    while part := file.read(_BLOCK):
        rest += part
        end = rest.rfind(b"\n") + 1
        if rest.count(b'"', 0, end) % 2:  # within quotes: go back to the line in which they open
            end = rest.rfind(b"\n", 0, rest.rfind(b'"', 0, end)) + 1
        if not end and len(rest) > 2 * _BLOCK:
            raise _unusual(path, "a record is very long")
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _parsed(lines: bytes, width: int, numbers: Collection[int], path: Path, separator: str) -> Block:
    import pyarrow as pa

    arrow_csv: Any = import_module("pyarrow.csv")  # its names are not exported in the eyes of a type checker
    quotes = b'"' in lines
    if b"\r" in lines and not quotes:
        lines = lines.replace(b"\r\n", b"\n")
    if b"\r" in lines or b"\0" in lines or lines.startswith(_MARK) or (quotes and not _sound(lines, ord(separator))):
        raise _unusual(path, "its quotes or line ends are unusual")
    names = [str(place) for place in range(width)]
    kinds = [pa.float64() if place in numbers else pa.dictionary(pa.int32(), pa.string()) for place in range(width)]
    try:
        table = arrow_csv.read_csv(
            pa.py_buffer(lines),
            read_options=arrow_csv.ReadOptions(column_names=names),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=quotes),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict(zip(names, kinds, strict=True)), null_values=[""], strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        if not lines.strip(b"\n"):
            return Block(pa.table([pa.array([], kind) for kind in kinds], names=names))
        raise _unusual(path, str(error).splitlines()[0]) from None
    return Block(table)


def _sound(lines: bytes, separator: int) -> bool:
    """Whether every quote opens or closes a whole field, or is one of two in the middle of one."""
    marked = np.frombuffer(b"\n" + lines.replace(b'""', b"\0\0") + b"\n", dtype=np.uint8)
    quotes, doubled = np.flatnonzero(marked == _QUOTE), np.flatnonzero(marked == _DOUBLED)
    bare = doubled[np.searchsorted(quotes, doubled) % 2 == 0]  # an empty field in quotes, if all is well
    if len(quotes) % 2:
        return False
    ends = (_NEWLINE, separator)
    before = np.concatenate((quotes[::2], bare[::2])) - 1
    after = np.concatenate((quotes[1::2], bare[1::2])) + 1
    return bool(np.isin(marked[before], ends).all() and np.isin(marked[after], ends).all())


def _unusual(path: Path, why: str) -> DataError:
    return DataError(f"{path}: it cannot be read in blocks ({why}); read it record by record")
