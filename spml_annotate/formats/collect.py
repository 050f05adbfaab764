"""Collects labels one by one into a `LabelTable`; for readers of formats that hold some or all of its columns."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.csv_columns import ClassColumns, ImageRows
from spml_annotate.formats.export import HUMAN, LabelTable, check_source
from spml_annotate.formats.text import check_text
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.taxonomy import Taxonomy


def _verbatim(image: str) -> str:
    check_text(image, "the image id")
    return image


class LabelCollector:
    """Flat columns that grow: some 60 bytes per label.

    Args:
        classes: the classes, or None to take those that are named, in order of appearance.
    """

    def __init__(self, classes: Classes | None = None) -> None:
        self.given = as_taxonomy(classes) if classes is not None else None
        self._classes = ClassColumns(self.given)
        self._images = ImageRows(_verbatim)
        self._words: dict[str, str] = {}
        self._rows, self._labels, self._values = array("q"), array("q"), array("b")
        self._scores, self._times, self._shown = array("d"), array("d"), array("b")
        self._places = array("q")
        self._sources: list[str] = []
        self._annotators: list[str] = []

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, name: str, split: str = "train") -> int:
        """Row of an image, a new one if it was not named before.

        Raises:
            DataError: for an empty name, an unknown split, or another split than before.
        """
        return self._images.add(name, split)

    def add(
        self,
        row: int,
        label: str,
        value: int,
        *,
        source: str = HUMAN,
        score: float | None = None,
        annotator: str = "",
        time: float = 0.0,
        shown: bool = False,
        place: int = 0,
    ) -> None:
        """One label; of one cell, labels with a lower ``place`` come first.

        Raises:
            DataError: for a class that is not known, or a score or time that is no number.
        """
        if not isinstance(source, str) or not isinstance(annotator, str):
            raise DataError(f"label {label!r}: its source or its annotator is not text")
        check_source(source)
        column = self._classes.columns[label]
        self._rows.append(row)
        self._labels.append(column)
        self._values.append(value)
        self._scores.append(math.nan if score is None else _number(score, label))
        self._times.append(_number(time, label))
        self._shown.append(shown)
        self._places.append(place)
        self._sources.append(self._words.setdefault(source, source))
        self._annotators.append(self._words.setdefault(annotator, annotator))

    def name_of(self, word: object) -> str:
        """The class that a name, or a number where a class list was given, means.

        Raises:
            DataError: for anything else.
        """
        if isinstance(word, str):
            return word
        if isinstance(word, bool) or not isinstance(word, int):
            raise DataError(f"label {word!r} is neither a name nor a number")
        if self.given is None:
            raise DataError(f"label {word} is a number; give the class list that it counts in")
        if not 0 <= word < len(self.given):
            raise DataError(f"label {word} lies outside 0..{len(self.given) - 1}")
        return self.given.names[word]

    def names(self) -> tuple[str, ...]:
        """Names of the classes as far as they are known.

        Raises:
            DataError: if none is.
        """
        return self._classes.taxonomy().names

    def table(self, metadata: Mapping[str, str] | None = None, *, complete: bool = False) -> LabelTable:
        """Everything collected; ``complete`` reads every class that an image has no word on as negative.

        Raises:
            DataError: if no class is known at all, or a column has an impossible value.
        """
        taxonomy = self._classes.taxonomy()
        ids = self._images.ids()
        if complete:
            for row, label in list(self._silent(taxonomy, len(ids))):
                self.add(row, taxonomy.names[label], NEGATIVE)
        order = np.argsort(np.array(self._places, dtype=np.int64), kind="stable")
        return LabelTable.of(
            taxonomy,
            ids,
            self._images.split(),
            np.array(self._rows, dtype=np.int64)[order],
            np.array(self._labels, dtype=np.int64)[order],
            np.array(self._values, dtype=np.int8)[order],
            sources=[self._sources[i] for i in order.tolist()],
            scores=np.array(self._scores, dtype=np.float64)[order],
            annotators=[self._annotators[i] for i in order.tolist()],
            times=np.array(self._times, dtype=np.float64)[order],
            shown=np.array(self._shown, dtype=np.bool_)[order],
            metadata=metadata,
        )

    def _silent(self, taxonomy: Taxonomy, images: int) -> Iterator[list[int]]:
        """[row, label] of every cell without a word."""
        known = np.zeros((images, len(taxonomy)), dtype=bool)
        known[np.array(self._rows, dtype=np.int64), np.array(self._labels, dtype=np.int64)] = True
        yield from np.argwhere(~known).tolist()


def _number(found: object, label: str) -> float:
    try:
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found)
    except OverflowError:
        found = "a number without end"
    raise DataError(f"label {label!r}: its score or time is {str(found)[:40]!r}, not a number")


def value_code(value: object) -> int:
    """POSITIVE or NEGATIVE of a stored 1 or 0.

    Raises:
        DataError: for anything else.
    """
    if isinstance(value, bool) or value not in (POSITIVE, NEGATIVE):
        raise DataError(f"value {value!r} is neither 1 (positive) nor 0 (negative)")
    return POSITIVE if value == POSITIVE else NEGATIVE
