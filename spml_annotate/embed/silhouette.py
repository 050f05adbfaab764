"""What stands before the background, whatever its colour: a description of shape for simple pictures, without weights.

The built-in extractor learned colours and digits; two dozen labels cannot teach a head to see past colour in its
features. Here colour is gone: of every picture only that part counts which differs from the colour of its border.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spml_annotate.embed.builtin import BUILTIN_PREPROCESSING, BuiltinNetwork
from spml_annotate.embed.pictures import Pictures
from spml_annotate.errors import DataError

SIDE = 12
"""Side of the grid that the silhouette is drawn on; its cells are most of the features."""
_EDGE = 3  # pixels that count as the border
_LEAST = 0.15  # a picture whose colours differ less than this (normalised values) has nothing before the background
_STEPS = 160  # pixels that a thing may wind its way through
_TOGETHER = 0.9  # of all its pixels must hang together for it to be one thing
_SHARE = 0.5  # of the largest difference: from there on a pixel belongs to the silhouette


class Silhouette(nn.Module):
    """Normalised pictures [B, 3, S, S] to features [B, SIDE² + 4], each in [0, 1].

    The silhouette, cut out and stretched to a grid [SIDE, SIDE]; then which share of its box it fills, height and
    width of the box, and the share of the picture that it covers. All 0 where there is none.
    """

    features_dim = SIDE * SIDE + 4

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        pictures = pictures.float()  # places are counted below: half precision ends at 2,048
        mask = _if_one_thing(self.mask(pictures))
        low, high = _box(mask)
        whole = _cut(mask, low, high)
        grid = functional.adaptive_avg_pool2d(whole, SIDE).flatten(1)
        size = (high - low).clamp(min=0.0)
        there = (mask.amax((2, 3)) > 0).to(pictures.dtype)
        return torch.cat([grid, whole.mean((2, 3)), size, mask.mean((2, 3))], dim=1) * there

    def mask(self, pictures: Tensor) -> Tensor:
        """1 where a picture differs from the median colour of its border, [B, 1, S, S]."""
        border = torch.cat(
            [
                pictures[:, :, :_EDGE].flatten(2),
                pictures[:, :, -_EDGE:].flatten(2),
                pictures[:, :, :, :_EDGE].flatten(2),
                pictures[:, :, :, -_EDGE:].flatten(2),
            ],
            dim=2,
        )
        ground = border.median(dim=2).values[:, :, None, None]
        distance = (pictures - ground).square().sum(1, keepdim=True).sqrt()
        smooth = functional.avg_pool2d(distance, 3, 1, 1)  # single pixels of noise are no thing
        largest = smooth.amax((2, 3), keepdim=True)
        return ((smooth > _SHARE * largest) & (largest > _LEAST)).to(pictures.dtype)


def _if_one_thing(mask: Tensor) -> Tensor:
    """Masks [B, 1, S, S] that hang together; those of several things are emptied: a box around them says nothing."""
    place = torch.arange(mask[0].numel(), device=mask.device, dtype=mask.dtype).reshape(mask.shape[1:]) + 1.0
    numbered = mask * place
    reached = ((numbered == numbered.amax((2, 3), keepdim=True)) & (mask > 0)).to(mask.dtype)
    for _ in range(_STEPS):
        reached = functional.max_pool2d(reached, 3, 1, 1) * mask
    share = reached.sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1.0)
    return mask * (share > _TOGETHER)


def _box(mask: Tensor) -> tuple[Tensor, Tensor]:
    """First and last edge of what is in a mask [B, 1, S, S], as shares of the height and width: each [B, 2]."""
    side = mask.shape[-1]
    place = torch.arange(side, device=mask.device, dtype=mask.dtype)
    found = torch.stack([mask.amax((1, 3)), mask.amax((1, 2))], dim=1)  # rows and columns that hold something
    low = torch.where(found > 0, place, side).amin(2)
    high = torch.where(found > 0, place + 1, 0).amax(2)
    return low / side, high / side


def _cut(mask: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The boxes of masks, stretched to [B, 1, 4 SIDE, 4 SIDE]."""
    centre, half = low + high - 1.0, (high - low).clamp(min=1e-3)  # in the coordinates -1..1 of a picture
    theta = torch.zeros(len(mask), 2, 3, device=mask.device, dtype=mask.dtype)
    theta[:, 0, 0], theta[:, 0, 2] = half[:, 1], centre[:, 1]
    theta[:, 1, 1], theta[:, 1, 2] = half[:, 0], centre[:, 0]
    places = functional.affine_grid(theta, [len(mask), 1, 4 * SIDE, 4 * SIDE], align_corners=False)
    return functional.grid_sample(mask, places, align_corners=False)


class ShapeNetwork(BuiltinNetwork):
    """The built-in extractor and the `Silhouette`, side by side: [B, 3, S, S] to [B, 384 + SIDE² + 4]."""

    features_dim = BuiltinNetwork.features_dim + Silhouette.features_dim

    def __init__(self) -> None:
        super().__init__()
        self.silhouette = Silhouette()

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        learned = super().forward(pictures)
        return torch.cat([learned, self.silhouette(pictures).to(learned.dtype)], dim=1)


def single_things(pictures: Pictures, most: int = 200) -> float:
    """Share of pictures that show exactly one thing before a ground of one colour; of ``most`` of them, evenly drawn.

    Drawings of single shapes give 1, photographs 0.16 to 0.19 (COCO, VOC), the built-in scenes 0.28.
    """
    silhouette, counts = Silhouette(), [0, 0]
    rows = np.unique(np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(np.int64))
    for picture in _readable(pictures, rows.tolist()):
        counts[0] += 1
        counts[1] += int(bool(silhouette(picture[None]).any()))
    return counts[1] / max(counts[0], 1)


def _readable(pictures: Pictures, rows: list[int]) -> Iterator[Tensor]:
    for row in rows:
        try:
            yield BUILTIN_PREPROCESSING(pictures.read(row))
        except DataError:
            continue  # it is flagged when it is embedded
