"""Writes labels as a FiftyOne data set on disk: ``metadata.json``, ``samples.json`` and the pictures in ``data/``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.fiftyone_fields import LABELS, UNKNOWN, document
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.formats.label_facts import FURTHER, IMAGE_ID, NEGATIVES, LabelFacts
from spml_annotate.formats.manifest import manifest
from spml_annotate.formats.picture_files import picture_files, put_picture
from spml_annotate.formats.picture_names import file_names
from spml_annotate.progress import progress
from spml_annotate.stores.folders import check_folder, write_folder

METADATA, SAMPLES, DATA = "metadata.json", "samples.json", "data"
_UNSAID = {"annotator": None, "time": None, "shown": False}
"""Attributes that each label has, said or not: FiftyOne raises KeyError for one that a label lacks."""


def save_fiftyone(
    path: str | Path,
    table: LabelTable,
    *,
    pictures: Mapping[str, Path] | None = None,
    link: bool = False,
    list_unknown: bool = False,
) -> None:
    """Write what ``fiftyone.Dataset.from_dir(path, dataset_type=fiftyone.types.FiftyOneDataset)`` reads.

    The field ``labels`` of a sample has the positives as Classifications, ``negatives`` the negatives, of a cell with
    several labels the one that counts; ``further_labels`` has the others. A Classification has the tag human or
    proposal, the score as ``confidence``, and the attributes ``source``, ``annotator``, ``time`` and ``shown``. Samples
    are tagged with their split and have the ``image_id``.

    Args:
        path: the folder to make.
        table: N images and their labels.
        pictures: image id → file, of every image; without them the file paths are the image ids, and FiftyOne needs
            ``rel_dir=`` with the folder that they are relative to.
        link: link the pictures where the file system can instead of copying them.
        list_unknown: also name the unknown classes of each image, in the field ``unknown``; long where there are many.

    Raises:
        DataError: for a missing picture, or if the folder holds other files or cannot be written.
    """
    path = Path(path)
    files = None if pictures is None else picture_files(path, table.image_ids, pictures, "fiftyone with pictures")
    check_folder(path)
    names = table.image_ids if files is None else file_names(table.image_ids, files, split_words=True)
    facts = LabelFacts(table)

    def write(folder: Path) -> None:
        about = document(path.name, table.taxonomy.names, manifest(table), unknown=list_unknown)
        (folder / METADATA).write_text(_json(about) + "\n", "utf-8")
        with (folder / SAMPLES).open("w", encoding="utf-8") as file:
            file.write('{"samples": [')
            for row, name in enumerate(progress(names, what=f"writing {path.name}")):
                place = name if files is None else f"{DATA}/{name}"
                file.write(",\n" if row else "\n")
                file.write(_json(_sample(facts, row, place, unknown=list_unknown)))
                if files is not None:
                    put_picture(files[row], folder / place, link=link)
            file.write("\n]}\n")

    write_folder(path, write)


def _sample(facts: LabelFacts, row: int, place: str, *, unknown: bool) -> dict[str, Any]:
    table = facts.table
    positives, negatives, further = facts.words(row)
    image = table.image_ids[row]
    seed = f"{table.taxonomy.fingerprint()}\0{image}"
    made: dict[str, Any] = {
        "_id": _object_id(seed),
        "filepath": place,
        "tags": [SPLIT_NAMES[int(table.split[row])]],
        "metadata": None,
        "_media_type": "image",
        "_rand": int(_digest(seed)[24:36], 16) / 16**12,
        IMAGE_ID: image,
    }
    for field, labels in ((LABELS, positives), (NEGATIVES, negatives), (FURTHER, further)):
        made[field] = _classifications(facts, seed, labels, values=field == FURTHER) if labels else None
    if unknown:
        known = {facts.name(i) for i in (*positives, *negatives)}
        made[UNKNOWN] = [name for name in table.taxonomy.names if name not in known]
    return made


def _classifications(facts: LabelFacts, seed: str, labels: Iterable[int], *, values: bool) -> dict[str, Any]:
    made = []
    for number, i in enumerate(labels):
        label: dict[str, Any] = {
            "_id": _object_id(f"{seed}\0{facts.table.values[i]}{values}\0{number}\0{facts.name(i)}"),
            "_cls": "Classification",
            "tags": ["human" if facts.table.sources[i] == HUMAN else "proposal"],
            "label": facts.name(i),
        }
        score = facts.score(i)
        if score is not None:
            label["confidence"] = score
        if values:
            label["value"] = int(facts.table.values[i])
        made.append({**label, **_UNSAID, **facts.attributes(i)})
    return {"_cls": "Classifications", "classifications": made}


def _object_id(seed: str) -> dict[str, str]:
    """An id of MongoDB that is the same for the same image and label, so that exports can be compared."""
    return {"$oid": _digest(seed)[:24]}


def _digest(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
