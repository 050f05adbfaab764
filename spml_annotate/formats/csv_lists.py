"""CSV tables with all labels of an image in one cell: ``filename,labels`` and ``a.jpg,cat|dog``, as on Kaggle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.text import Record, at
from spml_annotate.formats.text_lists import printed_list
from spml_annotate.taxonomy import Taxonomy

_IMAGE = frozenset(
    {
        "image", "images", "filename", "file_name", "file", "path", "filepath", "image_name", "image_id", "image_path",
        "image_index",
    }
)  # fmt: skip
_ID = "id"
"""An image in a table of lists; before a single label it may be that of anything."""
_ONE = frozenset({"label", "class", "category", "class_name", "label_name"})
_SEVERAL = frozenset({"labels", "tags", "classes", "categories", "finding_labels"})
_NUMBERS = frozenset({"target", "targets", "attribute_ids", "label_ids", "class_ids"})
"""What columns with the numbers of classes are called, and with the code of a single one."""
COLUMNS = frozenset({"image", "label", "value", "split"})
"""Of a table of one label per line."""
_MARKS = "|;,"
"""What separates labels, the surest first: a mark that comes later may be part of a name."""
_WORDS = {"space": " ", "comma": ",", "semicolon": ";", "pipe": "|", "tab": "\t"}


class ListTable(NamedTuple):
    """Places of the columns of a table of lists; ``further`` are the names of those that are none of them.

    ``numbers`` says that the column of the labels is called as those of class numbers are.
    """

    image: int
    label: int
    split: int | None
    further: tuple[str, ...]
    numbers: bool


def is_image(name: str) -> bool:
    """Whether a column is called as those of images are."""
    return _plain(name) in _IMAGE or _plain(name) == _ID


def long_header(header: Sequence[str]) -> list[str] | None:
    """The header of a table of one label per line in words of ours; None if it is no such header."""
    names = [_plain(name) for name in header]
    words = ["image" if name in _IMAGE else "label" if name in _ONE else name for name in names]
    return words if {"image", "label"} <= set(words) <= COLUMNS and len(set(words)) == len(words) else None


def list_table(header: Sequence[str]) -> ListTable | None:
    """Where a header has an image and one cell for all of its labels; None if it has not, or more than one."""
    names = [_plain(name) for name in header]
    images = [place for place, name in enumerate(names) if is_image(name)]
    splits = [place for place, name in enumerate(names) if name == "split"]
    several = [place for place, name in enumerate(names) if name in _SEVERAL]
    labels = several or [place for place, name in enumerate(names) if name in _NUMBERS]
    if len(images) != 1 or len(labels) != 1 or len(splits) > 1:
        return None
    used = {*images, *labels, *splits}
    further = tuple(name for place, name in enumerate(header) if place not in used)
    return ListTable(images[0], labels[0], splits[0] if splits else None, further, not several)


def is_list(header: Sequence[str]) -> bool:
    """Whether a header alone says that a table has one cell for all labels of an image, and nothing else."""
    table = list_table(header)
    return table is not None and not table.further and not table.numbers


def one_by_one(
    path: Path, table: ListTable, body: Callable[[], Iterator[Record]], separator: str, taxonomy: Taxonomy | None
) -> tuple[Record, Iterator[Record]]:
    """The same table with one label per line: its header and its records.

    Args:
        path: the file, for messages.
        table: where its columns are.
        body: gives its records below the header.
        separator: what stands between labels, or its name, such as "space"; "" to find out.
        taxonomy: the class list, if there is one; numbers that it does not have as names count in it from 0.

    Raises:
        DataError: if there is no telling what separates the labels, or for numbers without a class list.
        SettingError: for a separator of several marks.
    """
    mark = _WORDS.get(separator, separator)
    if len(mark) > 1:
        raise SettingError(f"separator={separator!r}: give one mark, or one of {', '.join(_WORDS)}")
    mark = mark or _found(path, table, body(), numbered=taxonomy is not None)
    order = [place for place in (table.image, table.split) if place is not None]
    fields = ["image", *(["split"] if table.split is not None else []), "label"]

    def records() -> Iterator[Record]:
        for line, given in body():
            for word in _labels(given[table.label], mark):
                try:
                    name = word if taxonomy is None else _name_of(word, taxonomy)
                except DataError as error:
                    raise at(path, line, str(error)) from None
                yield Record(line, [*(given[place] for place in order), name])

    return Record(1, fields), records()


def _found(path: Path, table: ListTable, body: Iterator[Record], *, numbered: bool) -> str:
    """The mark that separates the labels of some image."""
    seen: set[str] = set()
    spaced: Record | None = None
    first: Record | None = None
    numbers = True
    for record in body:
        text = record.fields[table.label].strip()
        if not text:
            continue
        numbers = numbers and all(part.isascii() and part.isdecimal() for part in text.split())
        first = first or record
        if printed_list(text) is None:
            seen.update(mark for mark in _MARKS if mark in text)
            spaced = spaced or (record if " " in text else None)
    example = spaced or (first if table.numbers else None)
    if numbers and example is not None:
        if numbered:
            return " "
        text = example.fields[table.label]
        raise at(
            path, example.line, f"{text!r} are numbers of classes; give the list that they count in from 0, by --set "
            "csv.classes=FILE"
        )  # fmt: skip
    mark = next((mark for mark in _MARKS if mark in seen), "")
    if not mark and spaced is not None:
        text = spaced.fields[table.label]
        raise at(path, spaced.line, f"{text!r}: one label or several? say which by --set csv.separator=pipe or =space")
    return mark


def _labels(text: str, mark: str) -> list[str]:
    """The labels in a cell; one empty one if there is none, which states the image."""
    listed = printed_list(text)
    if listed is not None:
        words = [str(word) for word in listed]
    else:
        words = [word.strip() for word in (text.split(mark) if mark else [text])]
    return [word for word in words if word] or [""]


def _name_of(word: str, taxonomy: Taxonomy) -> str:
    """A word that is a class, or the name of the class with a number."""
    if not (word.isascii() and word.isdecimal()) or word in taxonomy:
        return word
    if len(word) > 9 or int(word) >= len(taxonomy):
        raise DataError(f"class number {word} lies outside 0..{len(taxonomy) - 1}; check the class list")
    return taxonomy.names[int(word)]


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")
