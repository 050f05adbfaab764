"""Named tables with one row per image, which stay valid when images are added: they are extended, not made again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.stores.arrayfile import ArrayInfo, read_info, read_progress
from spml_annotate.stores.arrays import ArrayStore, open_array

Prefix = Callable[[int], str]
"""The fingerprint of the first n images (``ImageList.fingerprint``) or classes (``Taxonomy.fingerprint``)."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,150}")


class PrefixTables:
    """Tables [N, columns] in one folder, each ``NAME.npy``; made from the first n images and other named facts."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """Where a table lies.

        Raises:
            SettingError: for a name that cannot be a file name everywhere.
        """
        if not _NAME.fullmatch(name):
            raise SettingError(f"{name!r} cannot name a table; use letters, digits, '.', '_', '+' and '-'")
        return self.folder / f"{name}.npy"

    def names(self) -> list[str]:
        """Names of the committed tables, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.npy"))

    def missing(self, name: str, images: Prefix, shape: tuple[int, int | None], facts: Mapping[str, str]) -> int:
        """The first of N rows that has still to be computed, N when the table is complete; shape is [N, columns].

        Raises:
            DataError: if the table is there but damaged.
        """
        return max(self._committed(name, images, shape, facts), self._unfinished(name, images, shape, facts))

    def writer(
        self, name: str, images: Prefix, shape: tuple[int, int], dtype: DTypeLike, facts: Mapping[str, str]
    ) -> ArrayStore:
        """A table to go on with at its ``done``: an unfinished one, a shorter one, or a new one.

        A table that was made from something else, or is damaged, is replaced when the new one is committed.
        """
        path, fingerprint = self.path(name), {**facts, "images": images(shape[0])}
        self._make_folder()
        try:
            committed = self._committed(name, images, shape, facts)
        except DataError:
            committed = 0  # making it again is what the error tells people to do
        if self._unfinished(name, images, shape, facts) > committed:
            before = read_progress(path)[1].fingerprint
            return ArrayStore.resume(path, fingerprint, rows=shape[0], before=before)
        if committed:
            return ArrayStore.extend(path, shape[0], fingerprint, before=read_info(path).fingerprint)
        return ArrayStore.create(path, shape, dtype, fingerprint)

    def read(self, name: str, images: Prefix, facts: Mapping[str, str]) -> np.memmap[Any, np.dtype[Any]]:
        """The table as a read-only map; it has a row for each of the first n images, n being its length.

        Raises:
            DataError: if there is none, or it is damaged. MismatchError: if it was made from other images or facts.
        """
        path = self.path(name)
        rows = read_info(path).shape[0]
        try:
            fingerprint = images(rows)
        except DataError as error:
            raise MismatchError(f"{path} has {rows} rows; {error}; use the project it is from") from error
        return open_array(path, {**facts, "images": fingerprint})

    def info(self, name: str) -> ArrayInfo:
        """What a committed table says of itself."""
        return read_info(self.path(name))

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot make the folder {self.folder}: {error.strerror or error}") from error

    def _committed(self, name: str, images: Prefix, shape: tuple[int, int | None], facts: Mapping[str, str]) -> int:
        path = self.path(name)
        if not path.exists():
            return 0
        info = read_info(path)
        return info.shape[0] if _fits(info, images, shape, facts) else 0

    def _unfinished(self, name: str, images: Prefix, shape: tuple[int, int | None], facts: Mapping[str, str]) -> int:
        try:
            done, info = read_progress(self.path(name))
        except DataError:
            return 0  # nothing to go on with: a fresh start loses no more than time
        return done if _fits(info, images, shape, facts) else 0


def _fits(info: ArrayInfo, images: Prefix, shape: tuple[int, int | None], facts: Mapping[str, str]) -> bool:
    (rows, columns), (count, wanted) = info.shape, shape
    if rows > count or wanted not in (None, columns):
        return False
    return info.fingerprint == {**facts, "images": images(rows)}
