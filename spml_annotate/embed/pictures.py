"""Where pictures come from: anything with a length that reads row n as an RGB image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
