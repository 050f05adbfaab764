"""Reading foreign JSON with messages that name the place: ``images[3].file_name``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError
from spml_annotate.formats.text import at, read_text, unreadable

Key = int | str


def read_json(path: Path) -> Any:  # noqa: ANN401  (whatever the file holds)
    """The content of a JSON file.

    Raises:
        DataError: if it is missing, not UTF-8 or not JSON; it names the line.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise at(path, error.lineno, f"this is not JSON ({error.msg}); the file may be cut off") from None
    except RecursionError:
        raise DataError(f"{path}: lists within lists without end; this is no file of labels") from None


def begins_as_json(path: Path) -> bool:
    """Whether a file begins with an object or a list, or with nothing at all.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise unreadable(path, error) from None
    return begins[:1] in (b"", b"[", b"{")


@dataclass(frozen=True)
class Place:
    """A JSON object and where it stands."""

    content: Mapping[str, Any]
    where: str

    def wrong(self, key: str, message: str) -> DataError:
        """An error about one of its values."""
        return DataError(f"{self.where}{'.' if self.where and key else ''}{key}: {message}")

    def objects(self, key: str, *, needed: bool = True) -> Iterator[Place]:
        """The objects in the list ``key``, one by one."""
        found = self.list_of(key, needed=needed)
        for number, item in enumerate(found):
            where = f"{self.where}{'.' if self.where else ''}{key}[{number}]"
            if not isinstance(item, dict):
                raise DataError(f"{where}: this is {_kind(item)}, not an object")
            yield Place(item, where)

    def list_of(self, key: str, *, needed: bool = False) -> list[Any]:
        """The list ``key``; empty if it is absent or null and not needed."""
        found = self.content.get(key)
        if found is None and not needed:
            return []
        if not isinstance(found, list):
            raise self.wrong(key, "the list is missing" if found is None else f"this is {_kind(found)}, not a list")
        return found

    def text(self, key: str) -> str | None:
        """The text ``key``, or None if it is absent or null."""
        found = self.content.get(key)
        if found is not None and not isinstance(found, str):
            raise self.wrong(key, f"this is {_kind(found)}, not text")
        return found

    def number(self, key: str) -> float | None:
        """The finite number ``key``, or None if it is absent or null."""
        found = self.content.get(key)
        if found is None:
            return None
        if not is_number(found):
            raise self.wrong(key, f"{str(found)[:40]!r} is not a number")
        return float(found)

    def key(self, key: str) -> Key:
        """The id ``key``: a whole number or text."""
        if key not in self.content:
            raise self.wrong(key, "it is missing")
        return as_key(self.content[key], self, key)


def is_number(value: object) -> bool:
    """Whether a value is a finite number of a size that files of labels have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def as_key(value: Any, place: Place, key: str) -> Key:  # noqa: ANN401  (whatever the file holds)
    """A whole number or text that other objects refer to; anything else is refused."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise place.wrong(key, f"this is {_kind(value)}, not an id")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
