"""Writes labels as COCO JSON, with the keys of LVIS for what is absent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import SPLIT_NAMES, check_ids
from spml_annotate.formats.picture_files import picture_files, picture_size
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.version import __version__

WHOLE_IMAGE = "whole_image"
"""Key of annotations whose box is the picture itself, since nobody drew one."""


def save_coco(path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None) -> None:
    """Write ``images``, ``categories`` and ``annotations``, one annotation per positive label.

    Each image has ``neg_category_ids``, the scores of those of them that were proposed in ``neg_category_scores``,
    ``not_exhaustive_category_ids`` (always empty: an annotation says that its category is there, nothing of how many)
    and ``split``, which other readers ignore. Annotations of proposals have a ``score``.

    Args:
        path: the file.
        table: what to write; of a cell with several labels the one that `LabelTable.standing` names.
        pictures: image id → file; with them images have a size, and annotations a box, a polygon and an area, namely
            those of the whole picture.

    Raises:
        DataError: for image ids that would come back as others, a picture that is missing or cannot be opened, or a
            file that cannot be written.
    """
    check_ids(table.image_ids)
    files = None if pictures is None else picture_files(path, table.image_ids, pictures, "COCO with sizes")

    def write(file: BinaryIO) -> None:
        about = {"description": "labels exported by spml-annotate", "version": __version__}
        sizes: list[tuple[int, int] | None] = [None] * len(table.image_ids)
        file.write(b'{"info": ' + _json(about) + b', "licenses": [],\n')
        names = enumerate(table.taxonomy.names, start=1)
        _list(file, "categories", ({"id": number, "name": name} for number, name in names))
        file.write(b",\n")
        _list(file, "images", _images(table, files, sizes))
        file.write(b",\n")
        _list(file, "annotations", _annotations(table, sizes))
        file.write(b"}\n")

    write_atomically(Path(path), write)


def _images(
    table: LabelTable, files: list[Path] | None, sizes: list[tuple[int, int] | None]
) -> Iterator[dict[str, Any]]:
    """The images in order; fills in ``sizes`` on the way."""
    chosen = table.standing()
    chosen = chosen[table.values[chosen] == NEGATIVE]
    bounds = np.searchsorted(table.rows[chosen], np.arange(len(table.image_ids) + 1)).tolist()
    for row, name in enumerate(table.image_ids):
        image: dict[str, Any] = {"id": row + 1, "file_name": name}
        if files is not None:
            sizes[row] = image["width"], image["height"] = picture_size(files[row])
        absent = chosen[bounds[row] : bounds[row + 1]]
        image["neg_category_ids"] = (table.labels[absent] + 1).tolist()
        scores = _scores(table, absent)
        if any(score is not None for score in scores):
            image["neg_category_scores"] = scores
        image["not_exhaustive_category_ids"] = []
        image["split"] = SPLIT_NAMES[int(table.split[row])]
        yield image


def _annotations(table: LabelTable, sizes: list[tuple[int, int] | None]) -> Iterator[dict[str, Any]]:
    chosen = table.standing()
    chosen = chosen[table.values[chosen] == POSITIVE]
    for number, place in enumerate(chosen.tolist(), start=1):
        row, score = int(table.rows[place]), float(table.scores[place])
        made: dict[str, Any] = {"id": number, "image_id": row + 1, "category_id": int(table.labels[place]) + 1}
        made["iscrowd"] = 0
        size = sizes[row]
        if size is not None:
            width, height = size
            made["bbox"], made["area"] = [0, 0, width, height], width * height
            made["segmentation"] = [[0, 0, width, 0, width, height, 0, height]]
            made[WHOLE_IMAGE] = True
        if score == score:
            made["score"] = score
        yield made


def _scores(table: LabelTable, places: NDArray[np.int64]) -> list[float | None]:
    return [None if score != score else score for score in table.scores[places].tolist()]


def _list(file: BinaryIO, name: str, items: Iterable[dict[str, Any]]) -> None:
    """One object per line, so that a large file can be looked at and compared line by line."""
    file.write(_json(name) + b": [")
    for number, item in enumerate(items):
        file.write(b",\n" if number else b"\n")
        file.write(_json(item))
    file.write(b"\n]")


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
