"""Where pictures come from: anything with a length that reads row n as an RGB image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


class Pictures(Protocol):
    """N pictures, read one at a time."""

    def __len__(self) -> int:
        """N."""

    def read(self, row: int) -> Image:
        """Picture ``row`` as upright 8-bit RGB.

        Raises:
            DataError: naming the file, if it cannot be read.
        """


class ArrayPictures:
    """Pictures in memory, all of one size.

    Args:
        array: uint8 [N, height, width, 3], RGB.

    Raises:
        DataError: for an array of another type or shape.
    """

    def __init__(self, array: NDArray[np.uint8]) -> None:
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape[1:3]:
            raise DataError(
                f"pictures must be a uint8 array [N, height, width, 3], not {array.dtype} {list(array.shape)}"
            )
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def read(self, row: int) -> Image:
        """See `Pictures.read`."""
        from PIL import Image

        return Image.fromarray(self.array[row])


class FilePictures:
    """Pictures in files of any format that pillow reads; see `embed.decode` for what is done to odd ones.

    Args:
        paths: N files, row by row; they are opened only when read.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.paths = tuple(Path(path) for path in paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> Image:
        """See `Pictures.read`."""
        from spml_annotate.embed.decode import decode

        return decode(self.paths[row])
