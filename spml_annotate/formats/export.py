"""The labelled data set that a project hands out: every label with its value and where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.formats.text import check_text, check_unicode
from spml_annotate.labels import NEGATIVE, POSITIVE, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

HUMAN = "human"
PROPOSAL = "proposal:"
_NO_TEXT: Mapping[str, str] = MappingProxyType({})


class ExportedLabel(NamedTuple):
    """One label: ``value`` 1 or 0, ``source`` "human" or "proposal:<method>", ``score`` in [0, 1] or NaN for a person.

    ``time`` is Unix time in seconds, ``shown`` says whether the annotator saw a proposal for the cell.
    """

    image: str
    label: str
    value: int
    source: str
    score: float
    annotator: str
    time: float
    split: str
    shown: bool


@dataclass(frozen=True, eq=False)
class LabelTable:
    """N images, L classes and M labels, column by column; a cell may have several (two annotators, a proposal).

    Labels are kept in the order of row and label; those of one cell keep the order in which they were given. Columns
    that come in this order are not copied: do not change them afterwards.

    Args:
        taxonomy: the classes.
        image_ids: N unique ids; images without any label belong here too.
        split: int8 [N], 0 train, 1 validation, 2 test.
        rows: int64 [M].
        labels: int64 [M], columns of the taxonomy.
        values: int8 [M], POSITIVE or NEGATIVE.
        sources: M texts, "human" or "proposal:<method>".
        scores: float64 [M] in [0, 1], NaN where a person answered.
        annotators: M texts, empty where unknown or a proposal.
        times: float64 [M], Unix seconds.
        shown: bool [M].
        metadata: further facts about the export as text.

    Raises:
        DataError: for a value outside the above. MismatchError: for columns of different lengths.
    """

    taxonomy: Taxonomy
    image_ids: tuple[str, ...]
    split: NDArray[np.int8]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    values: NDArray[np.int8]
    sources: NDArray[np.object_]
    scores: NDArray[np.float64]
    annotators: NDArray[np.object_]
    times: NDArray[np.float64]
    shown: NDArray[np.bool_]
    metadata: Mapping[str, str] = field(default_factory=lambda: _NO_TEXT)

    @classmethod
    def of(
        cls,
        taxonomy: Taxonomy,
        image_ids: Sequence[str],
        split: Sequence[int] | NDArray[np.integer],
        rows: Sequence[int] | NDArray[np.integer],
        labels: Sequence[int] | NDArray[np.integer],
        values: Sequence[int] | NDArray[np.integer],
        *,
        sources: str | Sequence[str] = HUMAN,
        scores: float | Sequence[float] | NDArray[np.floating] = float("nan"),
        annotators: str | Sequence[str] = "",
        times: float | Sequence[float] | NDArray[np.floating] = 0.0,
        shown: bool | Sequence[bool] | NDArray[np.bool_] = False,
        metadata: Mapping[str, str] | None = None,
    ) -> LabelTable:
        """A table from lists or arrays; a single value after ``*`` stands for all M labels."""
        count = len(rows)

        def column(given: Any, dtype: Any) -> NDArray[Any]:  # noqa: ANN401  (a value or a list, of several types)
            single = isinstance(given, str) or np.ndim(given) == 0
            return np.full(count, given, dtype=dtype) if single else np.array(given, dtype=dtype)

        return cls(
            taxonomy=taxonomy,
            image_ids=tuple(image_ids),
            split=np.array(split, dtype=np.int8),
            rows=column(rows, np.int64),
            labels=column(labels, np.int64),
            values=column(values, np.int8),
            sources=column(sources, np.object_),
            scores=column(scores, np.float64),
            annotators=column(annotators, np.object_),
            times=column(times, np.float64),
            shown=column(shown, np.bool_),
            metadata=metadata or {},
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        if len(self.split) != len(self.image_ids):
            raise MismatchError(f"export: {len(self.image_ids)} images but {len(self.split)} splits")
        for name in self.columns():
            if getattr(self, name).shape != (len(self.rows),):
                raise MismatchError(
                    f"export: {len(self.rows)} rows but {name} has the shape {getattr(self, name).shape}"
                )
        _check_images(self)
        _check_labels(self)
        order = order_of_cells(self.rows, self.labels, len(self.taxonomy))
        for name in self.columns():
            values = getattr(self, name).view() if order is None else getattr(self, name)[order]
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    @staticmethod
    def columns() -> tuple[str, ...]:
        """Names of the columns of length M."""
        return ("rows", "labels", "values", "sources", "scores", "annotators", "times", "shown")

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ExportedLabel]:
        for i in range(len(self)):
            yield ExportedLabel(
                image=self.image_ids[self.rows[i]],
                label=self.taxonomy.names[self.labels[i]],
                value=int(self.values[i]),
                source=self.sources[i],
                score=float(self.scores[i]),
                annotator=self.annotators[i],
                time=float(self.times[i]),
                split=SPLIT_NAMES[int(self.split[self.rows[i]])],
                shown=bool(self.shown[i]),
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelTable):
            return NotImplemented
        if (self.taxonomy, self.image_ids, self.metadata) != (other.taxonomy, other.image_ids, other.metadata):
            return False
        same = np.array_equal(self.split, other.split) and np.array_equal(self.scores, other.scores, equal_nan=True)
        return same and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.columns() if name != "scores"
        )

    __hash__ = None  # type: ignore[assignment]  # arrays inside: equality is by content, hashing is not offered

    def matrix(self) -> LabelMatrix:
        """One code per cell [N, L]: a person's word goes before a proposal's, the latest before earlier ones.

        Of two words of one time the one given last counts.
        """
        chosen: Any = self.standing()
        chosen = slice(None) if len(chosen) == len(self) else chosen  # columns of millions are not copied for nothing
        shape = len(self.image_ids), len(self.taxonomy)
        return LabelMatrix.from_cells(self.rows[chosen], self.labels[chosen], self.values[chosen], shape)

    def standing(self) -> NDArray[np.int64]:
        """Which labels `matrix` has: one per cell, in the order of row and label."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        first = np.append(True, (np.diff(self.rows) != 0) | (np.diff(self.labels) != 0))
        last = np.append(first[1:], True)
        several = np.flatnonzero(~(first & last))  # few in most tables: only these are put in order
        cells = np.cumsum(first)[several]
        order = np.lexsort((self.times[several], self.sources[several] == HUMAN, cells))
        best = several[order[np.append(np.diff(cells[order]) != 0, True)]] if len(several) else several
        return np.sort(np.concatenate((np.flatnonzero(first & last), best)))

    def without_labels(self) -> NDArray[np.int64]:
        """Rows of the images that have no label, ascending."""
        return np.setdiff1d(np.arange(len(self.image_ids)), self.rows)


def order_of_cells(rows: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64] | None:
    """The stable order by row and label, int64 [M]; None if they are in this order already."""
    cells = rows * max(classes, 1) + labels
    if (cells[1:] >= cells[:-1]).all():
        return None
    return np.argsort(cells, kind="stable")


def check_source(source: str) -> None:
    """Raise DataError unless ``source`` is "human" or "proposal:<method>"."""
    if source != HUMAN and not (source.startswith(PROPOSAL) and len(source) > len(PROPOSAL)):
        raise DataError(f"source {source!r} is neither 'human' nor 'proposal:<method>'")
    check_text(source, "source")


def _are_sound(ids: tuple[str, ...]) -> bool:
    """Whether a million ids need not be looked at one by one."""
    joined = "".join(ids)
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in joined and all(ids) and len(set(ids)) == len(ids)


def _check_images(table: LabelTable) -> None:
    seen: set[str] = set()
    for name in () if _are_sound(table.image_ids) else table.image_ids:
        check_text(name, "export: image id")
        if name in seen:
            raise DataError(f"export: image id {name!r} appears twice; ids must be unique")
        seen.add(name)
    if not np.isin(table.split, tuple(SPLIT_NAMES)).all():
        raise DataError("export: a split is not 0 (train), 1 (validation) or 2 (test)")
    taxonomy = table.taxonomy
    for name in (*taxonomy.names, *taxonomy.keys):
        check_text(name, "export: class name")
    for what, mapping in (("alias", taxonomy.aliases), ("prompt", taxonomy.prompts), ("metadata", table.metadata)):
        for text in (*mapping.keys(), *mapping.values()):
            check_unicode(text, f"export: {what}")


def _check_labels(table: LabelTable) -> None:
    for what, column, length in (
        ("row", table.rows, len(table.image_ids)),
        ("label", table.labels, len(table.taxonomy)),
    ):
        if column.size and not 0 <= column.min() <= column.max() < length:
            raise DataError(f"export: a {what} lies outside 0..{length - 1}")
    if not np.isin(table.values, (POSITIVE, NEGATIVE)).all():
        raise DataError("export: values are 1 (positive) or 0 (negative)")
    for source in set(table.sources):
        check_source(source)
    for annotator in set(table.annotators) - {""}:
        check_text(annotator, "export: annotator")
    human = table.sources == HUMAN
    if not np.isnan(table.scores[human]).all():
        raise DataError("export: a person's label has a score; scores belong to proposals, use NaN")
    scores = table.scores[~np.isnan(table.scores)]
    if scores.size and not 0.0 <= scores.min() <= scores.max() <= 1.0:
        raise DataError("export: a score lies outside [0, 1]")
    if not np.isfinite(table.times).all():
        raise DataError("export: a time is not a finite number of seconds")
