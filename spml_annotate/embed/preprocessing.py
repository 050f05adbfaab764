"""From a picture to the numbers a network wants: resize, crop, normalise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spml_annotate.errors import SettingError

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a float32 tensor [3, size, size].

    Args:
        size: side of the square that the network sees, in pixels.
        shorter: the shorter side is first brought to this length and the centre cut out; None squeezes the whole
            picture into the square, so that no object at the edge is lost.
        mean: subtracted from the channels in [0, 1].
        deviation: then divided by.
        filter: how pixels are interpolated.
    """

    size: int
    shorter: int | None = None
    mean: Channels = (0.485, 0.456, 0.406)
    deviation: Channels = (0.229, 0.224, 0.225)
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def __call__(self, image: Image.Image) -> Tensor:
        """Float32 [3, size, size] of an RGB picture."""
        pixels = np.array(self._square(image), dtype=np.uint8)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255.0)
        mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.deviation))
        return tensor.sub_(mean).div_(deviation)

    def _square(self, image: Image.Image) -> Image.Image:
        resampling = _FILTERS[self.filter]
        if self.shorter is None:
            target = (self.size, self.size)
            return image if image.size == target else image.resize(target, resampling)
        width, height = image.size
        if width <= height:
            target = (self.shorter, int(self.shorter * height / width))
        else:
            target = (int(self.shorter * width / height), self.shorter)
        if image.size != target:
            image = image.resize(target, resampling)
        left, top = round((target[0] - self.size) / 2.0), round((target[1] - self.size) / 2.0)
        return image.crop((left, top, left + self.size, top + self.size))

    def changed(
        self,
        *,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        size: int | None = None,
    ) -> Preprocessing:
        """The same with other normalisation or another size, which then takes in the whole picture, uncropped.

        Raises:
            SettingError: for a size below 16, a deviation that is not positive, or other than 1 or 3 numbers.
        """
        if size is not None and size < 16:
            raise SettingError(f"--size {size}: pictures of less than 16 pixels show nothing; use 224, say")
        new_mean = self.mean if mean is None else _channels("--mean", mean)
        new_deviation = self.deviation if std is None else _channels("--std", std)
        if min(new_deviation) <= 0.0:
            raise SettingError(f"--std {std}: a standard deviation must be positive; 0.229,0.224,0.225 is usual")
        same = replace(self, mean=new_mean, deviation=new_deviation)
        return same if size is None else replace(same, size=size, shorter=None)

    @property
    def fingerprint(self) -> str:
        """Short hash of everything that changes the numbers."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


def _channels(option: str, values: float | Sequence[float]) -> Channels:
    numbers = (values,) * 3 if isinstance(values, int | float) else tuple(values)
    if len(numbers) == 1:
        numbers = numbers * 3
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise SettingError(f"{option} {values}: give one number, or three for red, green and blue")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
