"""Embeddings on disk, float16 [N, D], one table per backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from spml_annotate.stores.arrays import ArrayStore
from spml_annotate.stores.prefixes import Prefix, PrefixTables


class FeatureStore:
    """Embeddings of a project's images.

    In all methods ``name`` is the short name of a table, ``backbone`` the full key of what makes the features (network,
    hash of the weights, preprocessing): features of another backbone under the same name are never taken for these.
    ``images`` gives the fingerprint of the first n images: ``ImageList.fingerprint``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.tables = PrefixTables(folder)

    def names(self) -> list[str]:
        """Names of the committed tables, sorted."""
        return self.tables.names()

    def missing(self, name: str, images: Prefix, count: int, *, backbone: str) -> int:
        """The first of ``count`` images whose features have still to be computed; ``count`` when none is missing."""
        return self.tables.missing(name, images, (count, None), {"backbone": backbone})

    def writer(
        self, name: str, images: Prefix, count: int, width: int, *, backbone: str, dtype: DTypeLike = np.float16
    ) -> ArrayStore:
        """A table [count, width] to go on with at its ``done``; to be ended with ``commit``."""
        return self.tables.writer(name, images, (count, width), dtype, {"backbone": backbone})

    def read(self, name: str, images: Prefix, *, backbone: str) -> np.memmap[Any, np.dtype[Any]]:
        """Features [n, D] of the first n images, read-only.

        Raises:
            DataError: if there are none, or the file is damaged. MismatchError: if they are of other images or of
                another backbone.
        """
        return self.tables.read(name, images, {"backbone": backbone})

    def again(self, name: str) -> ArrayStore:
        """A table to write anew from row 0 on in the place of a committed one, which stays until ``commit``."""
        info = self.tables.info(name)
        return ArrayStore.create(self.tables.path(name), info.shape, info.dtype, info.fingerprint)
