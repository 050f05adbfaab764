"""The format JSON_MIN of Label Studio: one object per annotation, with the answers beside the data of the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spml_annotate.errors import DataError

_TIMES = ("created_at", "updated_at", "lead_time")


def from_min(entry: Mapping[str, Any], control: str) -> dict[str, Any]:
    """The same annotation as a task of the format JSON.

    Args:
        entry: an object of the file.
        control: the key with the classes; "" to find it by its list of choices.

    Raises:
        DataError: if nothing says which key has the classes, or it holds something else.
    """
    control = control or next((key for key, found in entry.items() if _listed(found)), "")
    if not control:
        keys = ", ".join(key for key, found in entry.items() if isinstance(found, str) and key not in _TIMES)
        raise DataError(
            f"this is of the format JSON_MIN; say which key has the classes (label-studio.control=...) out of {keys}"
        )
    value = _value(entry.get(control), control)
    region = {"from_name": control, "to_name": "image", "type": next(iter(value), ""), "value": value}
    annotation = {
        "id": entry["annotation_id"],
        "completed_by": entry.get("annotator"),
        "result": [region] if value else [],
        **{key: entry[key] for key in _TIMES if key in entry},
    }
    return {"data": {key: found for key, found in entry.items() if key != control}, "annotations": [annotation]}


def _listed(found: object) -> bool:
    return isinstance(found, Mapping) and isinstance(found.get("choices"), list)


def _value(found: object, control: str) -> dict[str, Any]:
    """The value of a region: one choice is a text, several are an object, those of a tree are lists of lists."""
    if found is None:
        return {}
    if isinstance(found, str):
        return {"choices": [found]}
    if isinstance(found, Mapping) and _listed(found):
        return {"choices": found["choices"]}
    if isinstance(found, list) and all(isinstance(part, list) for part in found):
        return {"taxonomy": found}
    if isinstance(found, list) and all(isinstance(part, str) for part in found):
        return {"choices": found}
    raise DataError(f"{control!r} holds no choices; export the project in the format JSON")
