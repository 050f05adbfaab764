"""CSV tables with all labels of an image in one cell: ``filename,labels`` and ``a.jpg,cat|dog``, as on Kaggle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spml_annotate.errors import SettingError
from spml_annotate.formats.text import Record, at, read_records
from spml_annotate.formats.text_lists import printed_list

_IMAGE = frozenset(
    {"image", "images", "filename", "file_name", "file", "path", "filepath", "image_name", "image_id", "image_path"}
)
_ONE = frozenset({"label", "class", "category", "class_name", "label_name"})
_SEVERAL = frozenset({"labels", "tags", "classes", "categories"})
COLUMNS = frozenset({"image", "label", "value", "split"})
"""Of a table of one label per line."""
_MARKS = "|;,"
"""What separates labels, the surest first: a mark that comes later may be part of a name."""
_WORDS = {"space": " ", "comma": ",", "semicolon": ";", "pipe": "|", "tab": "\t"}


def long_header(header: Sequence[str]) -> list[str] | None:
    """The header of a table of one label per line in words of ours; None if it is no such header."""
    names = [name.strip().lower() for name in header]
    words = ["image" if name in _IMAGE else "label" if name in _ONE else name for name in names]
    return words if {"image", "label"} <= set(words) <= COLUMNS and len(set(words)) == len(words) else None


def is_list(header: Sequence[str]) -> bool:
    """Whether a table has one cell for all labels of an image, and nothing else but the split."""
    names = [name.strip().lower() for name in header]
    kinds = [name in _IMAGE for name in names], [name in _SEVERAL for name in names]
    return all(sum(kind) == 1 for kind in kinds) and sum(name == "split" for name in names) == len(names) - 2


def one_by_one(path: Path, header: Record, separator: str) -> tuple[Record, Iterator[Record]]:
    """The same table with one label per line: its header and its records.

    Args:
        path: the file.
        header: its header, as `is_list` takes it.
        separator: what stands between labels, or its name, such as "space"; "" to find out.

    Raises:
        DataError: if there is no telling what separates the labels. SettingError: for a separator of several marks.
    """
    names = [name.strip().lower() for name in header.fields]
    label_at = next(place for place, name in enumerate(names) if name in _SEVERAL)
    image_at = next(place for place, name in enumerate(names) if name in _IMAGE)
    split_at = names.index("split") if "split" in names else None
    mark = _WORDS.get(separator, separator)
    if len(mark) > 1:
        raise SettingError(f"separator={separator!r}: give one mark, or one of {', '.join(_WORDS)}")
    mark = mark or _found(path, label_at, len(names))
    order = [place for place in (image_at, split_at) if place is not None]
    fields = ["image", *(["split"] if split_at is not None else []), "label"]

    def records() -> Iterator[Record]:
        for line, given in _body(path, len(names)):
            for word in _labels(given[label_at], mark):
                yield Record(line, [*(given[place] for place in order), word])

    return Record(header.line, fields), records()


def _found(path: Path, label_at: int, width: int) -> str:
    """The mark that separates the labels of some image."""
    seen: set[str] = set()
    spaced: Record | None = None
    for record in _body(path, width):
        text = record.fields[label_at].strip()
        if printed_list(text) is None:
            seen.update(mark for mark in _MARKS if mark in text)
            spaced = record if spaced is None and " " in text else spaced
    mark = next((mark for mark in _MARKS if mark in seen), "")
    if not mark and spaced is not None:
        text = spaced.fields[label_at]
        raise at(path, spaced.line, f"{text!r}: one label or several? say which by --set csv.separator=pipe or =space")
    return mark


def _body(path: Path, width: int) -> Iterator[Record]:
    records = read_records(path)
    next(records)
    for record in records:
        if len(record.fields) != width:
            raise at(path, record.line, f"{len(record.fields)} columns where the header has {width}; check the commas")
        yield record


def _labels(text: str, mark: str) -> list[str]:
    """The labels in a cell; one empty one if there is none, which states the image."""
    listed = printed_list(text)
    if listed is not None:
        words = [str(word) for word in listed]
    else:
        words = [word.strip() for word in (text.split(mark) if mark else [text])]
    return [word for word in words if word] or [""]
