"""Temporary files and folders: their names, who is writing them, and what becomes of those whose writer was killed.

Whoever writes one holds a lock on it that the system releases when the process dies, however it dies. So
the next write of the same name can tell what is left over from what another process is writing at this moment. Where
the system has no such locks, nothing is tidied away.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}\.tmp", re.DOTALL)


@contextmanager
def being_written(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A hidden file or folder beside ``path`` that ``make`` makes; it is removed afterwards unless it was renamed.

    What killed writers of ``path`` left is removed first.
    """
    remove_leftovers(path)
    place, descriptor = _new_name(path), None
    try:
        while descriptor is None:
            make(place)
            descriptor = _claim(place)
            place = place if descriptor is not None else _new_name(path)  # somebody took it for a leftover
        yield place
    finally:
        if place.parent.is_dir():  # a folder that is gone has nothing to tidy
            _remove(place)
        if descriptor is not None and descriptor >= 0:
            os.close(descriptor)


def _new_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it; what cannot be removed stays.

    A folder is looked through once per process, for it may hold a million files.
    """
    for left in _leftovers(str(path.parent)).get(path.name, ()):
        try:
            with _unless_locked(left) as free:
                if free:
                    _remove(left)
        except OSError:  # gone already, or somebody else's: only tidiness is lost
            continue


def is_being_written(path: Path) -> bool:
    """Whether some process is writing ``path`` at this moment, as far as anybody can tell."""
    for left in _look(str(path.parent)).get(path.name, ()):
        try:
            with _unless_locked(left) as free:
                if not free:
                    return True
        except FileNotFoundError:  # finished in between
            continue
    return False


@contextmanager
def _unless_locked(left: Path) -> Iterator[bool]:
    """Whether nobody writes it, and nobody begins to meanwhile; a link or a device is never ours to touch."""
    if left.is_symlink() or not (left.is_file() or left.is_dir()) or sys.platform == "win32":
        yield False
        return
    descriptor = os.open(left, os.O_RDONLY)
    try:
        yield _lock(descriptor, wait=False)
    finally:
        os.close(descriptor)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


@lru_cache(maxsize=256)
def _leftovers(folder: str) -> dict[str, list[Path]]:
    return _look(folder)


def _look(folder: str) -> dict[str, list[Path]]:
    """Temporary files and folders in a folder, by the names that they were to take."""
    found: dict[str, list[Path]] = {}
    try:
        names = os.listdir(folder)
    except OSError:  # whoever writes there will say what is wrong
        return found
    for name in names:
        if match := _NAME.fullmatch(name):
            found.setdefault(match["name"], []).append(Path(folder, name))
    return found


def _claim(place: Path) -> int | None:
    """A descriptor that holds the lock of a file; None if it is gone, -1 where there are no locks."""
    if sys.platform == "win32":
        return -1
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except FileNotFoundError:
        return None
    _lock(descriptor, wait=True)
    if place.exists():
        return descriptor
    os.close(descriptor)
    return None


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Whether the lock was taken; a writer does without on a disk that knows none, and there nobody tidies."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
