"""Facts: the label codes, what a person answered, the append-only log of answers, and the matrix it folds to.

The codes are written here and nowhere else. Published code uses clashing ones (0 is unknown here and negative there);
conversion happens at the rim, in one tested function per format.
"""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError

POSITIVE = 1
NEGATIVE = 0
UNKNOWN = -1
CODES = (POSITIVE, NEGATIVE, UNKNOWN)

Answer = Literal["yes", "no", "unsure", "skip", "retract"]
ANSWERS: tuple[str, ...] = get_args(Answer)

Codes = NDArray[np.int8]
Rows = NDArray[np.int64]

_BLOCK = 1 << 16


class Observation(NamedTuple):
    """One answer of one person about one class on one image; never changed once written.

    ``seconds`` is what this answer cost, ``time`` is Unix time, ``question`` is the id of the query it answers,
    ``shown`` says whether the annotator saw a proposal for the cell, ``event`` is unique for ever (a redelivered
    event is the same event). ``unsure`` and ``skip`` cost seconds and leave the cell unknown; ``retract`` takes back
    the annotator's last word on the cell: of the question that it names, or of any question if it names none.
    """

    row: int
    label: int
    answer: Answer
    annotator: str = "human"
    source: str = "human"
    seconds: float = 0.0
    time: float = 0.0
    question: str = ""
    shown: bool = False
    event: str = ""


def new_event() -> str:
    """A fresh event id."""
    return uuid.uuid4().hex


class LabelLog(Protocol):
    """An append-only log of observations. Implementations: `MemoryLog`, `stores.events.SqliteLog`."""

    def append(self, observations: Iterable[Observation]) -> int:
        """Add observations, all or none; those whose event is known already change nothing.

        Returns how many were new. An empty ``event`` is given a fresh id.
        """

    def __iter__(self) -> Iterator[Observation]:
        """All observations in the order of appending."""

    def __len__(self) -> int:
        """How many observations there are."""


class MemoryLog:
    """A `LabelLog` in memory, for simulations and tests."""

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        self._observations: list[Observation] = []
        self._events: set[str] = set()
        self.append(observations)

    def append(self, observations: Iterable[Observation]) -> int:
        """See `LabelLog.append`."""
        fresh: dict[str, Observation] = {}
        for observation in observations:
            checked = check_observation(observation)
            if checked.event not in self._events:
                fresh.setdefault(checked.event, checked)
        self._observations.extend(fresh.values())
        self._events.update(fresh)
        return len(fresh)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self._observations)

    def __len__(self) -> int:
        return len(self._observations)


def check_observation(observation: Observation) -> Observation:
    """The observation, with an event id if it had none.

    Raises:
        DataError: for an answer outside `ANSWERS`, a negative row or label, seconds that are not a duration, or a time
            that is not finite.
    """
    if observation.answer not in ANSWERS:
        raise DataError(f"observation: answer {observation.answer!r} is not one of {', '.join(ANSWERS)}")
    for what, number in (("row", observation.row), ("label", observation.label)):
        if not isinstance(number, int | np.integer) or number < 0:
            raise DataError(f"observation: {what} {number!r} is not a whole number from 0")
    if not 0.0 <= observation.seconds < float("inf"):
        raise DataError(f"observation: {observation.seconds} is not a number of seconds")
    if not math.isfinite(observation.time):
        raise DataError(f"observation: {observation.time} is not a time")
    return observation if observation.event else observation._replace(event=new_event())


class LabelKind(enum.Enum):
    """How much is known: single positive, partial positives, partial (both signs), fully annotated labels."""

    SPL = "SPL"
    PPL = "PPL"
    PAL = "PAL"
    FAL = "FAL"


class LabelMatrix:
    """Immutable table of codes in CSR form; absent cells are UNKNOWN.

    It is deliberately not a scipy matrix: there absent reads as 0, which is NEGATIVE here.

    Args:
        indptr: int64 [N+1]; indices: int32 [known cells], ascending within a row; values: int8, POSITIVE or NEGATIVE.
        columns: L.
    """

    __slots__ = ("_columns", "_indices", "_indptr", "_values")

    def __init__(self, indptr: NDArray[np.int64], indices: NDArray[np.int32], values: Codes, columns: int) -> None:
        self._indptr, self._indices, self._values = indptr, indices, values
        self._columns = columns
        for array in (indptr, indices, values):
            array.setflags(write=False)

    @classmethod
    def from_dense(cls, labels: NDArray[np.integer]) -> LabelMatrix:
        """From a table [N, L] of our codes.

        Raises:
            DataError: for a table of another rank or a value that is not a code.
        """
        labels = np.asarray(labels)
        if labels.ndim != 2:
            raise DataError(f"labels must be a table [N, L], not an array of shape {labels.shape}")
        indptr = np.zeros(len(labels) + 1, dtype=np.int64)
        indices: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        values: list[Codes] = [np.zeros(0, dtype=np.int8)]
        for start in range(0, len(labels), _BLOCK):  # a pair of 8-byte numbers per known cell would be large
            block = labels[start : start + _BLOCK]
            _check_codes(block, start)
            rows, columns = np.nonzero(block != UNKNOWN)
            indptr[start + 1 : start + 1 + len(block)] = np.bincount(rows, minlength=len(block))
            indices.append(columns.astype(np.int32))
            values.append(block[rows, columns].astype(np.int8))
        np.cumsum(indptr, out=indptr)
        return cls(indptr, np.concatenate(indices), np.concatenate(values), int(labels.shape[1]))

    @classmethod
    def from_cells(
        cls,
        rows: Sequence[int] | Rows,
        labels: Sequence[int] | Rows,
        values: Sequence[int] | Codes,
        shape: tuple[int, int],
    ) -> LabelMatrix:
        """From known cells, each named once, in any order.

        Raises:
            DataError: for lists of different lengths, a cell outside ``shape`` or named twice, or a value that is
                neither POSITIVE nor NEGATIVE.
        """
        row, label, value = (_whole_numbers(a) for a in (rows, labels, values))
        if not len(row) == len(label) == len(value):
            raise DataError(f"cells need as many rows ({len(row)}) as labels ({len(label)}) and values ({len(value)})")
        if row.size and (row.min() < 0 or row.max() >= shape[0] or label.min() < 0 or label.max() >= shape[1]):
            raise DataError(f"a label lies outside the table of {shape[0]} images x {shape[1]} classes")
        if not np.isin(value, (POSITIVE, NEGATIVE)).all():
            raise DataError("known cells are 1 (positive) or 0 (negative)")
        cells = row * max(shape[1], 1) + label
        if (np.diff(cells) < 0).any():
            order = np.argsort(cells, kind="stable")  # files mostly come nearly in order, which this is fast at
            row, label, value, cells = row[order], label[order], value[order], cells[order]
        if (np.diff(cells) == 0).any():
            raise DataError("a cell is named twice")
        return cls._sorted(row, label, value.astype(np.int8), shape)

    @classmethod
    def _sorted(cls, rows: Rows, labels: Rows, values: Codes, shape: tuple[int, ...]) -> LabelMatrix:
        indptr = np.zeros(shape[0] + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])
        return cls(indptr, labels.astype(np.int32), values, int(shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(N, L)."""
        return len(self._indptr) - 1, self._columns

    @property
    def known(self) -> int:
        """Number of known cells."""
        return len(self._values)

    @property
    def known_share(self) -> float:
        """Share of all cells that are known; 1 for an empty table."""
        cells = self.shape[0] * self.shape[1]
        return self.known / cells if cells else 1.0

    def dense(self, rows: Sequence[int] | Rows | slice | None = None) -> Codes:
        """Codes int8 [R, L] of the rows asked for (all by default); a fresh array.

        Raises:
            IndexError: for a row that is not in the table; rows are not counted from the end.
        """
        count = self.shape[0]
        rows = slice(None) if rows is None else rows
        wanted = np.arange(count)[rows] if isinstance(rows, slice) else np.asarray(rows)
        if wanted.dtype == np.bool_:
            raise IndexError("rows are numbers, not a mask; use np.flatnonzero(mask)")
        wanted = wanted.astype(np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= count):
            raise IndexError(f"rows run from 0 to {count - 1}, not {wanted.min()} to {wanted.max()}")
        table = np.full((len(wanted), self._columns), UNKNOWN, dtype=np.int8)
        counts = self._indptr[wanted + 1] - self._indptr[wanted]
        starts = np.repeat(self._indptr[wanted] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        cells = starts + np.arange(counts.sum())
        table[np.repeat(np.arange(len(wanted)), counts), self._indices[cells]] = self._values[cells]
        return table

    def cells(self) -> tuple[Rows, Rows, Codes]:
        """Known cells as (rows, labels, values), ordered by row, then label."""
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self._indptr))
        return rows, self._indices.astype(np.int64), self._values.copy()

    def known_per_row(self) -> Rows:
        """Known cells of every image, int64 [N]."""
        return np.diff(self._indptr)

    def count(self, code: int) -> NDArray[np.int64]:
        """How many images carry ``code`` for each class, int64 [L]."""
        if code == UNKNOWN:
            return self.shape[0] - np.bincount(self._indices, minlength=self._columns)
        return np.bincount(self._indices[self._values == code], minlength=self._columns)

    def kind(self) -> LabelKind:
        """SPL, PPL, PAL or FAL."""
        if self.known == self.shape[0] * self.shape[1]:
            return LabelKind.FAL
        if (self._values == NEGATIVE).any():
            return LabelKind.PAL
        return LabelKind.SPL if (np.diff(self._indptr) == 1).all() else LabelKind.PPL

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelMatrix):
            return NotImplemented
        same = self.shape == other.shape and np.array_equal(self._indptr, other._indptr)
        return same and np.array_equal(self._indices, other._indices) and np.array_equal(self._values, other._values)

    def __reduce__(self) -> tuple[type[LabelMatrix], tuple[object, ...]]:
        return LabelMatrix, (self._indptr, self._indices, self._values, self._columns)  # copies stay immutable, too

    __hash__ = None  # type: ignore[assignment]  # arrays inside: equality is by content, hashing is not offered

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"LabelMatrix({rows} images x {columns} classes, {self.known} known, {self.kind().value})"


def _check_codes(labels: NDArray[np.integer], first: int) -> None:
    wrong = ~np.isin(labels, CODES)
    if wrong.any():
        row, label = (int(i[0]) for i in np.nonzero(wrong))
        raise DataError(
            f"labels[{first + row}, {label}] is {labels[row, label]}: the codes are 1 positive, 0 negative, -1 unknown"
        )


def _whole_numbers(numbers: Sequence[int] | Rows | Codes) -> Rows:
    """As int64; a fraction would otherwise be cut off without a word."""
    array = np.asarray(numbers)
    if array.size and array.dtype.kind not in "iub":
        raise DataError(f"rows, labels and codes are whole numbers, not {array.dtype}")
    return array.astype(np.int64)
