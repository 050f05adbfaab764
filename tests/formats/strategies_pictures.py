"""Real little pictures for every image of a table, and what a table is when a format keeps one word per cell."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from spml_annotate.formats.export import HUMAN, LabelTable

SUFFIXES = (".png", ".jpg")


def pictures_of(folder: Path, ids) -> dict[str, Path]:
    """A picture per image, each in a colour of its own."""
    folder.mkdir(exist_ok=True)
    found = {}
    for number, name in enumerate(ids):
        file = folder / f"{number}{SUFFIXES[number % 2]}"
        Image.new("RGB", (4, 3), tuple(zlib.crc32(name.encode()).to_bytes(4, "big")[:3])).save(file)
        found[name] = file
    return found


def by_split(table: LabelTable) -> list[int]:
    """Rows in the order of formats that keep each split apart."""
    return np.argsort(table.split, kind="stable").tolist()


def standing_words(table: LabelTable) -> set[tuple[str, str, int, str, float | None]]:
    """(image, label, value, source, score) of the labels that count."""
    labels = list(table)
    chosen = [labels[i] for i in table.standing().tolist()]
    return {(at.image, at.label, at.value, at.source, None if at.score != at.score else at.score) for at in chosen}


def every_word(table: LabelTable) -> list[tuple]:
    """Every label with all its columns, in the order of image and label and, within a cell, as given."""
    return [(*at[:4], None if at.score != at.score else at.score, *at[5:]) for at in table]


def small_table(**columns) -> LabelTable:
    """Three images, three classes with odd names, people's words and proposals."""
    from spml_annotate.taxonomy import Taxonomy

    nan = float("nan")
    given = {
        "sources": [HUMAN, HUMAN, "proposal:ema", HUMAN, "proposal:ema"],
        "scores": [nan, nan, 0.875, nan, 0.25],
        **columns,
    }
    return LabelTable.of(
        Taxonomy(("dog, hot", "café 🐈", "a/b")),
        ["a b/1.jpg", "é/2.png", "../3"],
        given.pop("split", [0, 0, 1]),
        [0, 0, 0, 1, 2],
        [0, 1, 2, 1, 0],
        [1, 0, 1, 1, 0],
        **given,
    )
