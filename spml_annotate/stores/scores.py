"""Scores on disk, float16 [N, L], one table per trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from spml_annotate.stores.arrays import ArrayStore
from spml_annotate.stores.prefixes import Prefix, PrefixTables


class ScoreStore:
    """What a model says of a project's images.

    In all methods ``name`` is the short name of a table, ``model`` the key of the model that made it, ``images`` and
    ``classes`` give the fingerprints of the first n images and classes: ``ImageList.fingerprint`` and
    ``Taxonomy.fingerprint``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.tables = PrefixTables(folder)

    def names(self) -> list[str]:
        """Names of the committed tables, sorted."""
        return self.tables.names()

    def missing(self, name: str, images: Prefix, classes: Prefix, shape: tuple[int, int], *, model: str) -> int:
        """The first of the N images of ``shape`` [N, L] that has still to be scored; N when none is missing."""
        return self.tables.missing(name, images, shape, _facts(classes, shape[1], model))

    def writer(
        self,
        name: str,
        images: Prefix,
        classes: Prefix,
        shape: tuple[int, int],
        *,
        model: str,
        dtype: DTypeLike = np.float16,
    ) -> ArrayStore:
        """A table [N, L] to go on with at its ``done``; to be ended with ``commit``."""
        return self.tables.writer(name, images, shape, dtype, _facts(classes, shape[1], model))

    def read(self, name: str, images: Prefix, classes: Prefix, *, model: str) -> np.memmap[Any, np.dtype[Any]]:
        """Scores [n, l] of the first n images and l classes, read-only: later classes have no scores yet.

        Raises:
            DataError: if there are none, or the file is damaged. MismatchError: if they are of other images, classes
                or models.
        """
        return self.tables.read(name, images, _facts(classes, self.tables.info(name).shape[1], model))


def _facts(classes: Prefix, count: int, model: str) -> dict[str, str]:
    return {"classes": classes(count), "model": model}
