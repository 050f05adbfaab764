"""Opening the SQLite file of a project: schema, format version, and settings that survive a kill and a power cut."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spml_annotate.errors import DataError, MismatchError

FORMAT_VERSION = 1
_APPLICATION = 0x53504D4C  # "SPML" in the file's header, so that a stranger's database is not written into
_PATIENCE = 60.0  # seconds to wait for other processes that write

# CHECK(typeof) instead of STRICT tables: long-term distributions still ship an SQLite that lacks them.
_SCHEMA = """
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    event TEXT NOT NULL UNIQUE CHECK (event <> ''),
    row INTEGER NOT NULL CHECK (typeof(row) = 'integer' AND row >= 0),
    label INTEGER NOT NULL CHECK (typeof(label) = 'integer' AND label >= 0),
    answer TEXT NOT NULL CHECK (answer IN ('yes', 'no', 'unsure', 'skip', 'retract')),
    annotator TEXT NOT NULL,
    source TEXT NOT NULL,
    seconds REAL NOT NULL CHECK (typeof(seconds) = 'real' AND seconds >= 0),
    time REAL NOT NULL CHECK (typeof(time) = 'real'),
    question TEXT NOT NULL,
    shown INTEGER NOT NULL CHECK (shown IN (0, 1))
);
CREATE INDEX events_question ON events (question) WHERE question <> '';
CREATE INDEX events_cell ON events (row, label);
CREATE TRIGGER events_keep BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'answers are append-only: append a retract instead'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'answers are append-only: append a retract instead'); END;
CREATE TABLE images (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    split INTEGER NOT NULL CHECK (split IN (0, 1, 2)),
    error TEXT,
    duplicate_of INTEGER REFERENCES images (row) CHECK (duplicate_of < row)
);
CREATE INDEX images_content ON images (sha256) WHERE sha256 <> '';
CREATE INDEX images_copies ON images (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE TRIGGER images_keep BEFORE UPDATE OF row, id, duplicate_of ON images
    BEGIN SELECT RAISE(ABORT, 'the image list is append-only'); END;
CREATE TRIGGER images_same BEFORE UPDATE OF sha256 ON images WHEN OLD.sha256 <> '' AND OLD.sha256 <> NEW.sha256
    BEGIN SELECT RAISE(ABORT, 'the image list is append-only: contents never change'); END;
CREATE TRIGGER images_stay BEFORE DELETE ON images
    BEGIN SELECT RAISE(ABORT, 'the image list is append-only'); END;
"""


def connect(path: str | Path) -> sqlite3.Connection:
    """Open the project's database, creating it if there is none.

    Write-ahead log (readers and a writer do not block each other) with a forced write per commit: what was
    acknowledged survives ``kill -9`` and a power cut. Several processes may write; each waits for its turn. A database
    that this user may not write is opened for reading alone: a finished project on a read-only disk can be looked at
    and exported.

    Raises:
        DataError: if the file cannot be opened, or is not a database of ours. MismatchError: if it is a newer one's.
    """
    path = Path(path)
    if _is_read_only(path):
        return _connect_to_read(path)
    with reporting(path):
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        with reporting(path):
            _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_read_only(path: Path) -> bool:
    """Whether there is a database that is not ours to write; its log lies beside it, so the folder matters, too."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Without a log beside it nobody is writing; SQLite then needs no file of its own, which it could not make here."""
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.is_file() and log.stat().st_size else "mode=ro&immutable=1"
    with reporting(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
    try:
        with reporting(path):
            _check_ours(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turns what SQLite says into an error that names the file and a remedy."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
        raise DataError(f"{path}: {error}{_remedy(str(error))}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the writer's place at once, so that waiting for others cannot fail half way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def _remedy(message: str) -> str:
    hints = {
        "unable to open": "; check that the folder exists and may be written to",
        "readonly": "; check the permissions of the file and its folder",
        "locked": "; another process has been writing for a minute, try again when it has ended",
        "full": "; make room on the disk and try again",
        "disk I/O": "; most often the disk is full: make room and try again",
        "not a database": "; it is another kind of file or damaged, restore it from a copy",
        "malformed": "; it is damaged, restore it from a copy",
    }
    return next((hint for part, hint in hints.items() if part in message), "")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _check_ours(connection, path)
    _use_write_ahead_log(connection, path)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA recursive_triggers = ON")  # else REPLACE would delete past the trigger
    if _number(connection, "user_version"):
        return
    with transaction(connection):
        if _number(connection, "user_version") == 0:  # still: another process may have been faster
            for statement in _statements():
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        return  # new, or being made by another process at this moment
    if _number(connection, "application_id") != _APPLICATION:
        raise DataError(f"{path}: this is another program's database; give a file of this project")
    version = _number(connection, "user_version")
    if version > FORMAT_VERSION:
        raise MismatchError(
            f"{path}: written by a newer version (format {version}, this one reads up to {FORMAT_VERSION}); "
            "upgrade spml-annotate"
        )


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    """Switching a file over needs it alone for a moment, and SQLite does not always wait for that by itself."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise DataError(f"{path}: the file system cannot hold a write-ahead log; put the project on a local disk")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _statements() -> Iterator[str]:
    """The schema's statements one by one: ``executescript`` would commit the transaction it runs in."""
    statement = ""
    for line in _SCHEMA.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
