"""Every question ever put, in a table of the project's database; append-only, like the answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spml_annotate.acquire.query import Query
from spml_annotate.errors import DataError
from spml_annotate.stores.database import reporting, transaction

Purpose = Literal["strategy", "pick", "validation"]

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS questions (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    row INTEGER NOT NULL,
    kind TEXT NOT NULL,
    labels TEXT NOT NULL,
    shown TEXT NOT NULL,
    seconds REAL NOT NULL,
    purpose TEXT NOT NULL,
    strategy TEXT NOT NULL,
    time REAL NOT NULL
)""",
    """CREATE TRIGGER IF NOT EXISTS questions_keep BEFORE UPDATE ON questions
    BEGIN SELECT RAISE(ABORT, 'questions are append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS questions_stay BEFORE DELETE ON questions
    BEGIN SELECT RAISE(ABORT, 'questions are append-only'); END""",
)
_COLUMNS = "id, row, kind, labels, shown, seconds, purpose, strategy, time"


class Asked(NamedTuple):
    """A question as it was put: what for, by which strategy, and when (Unix time)."""

    query: Query
    purpose: Purpose
    strategy: str = ""
    time: float = 0.0


class QuestionTable:
    """The questions of a project in the order they were put.

    Args:
        connection: to the project's database; it stays the caller's to close.
        path: of the database, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        with reporting(path):
            for statement in _SCHEMA:
                connection.execute(statement)

    def add(self, questions: Iterable[Asked]) -> int:
        """Append questions, all or none; one whose id is there already changes nothing. Returns how many were new."""
        values = [_values(asked) for asked in questions]
        with reporting(self._path), transaction(self._connection):
            before = self._connection.total_changes
            self._connection.executemany(
                f"INSERT INTO questions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",  # noqa: S608  (a constant)
                values,
            )
            return self._connection.total_changes - before

    def __len__(self) -> int:
        with reporting(self._path):
            return int(self._connection.execute("SELECT count(*) FROM questions").fetchone()[0])

    def __iter__(self) -> Iterator[Asked]:
        with reporting(self._path):
            found = self._connection.execute(f"SELECT {_COLUMNS} FROM questions ORDER BY position").fetchall()  # noqa: S608  (a constant)
        return map(_asked, found)

    def get(self, question: str) -> Asked:
        """One question by its id.

        Raises:
            DataError: if it was never put.
        """
        with reporting(self._path):
            found = self._connection.execute(f"SELECT {_COLUMNS} FROM questions WHERE id = ?", (question,)).fetchone()  # noqa: S608  (a constant)
        if found is None:
            raise DataError(f"question {question!r} was never asked in this project; see `spml-annotate ask`")
        return _asked(found)


def _values(asked: Asked) -> tuple[Any, ...]:
    query = asked.query
    return (
        query.id, int(query.row), query.kind, json.dumps([int(label) for label in query.labels]),
        json.dumps([int(label) for label in query.shown]), float(query.seconds), asked.purpose, asked.strategy,
        float(asked.time),
    )  # fmt: skip


def _asked(values: tuple[Any, ...]) -> Asked:
    name, row, kind, labels, shown, seconds, purpose, strategy, time = values
    query = Query(row, tuple(json.loads(labels)), kind, tuple(json.loads(shown)), seconds, name)
    return Asked(query, purpose, strategy, time)
