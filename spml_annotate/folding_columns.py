"""`folding.fold` for logs of millions of answers: the same results, column by column, without an object per answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
from spml_annotate.folding import POLICIES, Conflict, Policy, believed
from spml_annotate.labels import ANSWERS, NEGATIVE, POSITIVE, UNKNOWN, Codes, LabelMatrix, Observation, Rows

YES, NO, RETRACT = (ANSWERS.index(answer) for answer in ("yes", "no", "retract"))
Numbers = NDArray[np.int32]


class Names:
    """Numbers for texts in order of appearance."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__

    def numbers(self, texts: Sequence[str]) -> Numbers:
        """The number of each text, int32 [n]; new ones are given to new texts."""
        return np.fromiter(map(self._numbers.__getitem__, texts), np.int32, len(texts))

    def texts(self) -> tuple[str, ...]:
        """All texts, by number."""
        return tuple(self._numbers)


class LogColumns(NamedTuple):
    """M observations in the order of the log.

    ``answers`` int8 are places in `ANSWERS`; ``annotators``, ``sources`` and ``questions`` int32 are places in the
    tuples of names at the end; ``seconds`` and ``times`` float64; ``shown`` bool.
    """

    rows: Rows
    labels: Rows
    answers: Codes
    annotators: Numbers
    sources: Numbers
    questions: Numbers
    seconds: NDArray[np.float64]
    times: NDArray[np.float64]
    shown: NDArray[np.bool_]
    annotator_names: tuple[str, ...]
    source_names: tuple[str, ...]
    question_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


class ColumnMaker:
    """Collects observations, some thousands at a time, into `LogColumns`."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.generic], ...]] = []
        self._names = Names(), Names(), Names()

    def add(self, columns: Sequence[Sequence[object]]) -> None:
        """Row, label, answer, annotator, source, seconds, time, question and shown of some observations."""
        rows, labels, answers, annotators, sources, seconds, times, questions, shown = columns
        who, where, asked = self._names
        self._parts.append(
            (
                np.array(rows, dtype=np.int64),
                np.array(labels, dtype=np.int64),
                np.fromiter(map(_PLACES.__getitem__, answers), np.int8, len(answers)),  # type: ignore[arg-type]
                who.numbers(annotators),  # type: ignore[arg-type]
                where.numbers(sources),  # type: ignore[arg-type]
                asked.numbers(questions),  # type: ignore[arg-type]
                np.array(seconds, dtype=np.float64),
                np.array(times, dtype=np.float64),
                np.array(shown, dtype=np.bool_),
            )
        )

    def columns(self) -> LogColumns:
        """Everything added; the maker is empty then."""
        if not self._parts:
            self.add([()] * 9)
        pieces = [list(column) for column in zip(*self._parts, strict=True)]
        self._parts.clear()
        made = []
        while pieces:  # the pieces of a column are let go before the next is joined
            made.append(np.concatenate(pieces.pop(0)))
        return LogColumns(*made, *(names.texts() for names in self._names))


_PLACES = {answer: place for place, answer in enumerate(ANSWERS)}


def columns_of(log: Iterable[Observation]) -> LogColumns:
    """The columns of a log of objects."""
    maker = ColumnMaker()
    said = [observation[:9] for observation in log]
    maker.add(list(zip(*said, strict=True)) if said else [()] * 9)
    return maker.columns()


@dataclass(frozen=True, eq=False)
class FoldedColumns:
    """What `Folded` is, in columns.

    Args:
        matrix: what is known, [N, L].
        log: the log.
        standing: places in it of the last words of each annotator about each cell, by row, label and place; int64 [K].
    """

    matrix: LabelMatrix
    log: LogColumns
    standing: NDArray[np.int64]

    def told(self) -> NDArray[np.int64]:
        """Those of the standing words that are yes or no."""
        return self.standing[np.isin(self.log.answers[self.standing], (YES, NO))]

    def contested(self, told: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For words that are yes or no, by row and label: whether another word about the cell says the opposite."""
        item, yes, no = _counts(self.log, told)
        return np.asarray((yes > 0) & (no > 0))[item]

    def conflicts(self) -> list[Conflict]:
        """Cells about which annotators disagree, whatever the policy made of them, ordered by row and label."""
        told = self.told()
        cells: dict[tuple[int, int], tuple[list[str], list[str]]] = {}
        for place in told[self.contested(told)].tolist():
            cell = int(self.log.rows[place]), int(self.log.labels[place])
            sides = cells.setdefault(cell, ([], []))
            name = self.log.annotator_names[self.log.annotators[place]]
            sides[int(self.log.answers[place] == NO)].append(name)
        return [Conflict(*cell, tuple(yes), tuple(no)) for cell, (yes, no) in cells.items()]


def fold_columns(log: LogColumns, shape: tuple[int, int], policy: Policy = "unanimous") -> FoldedColumns:
    """`folding.fold` of columns; see there for the policies.

    Raises:
        SettingError: for an unknown policy. DataError: for an observation outside the table.
    """
    if policy not in POLICIES:
        raise SettingError(f"there is no policy {policy!r}; choose from: {', '.join(POLICIES)}")
    standing = standing_places(log)
    outside = standing[(log.rows[standing] >= shape[0]) | (log.labels[standing] >= shape[1])]
    if outside.size:
        raise DataError(
            f"the log speaks of image {log.rows[outside[0]]}, class {log.labels[outside[0]]}: outside the table of "
            f"{shape[0]} images x {shape[1]} classes; is it the log of another project?"
        )
    told = standing[np.isin(log.answers[standing], (YES, NO))]
    values, first = _decide(log, told, policy), _first_of_cells(log, told)
    known = values != UNKNOWN
    rows, labels = log.rows[told[first]][known], log.labels[told[first]][known]
    return FoldedColumns(LabelMatrix.from_cells(rows, labels, values[known], shape), log, standing)


def standing_places(log: LogColumns) -> NDArray[np.int64]:
    """Places of what each annotator last said of each cell (any answer but retract), by row, label and place."""
    if not len(log):
        return np.zeros(0, dtype=np.int64)
    cells = log.rows * (int(log.labels.max()) + 1) + log.labels
    keys = cells * len(log.annotator_names) + log.annotators
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
    ends = np.append(starts[1:], len(order))
    retracted = np.add.reduceat(log.answers[order] == RETRACT, starts, dtype=np.int64) > 0
    restored = [
        place
        for start, end in zip(starts[retracted].tolist(), ends[retracted].tolist(), strict=True)
        for place in _last_standing(log, order[start:end])
    ]
    chosen = np.concatenate((order[ends[~retracted] - 1], np.array(restored, dtype=np.int64)))
    return np.asarray(chosen[np.lexsort((chosen, cells[chosen]))])


def _last_standing(log: LogColumns, places: NDArray[np.int64]) -> list[int]:
    """The place of the word that stands after all that was taken back, if any does."""
    stack: list[int] = []
    for place in places.tolist():
        if log.answers[place] != RETRACT:
            stack.append(place)
            continue
        question = log.questions[place]
        named = bool(log.question_names[question])
        back = next((at for at in reversed(stack) if not named or log.questions[at] == question), None)
        if back is not None:
            stack.remove(back)
    return stack[-1:]


def _first_of_cells(log: LogColumns, told: NDArray[np.int64]) -> NDArray[np.int64]:
    rows, labels = log.rows[told], log.labels[told]
    new = np.append(True, (np.diff(rows) != 0) | (np.diff(labels) != 0)) if told.size else np.zeros(0, dtype=bool)
    return np.flatnonzero(new)


def _counts(log: LogColumns, told: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Number of the cell of each word [n]; how many say yes, and how many no, of each cell [C]."""
    first = _first_of_cells(log, told)
    item = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(told))))
    yes = log.answers[told] == YES
    return item, np.bincount(item[yes], minlength=len(first)), np.bincount(item[~yes], minlength=len(first))


def _decide(log: LogColumns, told: NDArray[np.int64], policy: Policy) -> Codes:
    """The value of each cell, int8 [C]."""
    item, yes, no = _counts(log, told)
    if policy == "last":
        ends = np.append(_first_of_cells(log, told)[1:], len(told)) - 1 if told.size else told
        return np.where(log.answers[told[ends]] == YES, POSITIVE, NEGATIVE).astype(np.int8)
    unclear = (yes == no) if policy == "majority" else (yes > 0) & (no > 0)
    values = np.where(unclear, UNKNOWN, np.where(yes > no, POSITIVE, NEGATIVE)).astype(np.int8)
    if policy == "dawid-skene" and unclear.any():
        several = (yes + no) > 1
        words = several[item]
        number = np.cumsum(several) - 1
        belief = believed(number[item[words]], log.annotators[told[words]], log.answers[told[words]] == YES)
        likely = np.where(belief >= 0.6, POSITIVE, np.where(belief <= 0.4, NEGATIVE, UNKNOWN))
        values[unclear] = likely[number[unclear]]
    return values
