"""Forty small pictures of five kinds that colour, texture or shape tells apart, drawn here; tests share them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS_AND_TEXTURES = ("red disc", "green disc", "blue disc", "stripes", "checks")
SHAPES = ("disc", "square", "triangle", "ring", "cross")
_FILLS = {"red disc": (210, 40, 40), "green disc": (40, 190, 50), "blue disc": (40, 60, 210)}


def draw(kind: str, chance: np.random.Generator, size: int = 48) -> Image.Image:
    """A noisy grey picture with one thing of the kind somewhere on it."""
    grey = chance.normal(chance.uniform(90, 160), 12, (size, size, 3)).clip(0, 255)
    picture = Image.fromarray(grey.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    x, y, r = (int(value) for value in (chance.integers(12, 36), chance.integers(12, 36), chance.integers(8, 14)))
    fill = tuple(int(v) for v in (np.array(_FILLS.get(kind, (220, 220, 40))) + chance.normal(0, 12, 3)).clip(0, 255))
    box = (x - r, y - r, x + r, y + r)
    if kind.endswith("disc"):
        pen.ellipse(box, fill=fill)
    elif kind == "square":
        pen.rectangle(box, fill=fill)
    elif kind == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=fill)
    elif kind == "ring":
        pen.ellipse(box, outline=fill, width=3)
    elif kind == "cross":
        pen.rectangle((x - r, y - 2, x + r, y + 2), fill=fill)
        pen.rectangle((x - 2, y - r, x + 2, y + r), fill=fill)
    else:
        _pattern(pen, kind, chance, size)
    noisy = np.asarray(picture) + chance.normal(0, 4, (size, size, 3))  # no two pictures are copies
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _pattern(pen: ImageDraw.ImageDraw, kind: str, chance: np.random.Generator, size: int) -> None:
    width = int(chance.integers(4, 8))
    for column in range(0, size, width):
        for row in range(0, size, width):
            dark = (column // width + (row // width if kind == "checks" else 0)) % 2
            pen.rectangle((column, row, column + width, row + width), fill=(50, 50, 50) if dark else (200, 200, 200))


def write_pictures(folder: Path, kinds: tuple[str, ...], *, each: int = 8, seed: int = 0) -> dict[str, str]:
    """Write ``each`` pictures of every kind as PNG files; file name → kind."""
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    named = {}
    for number in range(each * len(kinds)):
        kind = kinds[number % len(kinds)]
        draw(kind, chance).save(folder / f"{number:03d}.png")
        named[f"{number:03d}.png"] = kind
    return named
