"""Draws the pictures of the built-in data: handwritten digits in several colours on textured ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 45, 45),
    "orange": (235, 140, 40),
    "yellow": (230, 220, 60),
    "green": (50, 185, 70),
    "cyan": (60, 205, 215),
    "blue": (60, 90, 230),
    "purple": (165, 70, 215),
    "white": (235, 235, 235),
}
TEXTURES = ("plain", "stripes", "checks", "blobs", "grain")
OBJECT_COUNTS = (0.14, 0.24, 0.27, 0.20, 0.10, 0.05)
"""Chance of 1, 2, ... 6 objects in a picture; 3.03 on average."""

_SIDES = (0.2, 0.5)
"""Smallest and largest side of an object as a share of the picture's side; small ones are the commoner."""
_MOST_COVERED = 0.45
"""A new object hides at most this share of the box of any object that is there already."""
_TRIES = 30
_INK = 0.35
"""Opacity from which a pixel counts as ink when the box is drawn."""


@dataclass(frozen=True)
class Scene:
    """One picture: ``picture`` uint8 [S, S, 3]; ``labels`` [K] classes of its objects in drawing order.

    ``corners`` float32 [K, 4] are (left, top, right, bottom) in pixels, ``texture`` indexes `TEXTURES`.
    """

    picture: NDArray[np.uint8]
    labels: tuple[int, ...]
    corners: Floats
    texture: int


def draw_scene(
    random: np.random.Generator, digits: list[Floats], weights: NDArray[np.float64], *, size: int, noise: float = 10.0
) -> Scene:
    """Draw one scene of 1 to 6 objects.

    Args:
        random: the only source of chance.
        digits: per digit 0..9 the images that may be used, float32 [n, 8, 8] in [0, 1].
        weights: chance of each class, [10 x colours], digit-major.
        size: S, the side of the picture in pixels.
        noise: standard deviation of the pixel noise, of 255.
    """
    texture = int(random.integers(len(TEXTURES)))
    canvas = _ground(random, TEXTURES[texture], size)
    labels: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    palette = list(COLOURS.values())
    for label in random.choice(len(weights), size=1 + int(random.choice(6, p=OBJECT_COUNTS)), p=weights):
        digit, colour = divmod(int(label), len(palette))
        ink = _stamp(random, digits[digit][random.integers(len(digits[digit]))], size)
        place = _place(random, ink, boxes, size)
        if place is None:
            continue
        top, left, box = place
        shade = np.asarray(palette[colour]) * random.uniform(0.75, 1.0) + random.normal(0.0, 10.0, 3)
        patch = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
        patch += ink[..., None] * (shade.astype(np.float32) - patch)
        labels.append(int(label))
        boxes.append(box)
    canvas += np.float32(noise) * random.standard_normal(canvas.shape, dtype=np.float32)
    picture = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return Scene(picture, tuple(labels), np.asarray(boxes, dtype=np.float32), texture)


def _ground(random: np.random.Generator, texture: str, size: int) -> Floats:
    """Textured ground in two muted tints, float32 [S, S, 3]."""
    dark, light = random.uniform(15, 60, 3), random.uniform(40, 110, 3)
    share = _pattern(random, texture, size)[..., None]
    return np.asarray(dark * (1.0 - share) + light * share, dtype=np.float32)


def _pattern(random: np.random.Generator, texture: str, size: int) -> NDArray[np.float64]:
    """Share of the lighter tint, [S, S] in [0, 1]."""
    if texture == "plain":
        return np.full((size, size), random.uniform(0.2, 0.8))
    if texture == "grain":
        return random.uniform(0.0, 1.0, (size, size))
    if texture == "blobs":
        coarse = random.uniform(0.0, 1.0, (7, 7))
        along = np.linspace(0.0, 5.999, size)
        return _bilinear(coarse, along[:, None], along[None, :])
    angle, period, phase = random.uniform(0, np.pi), random.uniform(0.07, 0.25) * size, random.uniform(0, 2 * np.pi, 2)
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    along = (across * np.cos(angle) + down * np.sin(angle)) * (2 * np.pi / period) + phase[0]
    if texture == "stripes":
        return np.asarray(0.5 + 0.5 * np.sin(along))
    sideways = (down * np.cos(angle) - across * np.sin(angle)) * (2 * np.pi / period) + phase[1]
    return np.asarray((np.sin(along) * np.sin(sideways) > 0).astype(np.float64))


def _stamp(random: np.random.Generator, digit: Floats, size: int) -> Floats:
    """Opacity [h, w] of a digit image scaled to a random side and turned by up to 15 degrees, cut to its ink."""
    smallest, largest = np.log(_SIDES[0] * size), np.log(_SIDES[1] * size)
    side = max(8, int(np.exp(random.uniform(smallest, largest))))
    angle = random.uniform(-0.26, 0.26)
    grid = np.arange(side) / (side - 1.0) * 9.0 - 4.5  # one pixel of margin around the 8 x 8 image
    down = grid[:, None] * np.cos(angle) - grid[None, :] * np.sin(angle)
    across = grid[:, None] * np.sin(angle) + grid[None, :] * np.cos(angle)
    framed = np.pad(digit, 2)
    ink = np.clip(_bilinear(framed, down + 5.5, across + 5.5) * 1.6 - 0.2, 0.0, 1.0)
    rows, columns = np.flatnonzero(ink.max(1) > _INK), np.flatnonzero(ink.max(0) > _INK)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)


def _bilinear(
    image: NDArray[np.floating], down: NDArray[np.floating], across: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Values of ``image`` at fractional places, which are clipped to it."""
    down = np.clip(down, 0.0, image.shape[0] - 1.001)
    across = np.clip(across, 0.0, image.shape[1] - 1.001)
    top, left = down.astype(np.int64), across.astype(np.int64)
    low, right = down - top, across - left
    above = image[top, left] * (1.0 - right) + image[top, left + 1] * right
    below = image[top + 1, left] * (1.0 - right) + image[top + 1, left + 1] * right
    return np.asarray(above * (1.0 - low) + below * low)


def _place(
    random: np.random.Generator, ink: Floats, boxes: list[tuple[float, float, float, float]], size: int
) -> tuple[int, int, tuple[float, float, float, float]] | None:
    """Top, left and box of a place that leaves the earlier objects recognisable; None if none was found."""
    height, width = ink.shape
    for _ in range(_TRIES):
        top = int(random.integers(size - height + 1))
        left = int(random.integers(size - width + 1))
        box = (float(left), float(top), float(left + width), float(top + height))
        if all(_covered(old, box) <= _MOST_COVERED for old in boxes):
            return top, left, box
    return None


def _covered(old: tuple[float, float, float, float], new: tuple[float, float, float, float]) -> float:
    """Share of the old box that the new one hides."""
    width = max(0.0, min(old[2], new[2]) - max(old[0], new[0]))
    height = max(0.0, min(old[3], new[3]) - max(old[1], new[1]))
    return width * height / ((old[2] - old[0]) * (old[3] - old[1]))
