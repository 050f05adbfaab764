"""One writer at a time: a lock that the system itself releases when the process dies, however it dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spml_annotate.errors import MismatchError
from spml_annotate.stores.atomic import cannot_write


class WriterLock:
    """The lock of one project folder; taking it again while it is held by this object is allowed.

    Args:
        path: the lock file. Its content says who holds the lock; that it exists means nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._depth = 0
        self._descriptor = -1

    @contextmanager
    def hold(self, what: str) -> Iterator[None]:
        """Hold the lock while the block runs; ``what`` is told to whoever wants it meanwhile.

        Raises:
            MismatchError: naming the process that holds it. DataError: if the folder may not be written.
        """
        if self._depth == 0:
            self._descriptor = self._take(what)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                os.close(self._descriptor)  # closing releases it

    def _take(self, what: str) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise cannot_write(self.path.parent, error) from None
        try:
            _claim(descriptor)
        except OSError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() if hasattr(os, "pread") else ""
            os.close(descriptor)
            raise MismatchError(
                f"{self.path.parent} is being written by another process ({holder or 'unknown'}); "
                "wait until it has ended, or end it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()}, {what}\n".encode())
        return descriptor


def _claim(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # far behind the text, which others may then still read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
