"""Small pictures of five kinds that differ in colour, texture and shape; drawn here, so that nothing is downloaded."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

KINDS = ("red disc", "green square", "stripes", "checkerboard", "noise")


def draw(kind: str, number: int, side: int = 96) -> Image.Image:
    """One picture; ``number`` moves, sizes and tints it."""
    random = np.random.default_rng([KINDS.index(kind), number])
    ground = tuple(int(v) for v in random.integers(200, 250, 3))
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    size, left, top = (int(v) for v in (random.integers(35, 60), *random.integers(4, 30, 2)))
    box = (left, top, left + size, top + size)
    if kind == "red disc":
        pen.ellipse(box, fill=(int(random.integers(190, 255)), 30, 30))
    elif kind == "green square":
        pen.rectangle(box, fill=(30, int(random.integers(140, 220)), 40))
    elif kind == "stripes":
        width = int(random.integers(6, 11))
        for x in range(int(random.integers(0, width)), side, 2 * width):
            pen.rectangle((x, 0, x + width - 1, side), fill=(40, 50, int(random.integers(120, 200))))
    elif kind == "checkerboard":
        cell = int(random.integers(8, 14))
        for x in range(0, side, cell):
            for y in range(0, side, cell):
                if (x // cell + y // cell) % 2:
                    pen.rectangle((x, y, x + cell - 1, y + cell - 1), fill=(20, 20, 20))
    else:
        return Image.fromarray(random.integers(0, 255, (side, side, 3), dtype=np.uint8).astype(np.uint8))
    return picture


def write_pictures(folder: Path, each: int = 8) -> list[tuple[Path, str]]:
    """``each`` pictures of every kind, as (file, kind), in an order that mixes the kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(each):
        for kind in KINDS:
            path = folder / f"{kind.replace(' ', '-')} {number}.png"
            draw(kind, number).save(path)
            found.append((path, kind))
    return found
