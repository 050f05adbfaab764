"""The picture files that go into an export: found for every image, then copied or linked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from spml_annotate.errors import DataError


def picture_files(path: str | Path, ids: Iterable[str], pictures: Mapping[str, Path] | None, what: str) -> list[Path]:
    """The file of every image.

    Args:
        path: of the export, for messages.
        ids: of the images.
        pictures: image id → file.
        what: the name of the format.

    Raises:
        DataError: if there are none, or one is missing.
    """
    if pictures is None:
        raise DataError(f"{path}: {what} holds the pictures themselves; export with --images copy or --images link")
    files = []
    for name in ids:
        file = pictures.get(name)
        if file is None or not file.is_file():
            why = "nothing says which file it is" if file is None else f"there is no file {file}"
            raise DataError(f"{path}: image {name!r} cannot be exported, {why}; bring it back or leave the image out")
        files.append(file)
    return files


def put_picture(source: Path, target: Path, *, link: bool) -> None:
    """Copy a picture, or give it a further name where the file system can; folders on the way are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (link and _linked(source, target)):
        shutil.copyfile(source, target)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, as stored; only the head of the file is read.

    Raises:
        DataError: if it is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: its size cannot be read ({reason}); export without pictures, or leave the image out"
        ) from None


def shards_of(
    rows: Sequence[int], files: Sequence[Path] | None, most_images: int, most_bytes: int
) -> Iterator[list[int]]:
    """Rows cut into shards of at most so many images and about so many bytes; without rows there is one empty shard."""
    shard: list[int] = []
    size = 0
    for row in rows:
        more = files[row].stat().st_size if files is not None else 0
        if shard and (len(shard) >= most_images or size + more > most_bytes):
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += more
    if shard or not rows:
        yield shard


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link could be made; across file systems it cannot."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False
    return True
