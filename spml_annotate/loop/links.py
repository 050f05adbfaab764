"""What ties a project to Label Studio: which of its projects, which task is which image, and what was read from it.

It lies in ``studio.sqlite`` beside the answers. Nothing in it is a fact that somebody paid for: answers are in the
project's own log, and what is lost here is read again from Label Studio.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spml_annotate.errors import DataError
from spml_annotate.stores.database import reporting, transaction

FILE = "studio.sqlite"
MAIN = "main"
"""The kind of the Label Studio project whose stream asks for positives and shows proposals; others are query kinds."""
Arm = Literal["chosen", "random"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS links (
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, project INTEGER NOT NULL, created TEXT NOT NULL, kind TEXT NOT NULL,
    config TEXT NOT NULL, tag TEXT NOT NULL, version TEXT NOT NULL, model TEXT NOT NULL, cursor TEXT NOT NULL,
    swept REAL NOT NULL, backend INTEGER, complete INTEGER NOT NULL, UNIQUE (host, project, created)
);
CREATE TABLE IF NOT EXISTS tasks (
    link INTEGER NOT NULL, task INTEGER NOT NULL, row INTEGER NOT NULL, question TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (link, task)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    link INTEGER NOT NULL, task INTEGER NOT NULL, annotator TEXT NOT NULL, annotation INTEGER NOT NULL,
    updated TEXT NOT NULL, words TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (link, task, annotator)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exposures (
    link INTEGER NOT NULL, task INTEGER NOT NULL, annotator TEXT NOT NULL, version TEXT NOT NULL,
    hidden INTEGER NOT NULL, proposed TEXT NOT NULL, given TEXT NOT NULL, untouched INTEGER NOT NULL,
    seconds REAL NOT NULL, time REAL NOT NULL, arm TEXT NOT NULL, surprise REAL,
    PRIMARY KEY (link, task, annotator)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue (
    link INTEGER NOT NULL, task INTEGER NOT NULL, version TEXT NOT NULL, priority REAL NOT NULL, arm TEXT NOT NULL,
    hidden INTEGER NOT NULL, proposed TEXT NOT NULL, PRIMARY KEY (link, version, task)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spellings (
    link INTEGER NOT NULL, version TEXT NOT NULL, spelling TEXT NOT NULL, PRIMARY KEY (link, version)
) WITHOUT ROWID;
"""
_LINK = "id, host, project, created, kind, config, tag, version, model, cursor, swept, backend, complete"


class Link(NamedTuple):
    """One Label Studio project that this project speaks with.

    ``host``, ``project`` and ``created`` (as Label Studio writes it) name it for ever: ids are used again by other
    servers. ``kind`` is `MAIN` or the kind of question that it asks, ``config`` its labelling config as last seen.
    ``version`` is what `/setup` announces and predictions carry, ``model`` the model version behind it ("" before the
    first). ``cursor`` is the last ``updated_at`` that was read, ``swept`` when ids were last compared in full (Unix
    time), ``backend`` the id of our row there, ``complete`` whether a tick left out means that the class is absent.
    """

    id: int
    host: str
    project: int
    created: str
    kind: str
    config: str
    tag: str
    version: str
    model: str = ""
    cursor: str = ""
    swept: float = 0.0
    backend: int | None = None
    complete: bool = False


class TaskRow(NamedTuple):
    """Which image a task shows, which question it puts ("" in a main project), and its data."""

    task: int
    row: int
    question: str
    data: Mapping[str, Any]


class Said(NamedTuple):
    """What one annotator's annotation of a task became: label → (answer, event id) of the words that stand."""

    task: int
    annotator: str
    annotation: int
    updated: str
    words: Mapping[int, tuple[str, str]]
    seconds: float


class Exposure(NamedTuple):
    """What an annotator was shown (or, ``hidden``, would have been shown) and what the answer was; for bias and gain.

    ``proposed`` and ``given`` are labels; ``untouched``: the proposal was accepted as it was; ``surprise`` is
    -log of what the model gave the answer (nats), None without a model.
    """

    task: int
    annotator: str
    version: str
    hidden: bool
    proposed: tuple[int, ...]
    given: tuple[int, ...]
    untouched: bool
    seconds: float
    time: float
    arm: Arm
    surprise: float | None = None


class Place(NamedTuple):
    """A task's place in the queue of one version: lowest ``priority`` in [0, 1] is served first."""

    task: int
    priority: float
    arm: Arm
    hidden: bool
    proposed: tuple[int, ...]


class LinkStore:
    """The links of one project folder; several threads and processes may use it.

    Args:
        folder: of the project.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        self._lock, self._reading = threading.RLock(), threading.Lock()
        with reporting(self.path):
            self._connection = self._connect()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(_SCHEMA)
            # of its own: `/setup` must not wait for a thread that waits until another process has written
            self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60.0, isolation_level=None, check_same_thread=False)

    # Links

    def links(self) -> list[Link]:
        """All links, the oldest first."""
        return [_link(values) for values in self._all(f"SELECT {_LINK} FROM links ORDER BY id")]  # noqa: S608

    def get(self, link: int) -> Link:
        """A link as it is now.

        Raises:
            DataError: if there is none of that id.
        """
        found = self._all(f"SELECT {_LINK} FROM links WHERE id = ?", (link,))  # noqa: S608
        if not found:
            raise DataError(f"{self.path} knows no link {link}; connect Label Studio again")
        return _link(found[0])

    def find(self, project: int, created: str = "", host: str = "") -> Link | None:
        """The link of a Label Studio project; empty parts match anything, the newest link wins."""
        found = [
            link
            for link in self.links()
            if link.project == project and created in ("", link.created) and host in ("", link.host)
        ]
        return found[-1] if found else None

    def of_kind(self, kind: str, host: str = "") -> Link | None:
        """The newest link of a kind."""
        found = [link for link in self.links() if link.kind == kind and host in ("", link.host)]
        return found[-1] if found else None

    def add(self, host: str, project: int, created: str, kind: str, config: str, *, complete: bool = False) -> Link:
        """Add a link, or find the one that is there; its first version says that nothing is trained yet."""
        tag = secrets.token_hex(2)  # version strings of another folder must not pass for ours
        self._run(
            "INSERT INTO links (host, project, created, kind, config, tag, version, model, cursor, swept, backend, "
            "complete) VALUES (?, ?, ?, ?, ?, ?, ?, '', '', 0, NULL, ?) "
            "ON CONFLICT (host, project, created) DO NOTHING",
            [(host, project, created, kind, config, tag, version_name("", tag), int(complete))],
        )
        found = self.find(project, created, host)
        assert found is not None
        return found

    def update(self, link: int, **changes: Any) -> Link:  # noqa: ANN401  (fields of Link)
        """Change fields of a link, all at once; returns it as it is then."""
        unknown = set(changes) - set(Link._fields[5:])
        assert not unknown, unknown
        names = ", ".join(f"{name} = ?" for name in changes)
        self._run(f"UPDATE links SET {names} WHERE id = ?", [(*changes.values(), link)])  # noqa: S608
        return self.get(link)

    # Tasks

    def put_tasks(self, link: int, tasks: Iterable[TaskRow]) -> None:
        """Note tasks; one that is there is replaced."""
        self._run(
            "INSERT OR REPLACE INTO tasks (link, task, row, question, data) VALUES (?, ?, ?, ?, ?)",
            [(link, t.task, int(t.row), t.question, json.dumps(dict(t.data))) for t in tasks],
        )

    def tasks(self, link: int) -> dict[int, TaskRow]:
        """Task id → task, of one link."""
        found = self._all("SELECT task, row, question, data FROM tasks WHERE link = ? ORDER BY task", (link,))
        return {values[0]: _task(values) for values in found}

    def task(self, link: int, task: int) -> TaskRow | None:
        """One task, if it is known."""
        found = self._all("SELECT task, row, question, data FROM tasks WHERE link = ? AND task = ?", (link, task))
        return _task(found[0]) if found else None

    def drop_tasks(self, link: int, tasks: Sequence[int]) -> None:
        """Forget tasks that are gone from Label Studio, with their places in the queue."""
        with self._lock, reporting(self.path), transaction(self._connection):
            for table in ("tasks", "queue"):
                self._connection.executemany(
                    f"DELETE FROM {table} WHERE link = ? AND task = ?",  # noqa: S608  (constants)
                    [(link, task) for task in tasks],
                )

    # Answers

    def said(self, link: int, task: int | None = None) -> list[Said]:
        """What annotators' annotations became, of one task or of all."""
        where, values = ("", (link,)) if task is None else (" AND task = ?", (link, task))
        found = self._all(
            f"SELECT task, annotator, annotation, updated, words, seconds FROM answers WHERE link = ?{where}",  # noqa: S608
            values,
        )
        return [Said(t, who, a, u, _words(words), seconds) for t, who, a, u, words, seconds in found]

    def note(self, link: int, said: Iterable[Said], gone: Iterable[tuple[int, str]] = ()) -> None:
        """Note what annotations became, and forget (task, annotator) pairs whose annotation is gone."""
        with self._lock, reporting(self.path), transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO answers (link, task, annotator, annotation, updated, words, seconds) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (link, s.task, s.annotator, s.annotation, s.updated, json.dumps(dict(s.words)), s.seconds)
                    for s in said
                ],
            )
            self._connection.executemany(
                "DELETE FROM answers WHERE link = ? AND task = ? AND annotator = ?", [(link, *pair) for pair in gone]
            )

    # Exposures

    def expose(self, link: int, exposures: Iterable[Exposure]) -> None:
        """Note what annotators saw and answered; a later answer to the same task replaces the earlier."""
        self._run(
            "INSERT OR REPLACE INTO exposures (link, task, annotator, version, hidden, proposed, given, untouched, "
            "seconds, time, arm, surprise) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    link, e.task, e.annotator, e.version, int(e.hidden), json.dumps(e.proposed), json.dumps(e.given),
                    int(e.untouched), e.seconds, e.time, e.arm, e.surprise,
                )
                for e in exposures
            ],
        )  # fmt: skip

    def exposures(self, link: int) -> list[Exposure]:
        """All exposures of a link, in the order of time."""
        found = self._all(
            "SELECT task, annotator, version, hidden, proposed, given, untouched, seconds, time, arm, surprise "
            "FROM exposures WHERE link = ? ORDER BY time, task",
            (link,),
        )
        return [
            Exposure(t, who, v, bool(h), tuple(json.loads(p)), tuple(json.loads(g)), bool(u), s, when, arm, surprise)
            for t, who, v, h, p, g, u, s, when, arm, surprise in found
        ]

    # Queue

    def queue(self, link: int, version: str, places: Iterable[Place]) -> None:
        """Note the queue of a version; a task that is there is replaced."""
        self._run(
            "INSERT OR REPLACE INTO queue (link, task, version, priority, arm, hidden, proposed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(link, p.task, version, p.priority, p.arm, int(p.hidden), json.dumps(p.proposed)) for p in places],
        )

    def queued(self, link: int) -> list[str]:
        """Versions that have a queue."""
        return [version for (version,) in self._all("SELECT DISTINCT version FROM queue WHERE link = ?", (link,))]

    def forget_queues(self, link: int, versions: Iterable[str]) -> None:
        """Forget the queues of versions that nobody can have open any more."""
        self._run("DELETE FROM queue WHERE link = ? AND version = ?", [(link, version) for version in versions])

    def places(self, link: int, version: str) -> dict[int, Place]:
        """Task → its place in the queue of a version."""
        found = self._all(
            "SELECT task, priority, arm, hidden, proposed FROM queue WHERE link = ? AND version = ?", (link, version)
        )
        return {values[0]: _place(values) for values in found}

    def place(self, link: int, version: str, task: int) -> Place | None:
        """One task's place in the queue of a version, if it has one."""
        found = self._all(
            "SELECT task, priority, arm, hidden, proposed FROM queue WHERE link = ? AND version = ? AND task = ?",
            (link, version, task),
        )
        return _place(found[0]) if found else None

    def spell(self, link: int, version: str, spelling: str) -> None:
        """Note how the predictions of a version that are at Label Studio are spelled; see `loop.spelling`."""
        self._run(
            "INSERT OR REPLACE INTO spellings (link, version, spelling) VALUES (?, ?, ?)", [(link, version, spelling)]
        )

    def spelling(self, link: int, version: str) -> str:
        """How the predictions of a version are spelled, "" if that was not noted."""
        found = self._all("SELECT spelling FROM spellings WHERE link = ? AND version = ?", (link, version))
        return str(found[0][0]) if found else ""

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, self._reading:
            self._connection.close()
            self._reader.close()

    def _run(self, statement: str, values: Sequence[tuple[object, ...]]) -> None:
        with self._lock, reporting(self.path), transaction(self._connection):
            self._connection.executemany(statement, values)

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._reading, reporting(self.path):
            return self._reader.execute(query, values).fetchall()


def version_name(model: str, tag: str) -> str:
    """What annotators and Label Studio see of a model: "spml-0003-9f2c"; "spml-0000-9f2c" before the first."""
    return f"spml-{model or '0000'}-{tag}"


def _link(values: Sequence[Any]) -> Link:
    *fields, complete = values
    return Link(*fields)._replace(complete=bool(complete))


def _task(values: Sequence[Any]) -> TaskRow:
    task, row, question, data = values
    return TaskRow(task, row, question, json.loads(data))


def _place(values: Sequence[Any]) -> Place:
    task, priority, arm, hidden, proposed = values
    return Place(task, priority, arm, bool(hidden), tuple(json.loads(proposed)))


def _words(text: str) -> dict[int, tuple[str, str]]:
    return {int(label): (answer, event) for label, (answer, event) in json.loads(text).items()}
