"""Writes WebDataset shards: tar files in which the files of one image follow each other and share a name."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.huggingface_words import LABELS, NEGATIVES, ImageWords
from spml_annotate.formats.manifest import manifest, to_json
from spml_annotate.formats.picture_files import picture_files, shards_of
from spml_annotate.formats.picture_names import suffix_of
from spml_annotate.progress import progress
from spml_annotate.stores.folders import check_folder, write_folder

MANIFEST = "manifest.json"


def save_webdataset(
    path: str | Path,
    table: LabelTable,
    *,
    pictures: Mapping[str, Path] | None = None,
    shard_images: int = 10_000,
    shard_bytes: int = 1_000_000_000,
) -> None:
    """Write ``<split>-000000.tar`` and so on into a folder, and a manifest beside them.

    An image is ``<number>.jpg`` (or what its file ends in, the bytes as they are) and ``<number>.json``: ``image_id``,
    ``split``, ``labels`` and ``negatives`` by name, of a cell with several labels the one that counts; and under
    ``provenance`` every label with all that is known of it.

    Args:
        path: the folder to make.
        table: N images and their labels.
        pictures: image id → file, of every image.
        shard_images: a shard has at most so many images.
        shard_bytes: a shard has pictures of about so many bytes at most.

    Raises:
        DataError: without the pictures, or if the folder holds other files or cannot be written.
    """
    path = Path(path)
    files = picture_files(path, table.image_ids, pictures, "webdataset")
    check_folder(path)
    words = ImageWords(table)
    ends = np.searchsorted(table.rows, np.arange(len(table.image_ids) + 1))

    def write(folder: Path) -> None:
        for split, rows in words.splits():
            shards = shards_of(rows.tolist(), files, shard_images, shard_bytes)
            for number, shard in enumerate(progress(shards, what=f"writing {split}")):
                with tarfile.open(folder / f"{split}-{number:06d}.tar", "x", format=tarfile.USTAR_FORMAT) as tar:
                    for row in shard:
                        _add_image(tar, row, files[row], _about(words, split, row, range(ends[row], ends[row + 1])))
        (folder / MANIFEST).write_text(to_json(manifest(table)), "utf-8")

    write_folder(path, write)


def _about(words: ImageWords, split: str, row: int, labels: range) -> dict[str, Any]:
    table, lists = words.table, words.lists(row)
    return {
        "image_id": table.image_ids[row],
        "split": split,
        LABELS: lists[LABELS],
        NEGATIVES: lists.get(NEGATIVES, []),
        "provenance": [
            {
                "label": table.taxonomy.names[table.labels[i]],
                "value": int(table.values[i]),
                "source": table.sources[i],
                "score": None if np.isnan(table.scores[i]) else float(table.scores[i]),
                "annotator": table.annotators[i],
                "time": float(table.times[i]),
                "shown": bool(table.shown[i]),
            }
            for i in labels
        ],
    }


def _add_image(tar: tarfile.TarFile, row: int, picture: Path, about: dict[str, Any]) -> None:
    """Headers say nothing of when and by whom: the same table and pictures give the same bytes."""
    text = json.dumps(about, ensure_ascii=False).encode()
    with picture.open("rb") as content:
        _add(tar, f"{row:08d}{suffix_of(picture)}", picture.stat().st_size, content)
    _add(tar, f"{row:08d}.json", len(text), io.BytesIO(text))


def _add(tar: tarfile.TarFile, name: str, size: int, content: Any) -> None:  # noqa: ANN401  (anything with read)
    header = tarfile.TarInfo(name)
    header.size = size
    tar.addfile(header, content)
