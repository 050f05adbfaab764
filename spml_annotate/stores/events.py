"""The label log on disk: every answer ever given, in SQLite, append-only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.folding import retractions
from spml_annotate.folding_columns import ColumnMaker, LogColumns, Numbers
from spml_annotate.labels import (
    CODES,
    NEGATIVE,
    POSITIVE,
    UNKNOWN,
    Answer,
    Codes,
    Observation,
    Rows,
    check_observation,
    new_event,
)
from spml_annotate.progress import progress
from spml_annotate.stores.database import connect, reporting, transaction

_COLUMNS = "row, label, answer, annotator, source, seconds, time, question, shown, event"
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event) DO NOTHING"  # noqa: S608  (a constant)
_PAGE = 10_000
_TRANSACTION = 1_000_000
"""Answers of a file that are added at once: it bounds what a kill can cost, and the journal on the disk."""

_Values = tuple[int, int, str, str, str, float, float, str, int, str]


class SqliteLog:
    """A `LabelLog` in a file that several processes may write at once.

    When `append` returns, the observations are on the disk: neither a kill nor a power cut loses them.

    Args:
        path: the SQLite file; made if it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._connection = connect(self.path)
        self._lock = threading.RLock()  # one connection serves all threads of a server, one at a time

    def append(self, observations: Iterable[Observation]) -> int:
        """See `LabelLog.append`.

        Raises:
            DataError: for an observation that is not valid, or when the disk refuses; then nothing was added.
        """
        # The list is made first: a slow source must not keep other writers waiting.
        return self._insert([_values(check_observation(observation)) for observation in observations])

    def append_many(
        self,
        rows: Sequence[int] | Rows,
        labels: Sequence[int] | Rows,
        values: Sequence[int] | Codes,
        *,
        annotator: str = "import",
        source: str = "import",
        seconds: float = 0.0,
        time: float = 0.0,
        question: str = "",
        batch: str = "",
    ) -> int:
        """Add many answers that arrive as arrays [n] of rows, labels and codes, all or none; returns how many were new.

        POSITIVE is kept as ``yes`` and NEGATIVE as ``no``; UNKNOWN cells are no answers and are left out. ``seconds``
        is the cost of each. ``batch`` names the delivery, a hash of the imported file say: the same batch again
        changes nothing.

        Raises:
            DataError: for arrays of different lengths, or values that are not codes; then nothing was added.
        """
        columns = [np.asarray(column) for column in (rows, labels, values)]
        _check_columns(columns)
        probe = Observation(0, 0, "yes", annotator, source, float(seconds), float(time), question)
        tail = _values(check_observation(probe))[3:9]
        delivery = batch or new_event()
        known = np.flatnonzero(columns[2] != UNKNOWN)
        cells = zip(*(column[known].tolist() for column in (*columns, np.arange(len(columns[2])))), strict=True)
        return self._insert(
            (row, label, "yes" if value == POSITIVE else "no", *tail, f"{delivery}:{place}")
            for row, label, value, place in cells
        )

    def append_cells(
        self,
        rows: Rows,
        labels: Rows,
        values: Codes,
        annotators: Numbers,
        times: NDArray[np.float64],
        *,
        names: Sequence[str],
        source: str,
        event: str,
    ) -> int:
        """Add what a file says of cells, column by column [n]; returns how many answers were new.

        The id of an answer is ``event`` and its cell, answer and annotator: the same again changes nothing, and takes
        a fraction of the time. A million answers are added all or none; of more, an interrupted call leaves some
        millions, and the same call adds the others. The answers cost no seconds.

        Args:
            rows: images.
            labels: classes.
            values: POSITIVE, kept as ``yes``, or NEGATIVE, kept as ``no``.
            annotators: places in ``names``.
            times: Unix seconds.
            names: of annotators.
            source: of all answers.
            event: names the file, by a hash of its content say.

        Raises:
            DataError: for columns of different lengths or values that are not codes; then nothing was added.
        """
        _check_columns([rows, labels, values])
        said = (values == POSITIVE).astype(np.int8)
        known = self._known_keys(event, names)
        # Tens of millions of answers are not copied for nothing: a file that is new is taken as it is.
        keys = self._keys(rows, labels, said, annotators, len(names)) if len(known) else None
        fresh = np.flatnonzero(~np.isin(keys, known)) if keys is not None else None
        count = len(rows) if fresh is None else len(fresh)

        def lines(starts: Iterable[int]) -> Iterator[_Values]:
            for start in starts:
                place = slice(start, start + _PAGE)
                part = place if fresh is None else fresh[place]
                columns = (column[part].tolist() for column in (rows, labels, said, annotators, times))
                for row, label, yes, who, time in zip(*columns, strict=True):
                    answer, name = "yes" if yes else "no", names[who]
                    identity = f"{event}:{row}:{label}:{answer}:{name}"
                    yield row, label, answer, name, source, 0.0, time, "", 0, identity

        pages = progress(range(0, count, _PAGE), what="storing answers")
        transactions = range(0, count, _TRANSACTION)
        return sum(self._insert(lines(islice(pages, _TRANSACTION // _PAGE))) for _ in transactions)

    @staticmethod
    def _keys(
        rows: NDArray[np.integer],
        labels: NDArray[np.integer],
        said: NDArray[np.integer],
        annotators: NDArray[np.integer],
        count: int,
    ) -> NDArray[np.int64]:
        """One number per answer that tells it from all others about 2^24 classes at most."""
        cells = (rows.astype(np.int64) << 24) + labels
        return np.asarray((cells * 2 + said) * max(count, 1) + annotators)

    def _known_keys(self, event: str, names: Sequence[str]) -> NDArray[np.int64]:
        """The keys of the answers that are there already under ids that begin with ``event``."""
        numbers = {name: number for number, name in enumerate(names)}
        query = "SELECT row, label, answer = 'yes', annotator FROM events WHERE event > ? AND event < ?"
        found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        with self._lock, reporting(self.path):
            cursor = self._connection.execute(query, (f"{event}:", f"{event};"))
            for page in progress(iter(lambda: cursor.fetchmany(_PAGE), []), what="looking for known answers"):
                rows, labels, said, who = (list(column) for column in zip(*page, strict=True))
                number = np.array([numbers.get(name, -1) for name in who], dtype=np.int64)
                keys = self._keys(np.array(rows), np.array(labels), np.array(said), number, len(names))
                found.append(keys[number >= 0])
        return np.concatenate(found)

    def _insert(self, values: Iterable[_Values]) -> int:
        with self._lock, reporting(self.path), transaction(self._connection):
            before = self._connection.total_changes
            self._connection.executemany(_INSERT, values)
            return self._connection.total_changes - before

    def __iter__(self) -> Iterator[Observation]:
        return (observation for _, observation in self.since(0))

    def since(self, position: int) -> Iterator[tuple[int, Observation]]:
        """(position, observation) of everything appended after a position, in order; positions start at 1.

        What others append while this runs is left for the next time. Positions are never used twice and become
        visible in order, so a reader that remembers the last one it saw misses nothing.
        """
        last = self._one("SELECT coalesce(max(position), 0) FROM events")
        while position < last:
            page = self._all(
                f"SELECT position, {_COLUMNS} FROM events WHERE position > ? AND position <= ? "  # noqa: S608
                "ORDER BY position LIMIT ?",
                (position, last, _PAGE),
            )
            for place, *values in page:
                yield place, _observation(values)
            position = page[-1][0]

    def columns(self) -> LogColumns:
        """The whole log column by column, without the ids of the events; for logs of millions of answers."""
        last = self._one("SELECT coalesce(max(position), 0) FROM events")
        maker = ColumnMaker()
        for start in progress(range(0, last, _PAGE), what="reading answers"):
            page = self._all(
                "SELECT row, label, answer, annotator, source, seconds, time, question, shown FROM events "
                "WHERE position > ? AND position <= ? ORDER BY position",
                (start, start + _PAGE),
            )
            if page:
                maker.add(list(zip(*page, strict=True)))
        return maker.columns()

    def __len__(self) -> int:
        return self._one("SELECT count(*) FROM events")

    def about(self, row: int) -> list[Observation]:
        """Everything ever said of an image, in the order of appending."""
        found = self._all(f"SELECT {_COLUMNS} FROM events WHERE row = ? ORDER BY position", (int(row),))  # noqa: S608
        return [_observation(values) for values in found]

    def questions(self) -> list[str]:
        """Ids of the questions that have an answer which is not taken back, the one answered last at the end."""
        return [question for question in reversed(self._answered()) if self._stands(question)]

    def last_question(self) -> str | None:
        """Id of the question answered last that is not undone yet; None if there is none. What ``undo`` takes back."""
        return next((question for question in self._answered() if self._stands(question)), None)

    def retractions(self, question: str, *, time: float = 0.0) -> list[Observation]:
        """The observations to append in order to undo a question: one per answer that is not taken back yet."""
        if not question:
            raise DataError("an answer without a question id cannot be undone as a question; retract its cell")
        said = self._all(
            f"SELECT {_COLUMNS} FROM events WHERE (row, label) IN "  # noqa: S608
            "(SELECT row, label FROM events WHERE question = ? AND question <> '') ORDER BY position",
            (question,),
        )
        return retractions(map(_observation, said), question, time=time)

    def _stands(self, question: str) -> bool:
        """Whether some answer is not taken back. One that no retract follows is a quick yes; else all are looked at."""
        untouched = self._one(
            "SELECT EXISTS (SELECT 1 FROM events AS said WHERE question = ? AND question <> '' AND answer <> 'retract' "
            "AND NOT EXISTS (SELECT 1 FROM events WHERE row = said.row AND label = said.label "
            "AND answer = 'retract' AND annotator = said.annotator AND position > said.position))",
            (question,),
        )
        return bool(untouched) or bool(self.retractions(question))

    def _answered(self) -> list[str]:
        found = self._all(
            "SELECT question FROM events WHERE question <> '' AND answer <> 'retract' "
            "GROUP BY question ORDER BY max(position) DESC"
        )
        return [str(question) for (question,) in found]

    def _one(self, query: str, values: tuple[object, ...] = ()) -> int:
        return int(self._all(query, values)[0][0])

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock, reporting(self.path):
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Let go of the file; closing twice is allowed."""
        with self._lock, reporting(self.path):
            self._connection.close()

    def __enter__(self) -> SqliteLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _values(observation: Observation) -> _Values:
    row, label, answer, annotator, source, seconds, time, question, shown, event = observation
    return (
        int(row), int(label), answer, annotator, source, float(seconds), float(time), question, int(shown), event,
    )  # fmt: skip


def _observation(values: Sequence[Any]) -> Observation:
    row, label, answer, annotator, source, seconds, time, question, shown, event = values
    # A million answers share a handful of names: keep one copy of each.
    said, who, where = cast(Answer, sys.intern(answer)), sys.intern(annotator), sys.intern(source)
    return Observation(row, label, said, who, where, seconds, time, question, bool(shown), event)


def _check_columns(columns: Sequence[NDArray[np.integer]]) -> None:
    lengths = {column.shape for column in columns}
    if len(lengths) != 1 or columns[0].ndim != 1:
        raise DataError(f"import: rows, labels and values must be lists of one length, not {sorted(map(str, lengths))}")
    if columns[0].size and any(column.dtype.kind not in "iu" for column in columns):
        raise DataError("import: rows, labels and values must be whole numbers")
    if not np.isin(columns[2], CODES).all():
        raise DataError(f"import: values are {POSITIVE} (positive), {NEGATIVE} (negative) or {UNKNOWN} (unknown)")
