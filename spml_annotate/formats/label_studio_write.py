"""Writes tasks that Label Studio imports: people's labels as annotations, proposals as predictions.

Label Studio has no place for who said what and when of a single class, and makes whoever imports the author of every
annotation. So each region carries it in ``meta``, which Label Studio stores and exports unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.export import HUMAN, PROPOSAL, LabelTable
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.labels import POSITIVE
from spml_annotate.stores.atomic import write_atomically, write_text
from spml_annotate.studio.forms import ABSENT, LABEL, choice_element

META = "spml"
LOCAL_FILES = "/data/local-files/?d="


def save_label_studio(
    path: str | Path,
    table: LabelTable,
    *,
    pictures: Mapping[str, Path] | None = None,
    address: str = LOCAL_FILES,
) -> None:
    """Write the tasks as JSON, and the labelling config that they fit beside them (``NAME.config.xml``).

    Make a project with that config, then import the tasks. Positives are choices of the control ``label``, negatives of
    ``absent``; a person's labels are an annotation, those of a method a prediction with its scores.

    Args:
        path: the file.
        table: N images and their labels, all of them.
        pictures: not needed; tasks have addresses.
        address: what stands before an image id to make the address of its picture; by default the id is a path below
            the folder that Label Studio serves local files from. An id that is an address stays one.

    Raises:
        DataError: for a class name that XML cannot hold, or if the file cannot be written.
    """
    path = Path(path)
    write_text(config_path(path), labelling_config(table.taxonomy.names))
    ends = np.searchsorted(table.rows, np.arange(len(table.image_ids) + 1)).tolist()

    def write(file: BinaryIO) -> None:
        file.write(b"[")
        for row in range(len(table.image_ids)):
            task = _task(table, row, range(ends[row], ends[row + 1]), address)
            file.write(b"\n" if row == 0 else b",\n")
            file.write(json.dumps(task, ensure_ascii=False).encode())
        file.write(b"\n]\n")

    write_atomically(path, write)


def config_path(path: Path) -> Path:
    """Where the labelling config of exported tasks lies."""
    return path.with_name(f"{path.stem}.config.xml")


def labelling_config(names: tuple[str, ...]) -> str:
    """A labelling config with the classes once to tick what is there, and once what is not.

    Raises:
        DataError: without a class, or for one with a character that XML cannot hold.
    """
    if not names:
        raise DataError("labelling config: there is no class; add classes first")
    choices = [f"    {choice_element(name)}" for name in names]
    lines = ["<View>", '  <Image name="image" value="$image" zoom="true" zoomControl="true"/>']
    for control, title in ((LABEL, "On the image"), (ABSENT, "Not on the image, for certain")):
        lines += [f'  <Header size="4" value="{title}"/>']
        lines += [f'  <Choices name="{control}" toName="image" choice="multiple" showInline="true">']
        lines += [*choices, "  </Choices>"]
    return "\n".join([*lines, "</View>", ""])


def _task(table: LabelTable, row: int, labels: range, address: str) -> dict[str, Any]:
    image = table.image_ids[row]
    picture = image if "://" in image else address + quote(image)
    data = {"image": picture, "image_id": image, "split": SPLIT_NAMES[int(table.split[row])]}
    annotations: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for source, part in _bodies(table, labels):
        regions = list(_regions(table, part, labels))
        if source == HUMAN:
            annotations.append({"result": regions, "was_cancelled": False, "ground_truth": False})
        else:
            scores = table.scores[part]
            known = scores[~np.isnan(scores)]
            priority = float(known.mean()) if known.size else 0.0
            version = source.removeprefix(PROPOSAL)
            predictions.append({"result": regions, "score": priority, "model_version": version})
    return {"data": data, "annotations": annotations, "predictions": predictions}


def _bodies(table: LabelTable, labels: range) -> Iterator[tuple[str, list[int]]]:
    """(source, labels) of each annotation or prediction: one per person and method, more where a cell has several."""
    found: dict[tuple[str, str, int], list[int]] = {}
    times: dict[tuple[str, str, int], int] = {}
    for i in labels:
        source = table.sources[i]
        who = table.annotators[i] if source == HUMAN else ""
        again = times.get((source, who, int(table.labels[i])), 0)
        times[(source, who, int(table.labels[i]))] = again + 1
        found.setdefault((source, who, again), []).append(i)
    for (source, _, _), part in found.items():
        yield source, part


def _regions(table: LabelTable, part: list[int], labels: range) -> Iterator[dict[str, Any]]:
    for control, wanted in ((LABEL, True), (ABSENT, False)):
        chosen = [i for i in part if bool(table.values[i] == POSITIVE) is wanted]
        if not chosen:
            continue
        scores = [float(table.scores[i]) for i in chosen if not np.isnan(table.scores[i])]
        region: dict[str, Any] = {
            "id": f"spml-{control}",
            "from_name": control,
            "to_name": "image",
            "type": "choices",
            "value": {"choices": [table.taxonomy.names[table.labels[i]] for i in chosen]},
            "meta": {META: {table.taxonomy.names[table.labels[i]]: _said(table, i, labels) for i in chosen}},
        }
        yield {**region, "score": max(scores)} if scores else region


def _said(table: LabelTable, i: int, labels: range) -> dict[str, Any]:
    """What Label Studio has no place for; ``place`` counts the labels of one cell."""
    return {
        "annotator": table.annotators[i],
        "time": float(table.times[i]),
        "shown": bool(table.shown[i]),
        "score": None if np.isnan(table.scores[i]) else float(table.scores[i]),
        "place": int((table.labels[labels.start : i] == table.labels[i]).sum()),
    }
