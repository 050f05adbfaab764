"""Folders that are written whole or not at all, and that replace only what was written the same way."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.stores.atomic import cannot_write, write_text
from spml_annotate.stores.leftovers import being_written, is_being_written

_LIST = ".spml-annotate-files"
_MANIFEST = "manifest.json"
_OLD = {"labels.parquet", _MANIFEST}


def write_folder(path: str | Path, write: Callable[[Path], None]) -> None:
    """Make the folder ``path`` of the files that ``write`` puts into the empty folder it is given.

    That one is hidden and lies beside ``path``; when it is complete it takes the name. A folder that was there is
    replaced if every file in it was written by this function or announced by `note_files`; a hidden list in the folder
    says so. If anything fails, ``path`` stays as it was; what a killed process left of it is tidied up.

    Raises:
        DataError: if ``path`` is a file, holds other people's files, or cannot be written. Other errors of ``write``
            pass through.
    """
    path = Path(path)
    check_folder(path)
    try:
        give_back_name(path)
        with being_written(path, Path.mkdir) as beside:
            write(beside)
            _note(beside, _files(beside))
            _take_the_name(beside, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def give_back_name(path: Path) -> None:
    """Undo what a process did that was killed between taking the name from the old folder and giving it to the new."""
    form = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.old")
    olds = [old for old in sorted(path.parent.iterdir()) if form.fullmatch(old.name) and old.is_dir()]
    if not olds or is_being_written(path):
        return
    for old in olds:
        if path.exists():
            shutil.rmtree(old)
        else:
            old.rename(path)


def check_folder(path: str | Path) -> None:
    """Raise DataError unless `write_folder` may write ``path``; a good thing to ask before long work."""
    path = Path(path)
    if path.is_symlink():  # a rename would take the place of the link and leave the folder behind it as it was
        raise DataError(f"{path}: this is a link to {os.readlink(path)}; name the folder itself")
    if not path.exists():
        return
    if not path.is_dir():
        raise DataError(f"{path}: this is a file, and the export is a folder; choose another name")
    if _is_old(path):
        return
    if (path / _LIST).is_file():
        foreign = min(_files(path) - _noted(path), default=None)
    else:  # nothing in it is ours: the first thing found will do, the folder may be a whole disk
        foreign = next((name for _, _, names in os.walk(path) for name in sorted(names)), None)
    if foreign is not None:
        raise DataError(
            f"{path}: the folder holds {foreign!r}, which no export wrote; choose another name or move it away"
        )


def _is_old(path: Path) -> bool:
    """Whether this is an export from before there were lists: both of its files, nothing else, and ours by its word."""
    if {entry.name for entry in islice(path.iterdir(), len(_OLD) + 1)} != _OLD:
        return False
    try:
        content = json.loads((path / _MANIFEST).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == "spml-annotate labels"


def note_files(folder: str | Path, names: Iterable[str]) -> None:
    """Say of files put into a written folder later that they belong to it, so that the next export may replace them.

    Args:
        folder: what `write_folder` made.
        names: paths relative to it, with ``/``.
    """
    _note(Path(folder), _noted(Path(folder)) | set(names))


def _take_the_name(beside: Path, path: Path) -> None:
    if not path.exists():
        beside.rename(path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    path.rename(old)
    try:
        beside.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _files(folder: Path) -> set[str]:
    found = (
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_symlink() or not file.is_dir()
    )
    return {name for name in found if name != _LIST}


def _note(folder: Path, names: set[str]) -> None:
    write_text(folder / _LIST, "".join(f"{name!r}\n" for name in sorted(names)))


def _noted(folder: Path) -> set[str]:
    """Names are written as Python texts, for file names may hold line breaks; compared, never evaluated."""
    listed = folder / _LIST
    if not listed.is_file():
        return set()
    lines = set(listed.read_text("utf-8").splitlines())
    return {name for name in _files(folder) if repr(name) in lines}
