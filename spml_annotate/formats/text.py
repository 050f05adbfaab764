"""Text files as people really have them: UTF-8 with or without a byte order mark, CSV with quotes and line breaks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spml_annotate.errors import DataError

_STATED = re.compile(r'"?sep=([,;|\t]|\\t)"?[,;|\t]*\s*', re.IGNORECASE)
_IN_QUOTES = re.compile(r'"[^"]*"')
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_QUOTED = re.compile(r'[,"\r\n]').search


class Layout(NamedTuple):
    """What separates the columns of a CSV file, and whether its first line says so, which is no header then."""

    separator: str
    stated: bool


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

    Columns may be separated by semicolons or tabs, too; see `layout_of`.

    Raises:
        DataError: if the file is missing, not UTF-8, or not CSV; it names the line.
    """
    line = 1
    layout = layout_of(path)
    begins = layout.stated  # with a line that is no record
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, delimiter=layout.separator)
            for fields in reader:
                if len(fields) > 1 or (fields and fields[0].strip()):
                    if line == 1 and any("\0" in field for field in fields):
                        raise _not_utf8(path)
                    if not begins:
                        yield Record(line, fields)
                    begins = False
                line = reader.line_num + 1
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except csv.Error as error:
        if "field limit" in str(error):
            most = f"{csv.field_size_limit():,}"
            raise at(path, line, f"a cell has more than {most} characters; check the quotes, or save as JSON") from None
        raise at(path, line, f"this is not CSV ({error}); check the quotes from here on") from None
    except OSError as error:
        raise unreadable(path, error) from None


def layout_of(path: Path) -> Layout:
    """How the columns of a CSV file are separated: as its first line says, or by a comma.

    Spreadsheets write semicolons where the comma is the decimal mark, and take a first line ``sep=;`` for the mark.
    Where there is none, a header without commas may have semicolons or tabs. Reading says what is wrong with others.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next((line for line in file if line.strip()), "")
    except OSError:
        return Layout(",", False)
    if stated := _STATED.fullmatch(header):
        return Layout(stated[1].replace("\\t", "\t"), True)
    header = _IN_QUOTES.sub("", header)
    marks = [mark for mark in ";\t" if mark in header]
    return Layout(marks[0] if len(marks) == 1 and "," not in header else ",", False)


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
    """An error that says how to convert the file; what it is written in is not guessed beyond its first bytes."""
    what = "this is not UTF-8 text; save the file with the encoding UTF-8, or convert it"
    with path.open("rb") as file:
        begins = file.read(4096)
        file.seek(0)
        if begins.startswith(_UTF16) or b"\0" in begins:
            return at(path, 1, f"{what}: iconv -f UTF-16 -t UTF-8 {path.name} > NEW")
        how = f"{what}: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > NEW (or -f LATIN1, whichever it was saved as)"
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return at(path, number, how)
    return DataError(f"{path}: {how}")
