"""Large tables on disk: written in blocks, resumable, committed at once, and never mistaken for another table."""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.stores.arrayfile import (
    PIECE,
    REMEDY,
    START,
    ArrayInfo,
    Fingerprint,
    check_fingerprint,
    header,
    partial_path,
    progress_path,
    read_info,
    read_progress,
    trailer,
)
from spml_annotate.stores.atomic import cannot_write, force_to_disk, publish, write_text


class ArrayStore:
    """Writes a table [rows, columns] block by block; made by `create`, `resume` or `extend`, ended by `commit`.

    ``done`` is the number of rows written so far, where the next block goes. How far the work is gets noted after
    ``checkpoint_bytes`` or ``checkpoint_seconds``, whichever comes first: that much is lost at most when the process
    is killed.
    """

    def __init__(self, path: Path, info: ArrayInfo, file: BinaryIO, done: int, pace: tuple[int, float]) -> None:
        self.path = path
        self.done = done
        self._info = info
        self._file = file
        self._checksum = info.checksum
        self._noted = (done, time.monotonic())
        self._pace = pace

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: tuple[int, int],
        dtype: DTypeLike,
        fingerprint: Fingerprint,
        *,
        checkpoint_bytes: int = 8 << 20,
        checkpoint_seconds: float = 5.0,
    ) -> ArrayStore:
        """Start a table; what an unfinished attempt left is thrown away, what was committed stays until `commit`."""
        path = Path(path)
        rows, columns = (int(size) for size in shape)
        info = ArrayInfo((rows, columns), np.dtype(dtype).str, dict(fingerprint))
        progress_path(path).unlink(missing_ok=True)
        file = _open_partial(path, "w+b")
        store = cls(path, info, file, 0, (checkpoint_bytes, checkpoint_seconds))
        store._note()
        return store

    @classmethod
    def resume(
        cls,
        path: str | Path,
        fingerprint: Fingerprint,
        *,
        rows: int | None = None,
        before: Fingerprint | None = None,
        checkpoint_bytes: int = 8 << 20,
        checkpoint_seconds: float = 5.0,
    ) -> ArrayStore:
        """Go on with an unfinished table where it was last noted.

        Args:
            path: where the table will be.
            fingerprint: what the finished table will have been made from.
            rows: its final number of rows, if that has grown since.
            before: what it said when it was started, if that differs (rows were added since).
            checkpoint_bytes: see `ArrayStore`.
            checkpoint_seconds: see `ArrayStore`.

        Raises:
            DataError: if there is nothing to go on with, or it is damaged. MismatchError: if it was started from
                something else.
        """
        path = Path(path)
        done, info = read_progress(path)
        check_fingerprint(partial_path(path), info, fingerprint if before is None else before)
        size = info.shape[0] if rows is None else rows
        if size < done:
            raise MismatchError(f"{partial_path(path)} has {done} rows already, not up to {size}; {REMEDY}")
        info = replace(info, shape=(size, info.shape[1]), fingerprint=dict(fingerprint))
        file = _open_partial(path, "r+b")
        store = cls(path, info, file, done, (checkpoint_bytes, checkpoint_seconds))
        if file.seek(0, os.SEEK_END) < START + done * info.row_bytes:
            file.close()
            raise DataError(f"{partial_path(path)} is shorter than its progress says; delete it and {REMEDY}")
        store._note()
        return store

    @classmethod
    def extend(
        cls,
        path: str | Path,
        rows: int,
        fingerprint: Fingerprint,
        *,
        before: Fingerprint,
        checkpoint_bytes: int = 8 << 20,
        checkpoint_seconds: float = 5.0,
    ) -> ArrayStore:
        """Start a longer table with the rows of the committed one, which must have been made from ``before``.

        The committed table stays readable until the longer one is committed; its data is copied.
        """
        path = Path(path)
        old = read_info(path)
        check_fingerprint(path, old, before)
        if rows < old.shape[0]:
            raise MismatchError(f"{path} has {old.shape[0]} rows already, not up to {rows}; {REMEDY}")
        store = cls.create(
            path,
            (rows, old.shape[1]),
            old.dtype,
            fingerprint,
            checkpoint_bytes=checkpoint_bytes,
            checkpoint_seconds=checkpoint_seconds,
        )
        with path.open("rb") as file:
            file.seek(START)
            for start in range(0, old.data_bytes, PIECE):
                store._append(file.read(min(PIECE, old.data_bytes - start)), START + start)
        store.done = old.shape[0]
        store._note()
        return store

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the finished table."""
        return self._info.shape

    def write(self, start_row: int, block: NDArray[Any]) -> None:
        """Write the rows from ``start_row``, which must be ``done``, on; block is [R, columns] of any real dtype.

        Raises:
            MismatchError: for a block that does not fit there. DataError: if it holds numbers that the table's dtype
                cannot (infinite or undefined once converted), or the disk refuses.
        """
        block = np.asarray(block)
        rows, columns = self._info.shape
        if start_row != self.done or block.ndim != 2 or block.shape[1] != columns or start_row + len(block) > rows:
            raise MismatchError(
                f"{self.path}: a block of shape {block.shape} at row {start_row} does not go on at row {self.done} of "
                f"a table [{rows}, {columns}]"
            )
        self._append(self._converted(block).tobytes(), START + self.done * self._info.row_bytes)
        self.done += len(block)
        noted, moment = self._noted
        written = (self.done - noted) * self._info.row_bytes
        if written >= self._pace[0] or time.monotonic() - moment >= self._pace[1]:
            self._note()

    def _converted(self, block: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore", invalid="ignore"):
            converted = np.ascontiguousarray(block, dtype=self._info.dtype)
        if converted.dtype.kind == "f" and not np.isfinite(converted).all():
            row = int(np.flatnonzero(~np.isfinite(converted).all(axis=1))[0])
            raise DataError(f"{self.path}: row {self.done + row} holds a value that {self._info.dtype} cannot keep")
        return converted

    def _append(self, data: bytes, place: int) -> None:
        try:
            self._put(data, place)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._checksum = zlib.crc32(data, self._checksum)

    def _put(self, data: bytes, place: int) -> None:
        """An unbuffered file may take less than it is given."""
        self._file.seek(place)
        rest = memoryview(data)
        while len(rest):
            rest = rest[self._file.write(rest) :]

    def _note(self) -> None:
        """Data first, then the note that counts it: what the note counts is on the disk."""
        try:
            force_to_disk(self._file)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        state = {"done": self.done, **asdict(self._current())}
        write_text(progress_path(self.path), json.dumps(state, sort_keys=True))
        self._noted = (self.done, time.monotonic())

    def _current(self) -> ArrayInfo:
        return replace(self._info, checksum=self._checksum)

    def commit(self) -> None:
        """Publish the table under its name, replacing what had it.

        Raises:
            MismatchError: if rows are missing.
        """
        rows = self._info.shape[0]
        if self.done != rows:
            raise MismatchError(f"{self.path}: {self.done} of {rows} rows are written; write the others first")
        info = self._current()
        try:
            self._put(header(info), 0)
            self._file.truncate(START + info.data_bytes)  # an earlier attempt may have been further than it noted
            self._put(trailer(info), START + info.data_bytes)
            force_to_disk(self._file)
            self._file.close()
            publish(partial_path(self.path), self.path)
            progress_path(self.path).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Stop for now, noting how far the work is; `resume` goes on. After `commit` it does nothing."""
        if not self._file.closed:
            self._note()
            self._file.close()

    def __enter__(self) -> ArrayStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_array(path: str | Path, fingerprint: Fingerprint) -> np.memmap[Any, np.dtype[Any]]:
    """The committed table as a read-only memory map [rows, columns].

    Raises:
        DataError: if there is none, or it is cut off or not ours. MismatchError: if it was made from something else.
    """
    path = Path(path)
    info = read_info(path)
    check_fingerprint(path, info, fingerprint)
    return np.memmap(path, dtype=info.dtype, mode="r", offset=START, shape=info.shape)


def _open_partial(path: Path, mode: str) -> BinaryIO:
    try:
        # Unbuffered: what is written is with the system at once and survives a kill of the process.
        return partial_path(path).open(mode, buffering=0)  # type: ignore[return-value]
    except OSError as error:
        raise cannot_write(path, error) from error
