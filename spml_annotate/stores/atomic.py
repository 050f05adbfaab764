"""Files that are either the old one or the new one, never half of one, whatever kills the process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from spml_annotate.errors import DataError
from spml_annotate.stores.leftovers import being_written


def write_atomically(path: str | Path, write: Callable[[BinaryIO], None]) -> None:
    """Replace ``path`` by what ``write`` puts into the binary file it is given.

    The new content goes to a hidden temporary file in the same folder (a rename across file systems would not be
    atomic), is forced to the disk, and only then takes the name. If anything fails, ``path`` stays as it was. What a
    killed process left half written under this name is removed.

    Raises:
        DataError: if the folder is missing, not writable or full, or if ``path`` is a device or a pipe, whose place the
            file would take. Other errors of ``write`` pass through.
    """
    path = Path(path)
    _refuse_devices(path)
    try:
        with being_written(path, _create) as temporary:
            with temporary.open("wb") as file:
                write(file)
                force_to_disk(file)
            publish(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_target(path: str | Path) -> None:
    """Say before long work that `write_atomically` could not write there.

    Raises:
        DataError: if the folder is missing or not writable, or ``path`` is a device or a pipe.
    """
    path = Path(path)
    _refuse_devices(path)
    try:
        with being_written(path, _create):
            pass
    except OSError as error:
        raise cannot_write(path, error) from error


def write_text(path: str | Path, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8, as `write_atomically` does; line ends are kept as they are."""
    content = text.encode()

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(path, write)


def _refuse_devices(path: Path) -> None:
    """Raise DataError for what must not be replaced: /dev/null, /dev/stdout, a named pipe."""
    open_file = path.is_symlink() and os.readlink(path).startswith("/proc/")  # of this process
    if open_file or (path.exists() and not path.is_file() and not path.is_dir()):
        raise DataError(f"cannot write {path}: it is a device or a pipe, not a file; name an ordinary file")


def force_to_disk(file: BinaryIO) -> None:
    """Return only when the content of an open file has reached the disk."""
    file.flush()
    os.fsync(file.fileno())


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, replacing what had it, and force the new name to the disk."""
    temporary.replace(path)
    if os.name != "posix":  # other systems cannot open a folder, and need not
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def cannot_write(path: Path, error: OSError) -> DataError:
    """The error to raise when the system refuses to write ``path``."""
    reason = error.strerror or str(error)
    return DataError(f"cannot write {path}: {reason}; check that its folder exists, is writable and has room")


def _create(temporary: Path) -> None:
    temporary.open("xb").close()
