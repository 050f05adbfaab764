"""Turns any picture file into upright 8-bit RGB, or says in one line why it cannot."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spml_annotate.errors import DataError

_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Pillow's modes of more than 8 bits; its own conversion clips them instead of scaling."""

_FROM_STRANGERS = {"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP"}
"""Pillow's formats without those that start other programs or hold other files."""


def decode(path: str | Path) -> Image.Image:
    """Read a picture file as upright 8-bit RGB.

    The orientation tag is obeyed, transparency is laid on white, grey, palette and CMYK become RGB, and 16 bits per
    channel are scaled to 8. Of an animation the first frame is taken.

    Raises:
        DataError: naming the file, if it is missing, not a picture, damaged, or so large that it may be an attack.
    """
    try:
        with _pillow_quiet(), Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; restore it or remove it from the list of images") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: the picture is too large to be safe ({error}); save it smaller") from None
    except MemoryError:
        raise DataError(f"{path}: the picture does not fit into memory; save it smaller") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: this is not a picture in a format that can be read; convert it to PNG") from None
    except Exception as error:  # decoders meet damaged bytes with errors of every kind; the file is to blame
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the picture cannot be read ({reason}); replace the file") from error


def header_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels that a picture's first bytes tell; nothing is decoded.

    Raises:
        DataError: if these are not a picture of one of the kinds that are taken from strangers.
    """
    try:
        with _pillow_quiet():
            Image.init()
            with Image.open(io.BytesIO(data), formats=sorted(_FROM_STRANGERS & set(Image.OPEN))) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise DataError(f"the picture is too large to be safe ({error}); save it smaller") from None
    except Exception as error:  # as above
        reason = type(error).__name__ if not isinstance(error, UnidentifiedImageError) else "unknown format"
        raise DataError(f"this is not a picture that can be read ({reason}); convert it to PNG or JPEG") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        over = image.convert("RGBA")
        ground = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, over).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Deep grey values scaled to uint8: by their type's range where that is known, else by their largest value."""
    numbers = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    top = float(numbers.max(initial=0.0))
    if values.dtype.itemsize == 2:
        full = 65535.0
    elif values.dtype.kind == "f" and top <= 1.0:
        full = 1.0
    else:
        full = next((limit for limit in (255.0, 65535.0) if top <= limit), top)
    return np.clip(np.rint(numbers * (255.0 / full)), 0, 255).astype(np.uint8)


_lock = threading.Lock()
_readers = 0
_before: warnings.catch_warnings[None] | None = None


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Pillow's warnings are silenced while any thread decodes.

    Warning filters belong to the whole process, so threads that each saved and restored them would leave them in
    disorder; the first reader saves them and the last one restores them.
    """
    global _readers, _before
    with _lock:
        _readers += 1
        if _readers == 1:
            _before = warnings.catch_warnings()
            _before.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0 and _before is not None:
                _before.__exit__(None, None, None)
                _before = None
