"""Writes labels in the format of Datumaro: a JSON file for each split, and the pictures beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.label_facts import FURTHER, IMAGE_ID, NEGATIVES, OURS, LabelFacts
from spml_annotate.formats.manifest import manifest
from spml_annotate.formats.picture_files import picture_files, put_picture
from spml_annotate.formats.picture_names import file_names
from spml_annotate.progress import progress
from spml_annotate.stores.folders import check_folder, write_folder

ANNOTATIONS, IMAGES = "annotations", "images"
SUBSETS = ("train", "val", "test")
"""What Datumaro calls the splits, by their codes."""


def save_datumaro(
    path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None, link: bool = False
) -> None:
    """Write ``annotations/<split>.json`` and, if there are pictures, ``images/<split>/`` into a folder.

    A positive is an annotation of the type label, of a cell with several labels the one that counts. Its attributes
    are ``source``, and ``score``, ``annotator``, ``time`` and ``shown`` where known. The attributes of an item have
    ``negatives`` and ``further_labels``, objects with a ``label`` and the same attributes, and ``image_id`` where
    Datumaro needs another one.

    Args:
        path: the folder to make.
        table: N images and their labels.
        pictures: image id → file, of every image.
        link: link the pictures where the file system can instead of copying them.

    Raises:
        DataError: for a missing picture, or if the folder holds other files or cannot be written.
    """
    path = Path(path)
    files = None if pictures is None else picture_files(path, table.image_ids, pictures, "datumaro with pictures")
    check_folder(path)
    names = file_names(table.image_ids, files or [Path(name) for name in table.image_ids], split_words=True)
    items, facts = item_ids(names), LabelFacts(table)
    about = json.dumps({OURS: manifest(table)}, ensure_ascii=False)
    categories = {"label": {"labels": _categories(table), "label_groups": [], "attributes": []}}
    head = f'{{"dm_format_version": "1.0", "media_type": 2, "infos": {about},\n"categories": {_json(categories)},\n'

    def write(folder: Path) -> None:
        (folder / ANNOTATIONS).mkdir()
        for code, subset in enumerate(SUBSETS):
            rows = np.flatnonzero(table.split == code).tolist()
            if not rows and (code or table.image_ids):
                continue
            with (folder / ANNOTATIONS / f"{subset}.json").open("w", encoding="utf-8") as file:
                file.write(head + '"items": [')
                for number, row in enumerate(progress(rows, what=f"writing {subset}")):
                    file.write(",\n" if number else "\n")
                    file.write(_json(_item(facts, row, items[row], names[row])))
                    if files is not None:
                        put_picture(files[row], folder / IMAGES / subset / names[row], link=link)
                file.write("\n]}\n")

    write_folder(path, write)


def item_ids(names: Sequence[str]) -> list[str]:
    """Ids as Datumaro likes them: file names without their suffix, unless another one has the same."""
    taken: set[str] = set()
    found = []
    for name in names:
        short = name.removesuffix(Path(name).suffix)
        found.append(name if short.casefold() in taken else short)
        taken.add(found[-1].casefold())
    return found


def image_id_of(item: str, file: str) -> str:
    """The id that an item and its picture tell: the item's with the suffix of the file."""
    suffix = Path(file.replace("\\", "/")).suffix
    return item if item.endswith(suffix) else item + suffix


def _categories(table: LabelTable) -> list[dict[str, Any]]:
    return [{"name": name, "parent": "", "attributes": []} for name in table.taxonomy.names]


def _item(facts: LabelFacts, row: int, item: str, file: str) -> dict[str, Any]:
    positives, negatives, further = facts.words(row)
    image = facts.table.image_ids[row]
    attributes: dict[str, Any] = {}
    if image_id_of(item, file) != image:
        attributes[IMAGE_ID] = image
    if negatives:
        attributes[NEGATIVES] = [{"label": facts.name(i), **_attributes(facts, i)} for i in negatives]
    if further:
        attributes[FURTHER] = [
            {"label": facts.name(i), "value": int(facts.table.values[i]), **_attributes(facts, i)} for i in further
        ]
    annotations = [
        {
            "id": number,
            "type": "label",
            "attributes": _attributes(facts, i),
            "group": 0,
            "label_id": int(facts.table.labels[i]),
        }
        for number, i in enumerate(positives)
    ]
    return {"id": item, "annotations": annotations, "attr": attributes, "image": {"path": file}}


def _attributes(facts: LabelFacts, i: int) -> dict[str, Any]:
    score = facts.score(i)
    return facts.attributes(i) if score is None else {**facts.attributes(i), "score": score}


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
