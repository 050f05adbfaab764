"""Trainings and refreshes that were asked for: a table that survives any kill, beside the answers of the project."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spml_annotate.stores.database import reporting, transaction

FILE = "jobs.sqlite"
MOST_ATTEMPTS = 3
"""So often a job is begun whose process died; then it has failed. If the server died, it rests before the next."""
FIRST_REST, LONGEST_REST = 5.0, 300.0
"""Seconds of such a rest, each twice as long as the one before: the job may be what kills the server."""
_LATEST = 3600.0  # seconds; nothing waits so long, unless the clock was put back meanwhile
REST = 10.0
"""Seconds between the end of a training and the beginning of the next of the same project."""
Kind = Literal["train", "refresh"]
State = Literal["queued", "running", "done", "failed"]
_KEPT = 200  # finished jobs to remember

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, link INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('train', 'refresh')),
    reason TEXT NOT NULL, mark TEXT NOT NULL, state TEXT NOT NULL, requested REAL NOT NULL, due REAL NOT NULL,
    started REAL, finished REAL, attempts INTEGER NOT NULL, delays INTEGER NOT NULL, error TEXT NOT NULL,
    note TEXT NOT NULL, version TEXT NOT NULL, pid INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_waiting ON jobs (link, kind) WHERE state = 'queued';
"""


class Job(NamedTuple):
    """One training (``train``) or one renewal of queue and predictions (``refresh``) of a link.

    ``mark`` tells what there was when it was asked for, so that it is not asked for again without a change. Times are
    Unix seconds; ``due`` is when it may begin. ``attempts`` counts starts whose process died or that are going on,
    ``delays`` how often it had to wait for another program. ``error`` is one line, ``note`` what it said last.
    """

    id: int
    link: int
    kind: Kind
    reason: str
    mark: str
    state: State
    requested: float
    due: float
    started: float | None
    finished: float | None
    attempts: int
    delays: int
    error: str
    note: str
    version: str
    pid: int | None


_COLUMNS = ", ".join(Job._fields)
_RESTING = (
    "(kind = 'train' AND attempts = 0 AND EXISTS (SELECT 1 FROM jobs AS last WHERE last.link = jobs.link "
    "AND last.kind = 'train' AND last.state = 'done' AND last.finished > ? AND last.finished <= ?))"
)
_ORDER = "ORDER BY kind = 'refresh', id LIMIT 1"


class JobStore:
    """The jobs of one project folder; several threads may use it.

    Args:
        folder: of the project.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        self._lock = threading.RLock()
        with reporting(self.path):
            self._connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # an answered request must survive a power cut
            self._connection.executescript(_SCHEMA)

    def request(self, link: int, kind: Kind, reason: str, mark: str = "") -> Job:
        """Ask for a job; when it returns the wish is on the disk. A job that waits already is the same wish."""
        waiting = self._waiting(link, kind)
        if waiting is not None:
            return waiting
        now = time.time()
        with self._lock:
            self._run(
                "INSERT INTO jobs (link, kind, reason, mark, state, requested, due, attempts, delays, error, note, "
                "version) VALUES (?, ?, ?, ?, 'queued', ?, ?, 0, 0, '', '', '') "
                "ON CONFLICT (link, kind) WHERE state = 'queued' DO NOTHING",
                (link, kind, reason, mark, now, now),
            )
            found = self._waiting(link, kind)
        assert found is not None
        return found

    def claim(self) -> Job | None:
        """Begin the job that is due, trainings first; None if there is none.

        A training that is wished for during another, or right after it, waits for `REST`: such wishes come in bursts.
        """
        now = time.time()
        with self._lock:
            due = self._find(
                f"state = 'queued' AND (due <= ? OR due > ?) AND NOT {_RESTING} {_ORDER}",
                (now, now + _LATEST, now - REST, now),
            )
            if not due:
                return None
            self._run(
                "UPDATE jobs SET state = 'running', started = ?, finished = NULL, attempts = attempts + 1, note = '' "
                "WHERE id = ?",
                (now, due[0].id),
            )
            return self.get(due[0].id)

    def get(self, job: int) -> Job:
        """A job as it is now."""
        return self._find("id = ?", (job,))[0]

    def note(self, job: int, text: str, *, pid: int | None = None) -> None:
        """Keep what a running job says, and the id of its process."""
        self._run("UPDATE jobs SET note = ?, pid = coalesce(?, pid) WHERE id = ?", (text, pid, job))

    def begin(self, job: int, mark: str) -> None:
        """Keep what there was when a job began."""
        self._run("UPDATE jobs SET mark = ? WHERE id = ?", (mark, job))

    def done(self, job: int, version: str, note: str = "") -> None:
        """A job has succeeded; a refresh that waited since before a training began is done with it."""
        now, found = time.time(), self.get(job)
        with self._lock:
            self._run(
                "UPDATE jobs SET state = 'done', finished = ?, version = ?, note = ?, error = '', pid = NULL "
                "WHERE id = ?",
                (now, version, note, job),
            )
            if found.kind == "train":
                self._run(
                    "UPDATE jobs SET state = 'done', finished = ?, version = ?, note = 'done by a training' "
                    "WHERE link = ? AND kind = 'refresh' AND state = 'queued' AND requested < ?",
                    (now, version, found.link, found.started),
                )
            self._run(
                "DELETE FROM jobs WHERE state IN ('done', 'failed') AND id <= (SELECT max(id) FROM jobs) - ?", (_KEPT,)
            )

    def failed(self, job: int, error: str) -> None:
        """A job has failed for good."""
        self._run(
            "UPDATE jobs SET state = 'failed', finished = ?, error = ?, pid = NULL WHERE id = ?",
            (time.time(), error, job),
        )

    def delay(self, job: int, error: str, seconds: float) -> None:
        """A job has to wait for another program; that is no attempt."""
        self._queue_again(self.get(job), error, seconds, attempts=-1, delays=1)

    def died(self, job: int, error: str) -> Job:
        """The process of a job died: it waits for another attempt, or has failed after `MOST_ATTEMPTS`."""
        found = self.get(job)
        if found.attempts >= MOST_ATTEMPTS:
            self.failed(job, f"{error}; given up after {found.attempts} attempts")
        else:
            self._queue_again(found, error, 0.0)
        return self.get(job)

    def recover(self, *, counted: bool = True) -> list[Job]:
        """Jobs that were running when the server ended wait again; for the only server of the folder.

        Args:
            counted: the server died, so the attempt counts; it does not when the server was stopped on purpose.
        """
        found = self._find("state = 'running' ORDER BY id", ())
        for job in found:
            if counted:
                self._queue_again(job, "the server was ended in the middle of it", _rest(job.attempts))
            else:
                self._queue_again(job, "", 0.0, attempts=-1)
        return [self.get(job.id) for job in found]

    def latest(self, link: int, kind: Kind) -> Job | None:
        """The job of a kind that was asked for last."""
        found = self._find("link = ? AND kind = ? ORDER BY id DESC LIMIT 1", (link, kind))
        return found[0] if found else None

    def active(self, link: int | None = None, kind: Kind | None = None) -> list[Job]:
        """Jobs that wait or run, of a link and a kind or of all."""
        return self._find(
            "state IN ('queued', 'running') AND (? IS NULL OR link = ?) AND (? IS NULL OR kind = ?) ORDER BY id",
            (link, link, kind, kind),
        )

    def jobs(self) -> list[Job]:
        """All that are remembered, the oldest first."""
        return self._find("1 ORDER BY id", ())

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _waiting(self, link: int, kind: Kind) -> Job | None:
        found = self._find("link = ? AND kind = ? AND state = 'queued'", (link, kind))
        return found[0] if found else None

    def _queue_again(self, job: Job, error: str, seconds: float, *, attempts: int = 0, delays: int = 0) -> None:
        with self._lock:
            later = self._waiting(job.link, job.kind)
            if later is not None:  # the same wish came again meanwhile: one of the two is enough
                self._run("DELETE FROM jobs WHERE id = ?", (later.id,))
            self._run(
                "UPDATE jobs SET state = 'queued', due = ?, error = ?, attempts = attempts + ?, delays = delays + ?, "
                "pid = NULL WHERE id = ?",
                (time.time() + seconds, error, attempts, delays, job.id),
            )

    def _run(self, statement: str, values: Sequence[object]) -> None:
        with self._lock, reporting(self.path), transaction(self._connection):
            self._connection.execute(statement, values)

    def _find(self, where: str, values: Sequence[Any]) -> list[Job]:
        with self._lock, reporting(self.path):
            found = self._connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {where}", values).fetchall()  # noqa: S608
        return [Job(*row) for row in found]


def _rest(attempts: int) -> float:
    """Seconds to wait before a job in which the server died is begun once more."""
    if attempts < MOST_ATTEMPTS:
        return 0.0
    return min(LONGEST_REST, FIRST_REST * 2.0 ** min(attempts - MOST_ATTEMPTS, 10))


def server_line(folder: str | Path) -> str | None:
    """What `spml-annotate status` says of the server's jobs; None if no server ever served the folder."""
    if not (Path(folder) / FILE).is_file():
        return None
    store = JobStore(folder)
    try:
        jobs = store.jobs()
    finally:
        store.close()
    parts = [f"{_SAID[job.kind]} {_state(job)}" for job in jobs if job.state in ("queued", "running")]
    trainings = [job for job in jobs if job.kind == "train" and job.state in ("done", "failed")]
    if trainings:
        last = trainings[-1]
        outcome = f"gave {last.version}" if last.state == "done" else f"FAILED: {last.error}"
        parts.append(f"last training ({_clock(last.finished)}) {outcome}")
    return "; ".join(parts) or "nothing was trained yet"


_SAID = {"train": "a training", "refresh": "a renewal of the predictions"}


def _state(job: Job) -> str:
    if job.state == "running":
        return f"runs since {_clock(job.started)}" + (f" ({job.note})" if job.note else "")
    return "waits" + (f" ({job.error})" if job.error else "")


def _clock(seconds: float | None) -> str:
    return time.strftime("%d %b %H:%M", time.localtime(seconds))
