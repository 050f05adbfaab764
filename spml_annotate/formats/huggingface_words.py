"""Labels of an image as Hugging Face data sets have them: lists of names, and lists beside them of equal length.

``labels`` are the positives and ``negatives`` the explicit negatives; a class in neither is unknown. Where a table has
proposals, ``label_sources`` and ``negative_sources`` tell them from people's words, ``label_scores`` and
``negative_scores`` say how probable they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.collect import LabelCollector
from spml_annotate.formats.export import HUMAN, PROPOSAL, LabelTable
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.labels import NEGATIVE, POSITIVE

LABELS, NEGATIVES = "labels", "negatives"
LISTS = {LABELS: (POSITIVE, "label"), NEGATIVES: (NEGATIVE, "negative")}
"""Name of a list → the value of what is in it, and how the names of the lists beside it begin."""
UNNAMED = f"{PROPOSAL}huggingface"
_FIRST = 1000
OBJECTS = ("categories", "category", "labels", "label", "class")
"""What the classes in a column of objects are called."""
_NONE = -1
"""Stands for "not labelled" where a data set has class numbers."""


class ImageWords:
    """The labels of a table that stand, image by image.

    Args:
        table: what is exported; of a cell with several labels the one that `LabelTable.standing` chooses.
    """

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self._chosen = table.standing()
        self._ends = np.searchsorted(table.rows[self._chosen], np.arange(len(table.image_ids) + 1))
        self.columns = tuple(name for name in _all_columns() if name == LABELS or self._has(name, self._chosen))

    def splits(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Name and rows of every split that has images; of the train split if none has."""
        for code, name in sorted(SPLIT_NAMES.items()):
            rows = np.flatnonzero(self.table.split == code)
            if rows.size or (code == 0 and not self.table.image_ids):
                yield name, rows

    def lists(self, row: int) -> dict[str, list[Any]]:
        """The lists of one image: class names, sources (texts), scores (None where there is none)."""
        chosen = self._of(row)
        found: dict[str, list[Any]] = {}
        for name, (value, stem) in LISTS.items():
            part = chosen[self.table.values[chosen] == value].tolist()
            found[name] = [self.table.taxonomy.names[self.table.labels[i]] for i in part]
            found[f"{stem}_sources"] = [self.table.sources[i] for i in part]
            found[f"{stem}_scores"] = [_score(self.table.scores[i]) for i in part]
        return {name: found[name] for name in self.columns}

    def tells_types(self) -> bool:
        """Whether the first images of every split have something in every list.

        The library takes the type of a list from there, and calls splits that differ incompatible.
        """
        for _, rows in self.splits():
            first = [self._of(row) for row in rows[:_FIRST].tolist()]
            chosen = np.concatenate([*first, np.zeros(0, dtype=np.int64)])
            if not all(self._has(name, chosen) for name in self.columns):
                return False
        return True

    def _of(self, row: int) -> NDArray[np.int64]:
        return self._chosen[self._ends[row] : self._ends[row + 1]]

    def _has(self, column: str, chosen: NDArray[np.int64]) -> bool:
        value, _ = next(kind for name, kind in LISTS.items() if column == name or column.startswith(kind[1] + "_"))
        part = chosen[self.table.values[chosen] == value]
        if column.endswith("_sources") and (self.table.sources[self._chosen] == HUMAN).all():
            return False
        if column.endswith("_scores"):
            return bool((~np.isnan(self.table.scores[part])).any())
        return bool(part.size)


def add_words(collector: LabelCollector, row: int, record: Mapping[str, Any], column: str) -> None:
    """Collect the labels in a record, of ours or of others.

    Args:
        collector: gets them.
        row: of the image.
        record: name of a column → a list, one name or number, objects that have one each, or None.
        column: the one with the positives.

    Raises:
        DataError: for what is no label, lists of different lengths, or a class that is both positive and negative.
    """
    seen: dict[str, int] = {}
    for name, (value, stem) in LISTS.items():
        words = _list(_present(record.get(column), column) if name == LABELS else record.get(name))
        sources = _beside(record, f"{stem}_sources", words)
        scores = _beside(record, f"{stem}_scores", words)
        for word, source, score in zip(words, sources, scores, strict=True):
            if word == _NONE and not isinstance(word, bool):
                continue
            label = collector.name_of(word)
            if seen.setdefault(label, value) != value:
                raise DataError(f"class {label!r} is among the positives and the negatives; keep one")
            collector.add(row, label, value, source=source or (HUMAN if score is None else UNNAMED), score=score)


def _all_columns() -> list[str]:
    return [name for start, (_, stem) in LISTS.items() for name in (start, f"{stem}_sources", f"{stem}_scores")]


def _score(score: float) -> float | None:
    return None if np.isnan(score) else float(score)


def _present(found: object, column: str) -> object:
    """The classes of objects: a list per property, as the library has them, or an object each; others as they are."""
    if isinstance(found, Mapping):
        key = next((key for key in OBJECTS if key in found), None)
        if key is None:
            named = ", ".join(map(str, found)) or "nothing"
            raise DataError(f"{column!r} has no classes (categories, category), only {named}; name another column")
        return found[key]
    if isinstance(found, list) and found and all(isinstance(item, Mapping) for item in found):
        return [word for item in found for word in _list(_present(item, column))]
    return found


def _list(found: object) -> list[Any]:
    """A list without what appears again."""
    if found is None:
        return []
    entries = found if isinstance(found, list) else [found]
    return list(dict.fromkeys(entries)) if all(isinstance(entry, str | int) for entry in entries) else entries


def _beside(record: Mapping[str, Any], name: str, words: list[Any]) -> list[Any]:
    found = record.get(name)
    if found is None:
        return [None] * len(words)
    if not isinstance(found, list) or len(found) != len(words):
        raise DataError(f"{name!r} is not a list as long as that of the labels, {len(words)}")
    return found
