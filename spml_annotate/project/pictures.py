"""Adding image files to a project: each is read once, so that what cannot be used is known from the start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats.images import IMAGE_SUFFIXES, clean_id, list_images, other_pictures
from spml_annotate.progress import progress
from spml_annotate.stores.images import TRAIN, ImageEntry, describe_file
from spml_annotate.workspace import Workspace


@dataclass(frozen=True)
class AddedImages:
    """What `add_images` did: new and known images, copies as (id, id of the first), unreadable ones as (id, why).

    ``others`` are pictures in the folders of kinds that are not read, such as HEIC.
    """

    new: int
    known: int
    duplicates: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    images: int
    others: tuple[str, ...] = ()


def add_images(
    workspace: Workspace, sources: str | Path | Sequence[str | Path], *, split: int = TRAIN, prefix: str = ""
) -> AddedImages:
    """Add folders (all images below them) and single files.

    An image's id is its path relative to the folder given, or its file name, after ``prefix``.

    Args:
        workspace: the project.
        sources: folders and files.
        split: 0 train, 1 validation, 2 test; a copy of an image joins that image's split.
        prefix: put before every id; two folders with equal file names need it.

    Raises:
        DataError: if a folder is missing or holds no image, or an id is there with other content; it adds nothing then.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    found = [item for source in given for item in _files(Path(source))]
    with workspace.writing("images add"):
        before = len(workspace.images)
        entries = _entries(workspace, found, split, clean_id(prefix))
        try:
            rows = workspace.images.add(entries)
        except DataError as error:
            raise DataError(f"{error}, or give --prefix NAME/ for this folder") from None
    new = sorted({int(row) for row in rows if row >= before})
    ids, copies, faults = workspace.images.ids(), workspace.images.duplicates(), workspace.images.errors()
    others = [name for source in given if Path(source).is_dir() for name in other_pictures(Path(source))]
    return AddedImages(
        new=len(new),
        known=len({int(row) for row in rows}) - len(new),
        duplicates=tuple((ids[row], ids[copies[row]]) for row in new if row in copies),
        unreadable=tuple((ids[row], faults[row]) for row in new if row in faults),
        images=len(ids),
        others=tuple(others),
    )


def move_images(workspace: Workspace, old: str | Path, new: str | Path) -> int:
    """Note that the folder ``old`` of images lies at ``new`` now; returns how many images that changes.

    Raises:
        DataError: if no image of the project lies in ``old``, or one of those is not at ``new``.
    """
    before, after = Path(os.path.abspath(old)), Path(os.path.abspath(new))
    with workspace.writing("images move"):
        moved: dict[int, Path] = {}
        for row, path in enumerate(workspace.image_paths()):
            whole = Path(os.path.abspath(path))
            if whole.is_relative_to(before):
                moved[row] = after / whole.relative_to(before)
        missing = [path for path in moved.values() if not path.is_file()]
        if missing or not moved:
            what = f"{len(missing)} of {len(moved)} images are not there, such as {missing[0]}" if missing else ""
            raise DataError(f"cannot move {old} to {new}: {what or f'no image of the project lies in {before}'}")
        for row, path in moved.items():
            workspace.images.move(row, workspace.stored_path(path))
    return len(moved)


def _files(source: Path) -> list[tuple[Path, Path]]:
    """(file, folder that its id is relative to) of everything that a source names."""
    if source.is_dir():
        return [(source / name, source) for name in list_images(source)]
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder; check the path")
    if source.suffix.lower() not in IMAGE_SUFFIXES:
        raise DataError(f"{source}: this is no image file; images end in .jpg, .png, .webp and the like")
    return [(source, source.parent)]


def _entries(workspace: Workspace, files: list[tuple[Path, Path]], split: int, prefix: str) -> list[ImageEntry]:
    known, flagged = workspace.images.ids(), workspace.images.errors()
    sound = {name for row, name in enumerate(known) if row not in flagged}

    def describe(item: tuple[Path, Path]) -> ImageEntry:
        entry = describe_file(*item, split)
        entry = entry._replace(id=prefix + entry.id, path=workspace.stored_path(item[0]))
        if entry.id in sound or entry.error is not None:
            return entry
        fault = _fault(item[0])
        return entry if fault is None else entry._replace(error=fault, sha256="")  # the file may be mended later

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(progress(pool.map(describe, files), total=len(files), what="reading images"))


def _fault(path: Path) -> str | None:
    """Why a file cannot be used as a picture; None if it can."""
    from spml_annotate.embed.decode import decode

    try:
        decode(path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")  # the image is named beside it
    return None
