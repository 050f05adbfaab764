"""Text files as people really have them: UTF-8 with or without a byte order mark, CSV with quotes and line breaks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spml_annotate.errors import DataError

_QUOTED = re.compile(r'[,"\r\n]').search


class Record(NamedTuple):
    """One record of a CSV file and the line of the file it starts on, counted from 1."""

    line: int
    fields: list[str]


def unreadable(path: Path, error: OSError) -> DataError:
    """A DataError that says why a file cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: there is no such file; check the path")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path}: this is a folder, not a file; name a file in it")
    return DataError(f"{path}: cannot be read ({error.strerror or error}); check the path and the permissions")


def read_text(path: Path) -> str:
    """The whole file.

    Raises:
        DataError: if it is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def read_records(path: Path) -> Iterator[Record]:
    """The records of a CSV file one by one, header included, lines without content left out.

    Columns may be separated by semicolons or tabs, too; see `separator_of`.

    Raises:
        DataError: if the file is missing, not UTF-8, or not CSV; it names the line.
    """
    line = 1
    separator = separator_of(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, delimiter=separator)
            for fields in reader:
                if len(fields) > 1 or (fields and fields[0].strip()):
                    yield Record(line, fields)
                line = reader.line_num + 1
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except csv.Error as error:
        raise at(path, line, f"this is not CSV ({error}); check the quotes from here on") from None
    except OSError as error:
        raise unreadable(path, error) from None


def separator_of(path: Path) -> str:
    """What separates the columns of a CSV file: a comma, unless its header has none but semicolons or tabs.

    Spreadsheets write semicolons where the comma is the decimal mark. Reading says what is wrong with other files.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next((line for line in file if line.strip()), "")
    except OSError:
        return ","
    marks = [mark for mark in ";\t" if mark in header]
    return marks[0] if len(marks) == 1 and "," not in header else ","


def csv_line(fields: Iterable[str]) -> bytes:
    """One record as UTF-8 with a line feed; quotes where they are needed.

    The standard writer of Python 3.11 leaves a lone carriage return unquoted, which other readers take for a line end.
    """
    return (",".join(map(quoted, fields)) + "\n").encode()


def check_text(text: str, what: str) -> None:
    """Raise DataError for text that no file could give back as a name: empty, with a NUL, or not valid Unicode."""
    if not text:
        raise DataError(f"{what} is empty; give it a name")
    check_unicode(text, what)


def check_unicode(text: str, what: str) -> None:
    """Raise DataError for text with a NUL or with what is not valid Unicode (half a surrogate pair)."""
    if "\0" in text:
        raise DataError(f"{what} {text!r} contains a NUL character; rename it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{what} {text!r} is not valid Unicode; rename it") from None


def at(path: Path, line: int, message: str) -> DataError:
    """A DataError about a line of a file."""
    return DataError(f"{path}, line {line}: {message}")


def quoted(field: str) -> str:
    """A field of a CSV record, in quotes if it needs them."""
    if _QUOTED(field) or field != field.strip():
        return '"' + field.replace('"', '""') + '"'
    return field


def _not_utf8(path: Path) -> DataError:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return at(path, number, "this is not UTF-8 text; save the file with the encoding UTF-8")
    return DataError(f"{path}: this is not UTF-8 text; save the file with the encoding UTF-8")
