"""File names for exported pictures that every program can read, whatever the image ids are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from spml_annotate.formats.images import IMAGE_SUFFIXES

_ODD = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\\:*?"<>|#%\[\]{}!]')
_SPLIT_WORD = re.compile(
    r"(?i)(^|[-._ 0-9/])(train(ing)?|validation|valid|val|dev|test(ing)?|eval(uation)?)([-._ 0-9/]|$)"
)
"""Some readers take such a word anywhere in a path for the split of the picture."""
_MOST_BYTES, _MOST_BYTES_OF_A_PART = 800, 200


def file_names(ids: Sequence[str], files: Sequence[Path], *, split_words: bool = False) -> list[str]:
    """A relative path with ``/`` for every image: its id if that will do, else ``images/<number>`` with the suffix.

    Args:
        ids: N image ids.
        files: the picture of each.
        split_words: whether words such as "train" will do, for readers that do not take them for the split.
    """
    taken: set[str] = set()
    folders: set[str] = set()
    found = []
    for row, (name, file) in enumerate(zip(ids, files, strict=True)):
        plain = _plain(name)
        above = _above(plain)
        if not _fits(name, split_words) or plain in taken or plain in folders or any(part in taken for part in above):
            found.append(_numbered(row, file))
            continue
        taken.add(plain)
        folders.update(above)
        found.append(name)
    return found


def suffix_of(file: Path) -> str:
    """The suffix of a picture in lower case; ".jpg" for one that has none of an image."""
    suffix = file.suffix.lower()
    return suffix if suffix in IMAGE_SUFFIXES else ".jpg"


def _numbered(row: int, file: Path) -> str:
    return f"images/{row:08d}{suffix_of(file)}"


def _fits(name: str, split_words: bool) -> bool:
    parts = name.split("/")
    if any(
        not part or part[0] in "._ " or part[-1] in ". " or len(part.encode()) > _MOST_BYTES_OF_A_PART for part in parts
    ):
        return False
    if (
        _ODD.search(name)
        or (not split_words and _SPLIT_WORD.search(name))
        or re.match(r"images/\d+\.", name, re.IGNORECASE)
    ):
        return False
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and len(name.encode()) <= _MOST_BYTES


def _plain(name: str) -> str:
    """The same for names that a file system may take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _above(plain: str) -> list[str]:
    parts = plain.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
