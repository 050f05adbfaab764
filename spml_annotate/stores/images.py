"""The append-only list of a project's images: which row is which file, exact duplicates, splits, unreadable ones."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.labels import Rows
from spml_annotate.stores.database import connect, reporting, transaction

TRAIN, VALIDATION, TEST = 0, 1, 2


class ImageEntry(NamedTuple):
    """One image to add.

    ``id`` is its path relative to the folder it was found in, with forward slashes, so that equal file names in
    different subfolders are different images. ``sha256`` is the hash of the file's content, empty if there is no file
    (features that came without pictures) or none that can be read. ``error`` says why it cannot be read, if it cannot.
    """

    id: str
    path: str = ""
    sha256: str = ""
    split: int = TRAIN
    error: str | None = None


def describe_file(path: str | Path, root: str | Path, split: int = TRAIN) -> ImageEntry:
    """The entry of an image file below ``root``; a file that cannot be read is flagged, not an error.

    Raises:
        DataError: if the file does not lie below ``root``.
    """
    path = Path(path)
    try:
        name = path.relative_to(root).as_posix()
    except ValueError:
        raise DataError(f"{path} does not lie below {root}; give the folder that holds it") from None
    try:
        with path.open("rb") as file:
            return ImageEntry(name, str(path), hashlib.file_digest(file, "sha256").hexdigest(), split)
    except OSError as error:
        return ImageEntry(name, str(path), "", split, error.strerror or str(error))


class ImageList:
    """The images of a project in the order they were added; a row never changes its meaning.

    Args:
        database: the project's SQLite file, or an open connection to it from `stores.database.connect`, which stays
            the caller's to close.
    """

    def __init__(self, database: str | Path | sqlite3.Connection) -> None:
        self._ours = not isinstance(database, sqlite3.Connection)
        self._connection = database if isinstance(database, sqlite3.Connection) else connect(database)
        self._where = Path("the image list") if isinstance(database, sqlite3.Connection) else Path(database)
        self._fingerprints: dict[int, str] = {}

    def add(self, items: Iterable[ImageEntry]) -> Rows:
        """Append images, all or none, and return the row of each, int64 [n].

        An image whose id and content are there already keeps its row; so does one that could not be read, whatever
        stands in its place now: it stays flagged until `restore`. A copy (equal content under another id) gets a
        row of its own, is marked as a duplicate of the first, and joins the first one's split.

        Raises:
            DataError: if an id is there with other content, or a split is not 0, 1 or 2; then nothing was added.
        """
        entries = [_checked(entry) for entry in items]
        with reporting(self._where), transaction(self._connection):
            return np.array([self._place(entry) for entry in entries], dtype=np.int64)

    def _place(self, entry: ImageEntry) -> int:
        query = "SELECT row, sha256, error FROM images WHERE id = ?"
        found = self._connection.execute(query, (entry.id,)).fetchone()
        if found is not None:
            if found[2] is not None:
                self._connection.execute("UPDATE images SET path = ? WHERE row = ?", (entry.path, found[0]))
            elif found[1] != entry.sha256:
                raise DataError(
                    f"image {entry.id!r} is in the project with other content; images are never replaced: "
                    "add the changed file under another name"
                )
            return int(found[0])
        original, split = self._original(entry)
        row = len(self)
        self._connection.execute(
            "INSERT INTO images (row, id, path, sha256, split, error, duplicate_of) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row, entry.id, entry.path, entry.sha256, split, entry.error, original),
        )
        return row

    def _original(self, entry: ImageEntry) -> tuple[int | None, int]:
        if not entry.sha256:
            return None, entry.split
        found = self._connection.execute(
            "SELECT row, split FROM images WHERE sha256 = ? AND sha256 <> '' AND duplicate_of IS NULL", (entry.sha256,)
        ).fetchone()
        return found or (None, entry.split)

    def obstacle(self, row: int, sha256: str) -> str | None:
        """Why a flagged image must stay flagged though its file can be read, with this content; None if it need not.

        An image that was readable when it was added must come back as it was, for it may have answers. The content of
        any other becomes known only now, and may be that of an image which is there already.
        """
        name, before = self._all("SELECT id, sha256 FROM images WHERE row = ?", (int(row),))[0]
        if before:
            changed = "the file has another content than when it was added; add it under another name"
            return changed if before != sha256 else None
        twins = self._all("SELECT id FROM images WHERE sha256 = ? AND id <> ? LIMIT 1", (sha256, name))
        return f"a copy of {twins[0][0]}, which stands for it" if twins else None

    def restore(self, row: int, sha256: str) -> None:
        """Take back the note that an image cannot be read, and note its content; see `obstacle`."""
        self._check_rows(np.array([row], dtype=np.int64))
        with reporting(self._where), transaction(self._connection):
            values = {"row": int(row), "content": sha256}
            self._connection.execute("UPDATE images SET sha256 = :content WHERE row = :row AND sha256 = ''", values)
            self._connection.execute("UPDATE images SET error = NULL WHERE row = :row", values)

    def __len__(self) -> int:
        # Rows have no gaps, and the largest key is found at once where counting would read all of them.
        return int(self._all("SELECT coalesce(max(row) + 1, 0) FROM images")[0][0])

    def ids(self) -> tuple[str, ...]:
        """Ids of all N images."""
        return self._column("id")

    def paths(self) -> tuple[str, ...]:
        """Paths of all N images, empty where there is no file."""
        return self._column("path")

    def splits(self) -> NDArray[np.int8]:
        """Split of every image, int8 [N]: 0 train, 1 validation, 2 test."""
        return np.array(self._column("split"), dtype=np.int8)

    def originals(self) -> Rows:
        """The first row with the same content for every image, int64 [N]; its own row where it is the first."""
        return np.array(self._column("coalesce(duplicate_of, row)"), dtype=np.int64)

    def duplicates(self) -> dict[int, int]:
        """Row of every copy → row of the first image with the same content."""
        return dict(self._all("SELECT row, duplicate_of FROM images WHERE duplicate_of IS NOT NULL ORDER BY row"))

    def errors(self) -> dict[int, str]:
        """Row of every image that cannot be read → why."""
        return dict(self._all("SELECT row, error FROM images WHERE error IS NOT NULL ORDER BY row"))

    def fingerprint(self, count: int | None = None) -> str:
        """Hash over the ids of the first ``count`` images (all by default); appending images does not change it.

        Raises:
            DataError: if there are not that many images.
        """
        have = len(self)
        wanted = have if count is None else count
        if not 0 <= wanted <= have:
            raise DataError(f"the project has {have} images, not {wanted}")
        if wanted not in self._fingerprints:
            digest = hashlib.sha256()
            for (name,) in self._all("SELECT id FROM images WHERE row < ? ORDER BY row", (wanted,)):
                text = name.encode()
                digest.update(len(text).to_bytes(8, "little") + text)
            self._fingerprints[wanted] = digest.hexdigest()[:16]
        return self._fingerprints[wanted]

    def flag(self, row: int, error: str | None) -> None:
        """Note why an image cannot be read; None takes the note back."""
        self._update("UPDATE images SET error = ? WHERE row = ?", [(error, int(row))])

    def move(self, row: int, path: str) -> None:
        """Note where an image's file lies now."""
        self._update("UPDATE images SET path = ? WHERE row = ?", [(path, int(row))])

    def set_split(self, rows: Sequence[int] | Rows, split: int) -> Rows:
        """Put images into a split, together with all their copies; returns all rows that now are there for it.

        Raises:
            DataError: for a row that is not in the list or a split that is not 0, 1 or 2; then nothing changed.
        """
        _check_split(split)
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        self._check_rows(wanted)
        originals = self.originals()
        family = np.flatnonzero(np.isin(originals, originals[wanted]))
        self._update("UPDATE images SET split = ? WHERE row = ?", [(int(split), int(row)) for row in family])
        return family

    def _update(self, statement: str, values: list[tuple[object, int]]) -> None:
        self._check_rows(np.array([row for _, row in values], dtype=np.int64))
        with reporting(self._where), transaction(self._connection):
            self._connection.executemany(statement, values)

    def _check_rows(self, rows: Rows) -> None:
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            wrong = rows[(rows < 0) | (rows >= len(self))][0]
            raise DataError(f"there is no image {wrong}; the project has {len(self)} images")

    def _column(self, expression: str) -> tuple[Any, ...]:
        return tuple(value for (value,) in self._all(f"SELECT {expression} FROM images ORDER BY row"))  # noqa: S608

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with reporting(self._where):
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Let go of the file if this list opened it; closing twice is allowed."""
        if self._ours:
            self._connection.close()

    def __enter__(self) -> ImageList:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checked(entry: ImageEntry) -> ImageEntry:
    if not entry.id:
        raise DataError("an image needs an id: its path relative to the folder")
    _check_split(entry.split)
    return entry._replace(split=int(entry.split))


def _check_split(split: int) -> None:
    if split not in (TRAIN, VALIDATION, TEST):
        raise DataError(f"split {split!r} is not one of 0 (train), 1 (validation), 2 (test)")
