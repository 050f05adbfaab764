"""The formats JSON_MIN, CSV and TSV of Label Studio: an entry per annotation, with the answers beside the task's data.

Which key has the classes is not written in them: several choices, the choices of a tree and the labels of regions show
it, a single choice is a text like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError
from spml_annotate.formats.images import IMAGE_SUFFIXES
from spml_annotate.formats.label_studio_regions import labels_of
from spml_annotate.formats.text import at, read_records

_TIMES = ("created_at", "updated_at", "lead_time")
_ABOUT = frozenset({*_TIMES, "id", "annotator", "annotation_id"})
_ADDRESS = re.compile(rf"^/|://|\.(?:{'|'.join(suffix[1:] for suffix in sorted(IMAGE_SUFFIXES))})$", re.IGNORECASE)
COLUMNS = frozenset({"annotation_id", "annotator", "created_at", "lead_time"})
"""Of every table that Label Studio exports."""


def read_table(path: Path) -> list[dict[str, Any]]:
    """The entries of a table, of the format CSV or TSV.

    Raises:
        DataError: if it is none of Label Studio's; it names the line.
    """
    records = iter(read_records(path))
    header = next(records, None)
    if header is None or not header.fields or not set(header.fields) >= COLUMNS:
        raise DataError(f"{path}: this is neither JSON nor a table that Label Studio exported; export it in JSON")
    entries = []
    for line, fields in records:
        if len(fields) != len(header.fields):
            raise at(path, line, f"{len(fields)} columns where the header has {len(header.fields)}; check the commas")
        cells = zip(header.fields, fields, strict=True)
        entries.append({"annotation_id": None, **{key: _cell(key, text) for key, text in cells if text}})
    return entries


def is_min(entry: object) -> bool:
    """Whether an entry is of one of these formats."""
    return isinstance(entry, Mapping) and "data" not in entry and ("annotation_id" in entry or "annotator" in entry)


def key_of_classes(entries: Iterable[object], control: str) -> str | None:
    """The key with the classes; None if they are those of regions, whatever their keys.

    Args:
        entries: of the file.
        control: the key, if it is known.

    Raises:
        DataError: if nothing shows which it is.
    """
    kinds: dict[str, set[str]] = {"choices": set(), "regions": set(), "texts": set(), "addresses": set()}
    for entry in entries:
        for key, found in entry.items() if isinstance(entry, Mapping) else ():
            if key not in _ABOUT and (kind := _kind(found)):
                kinds[kind].add(key)
    if control:
        return None if control in kinds["regions"] - kinds["choices"] else control
    if len(kinds["choices"]) == 1:
        return min(kinds["choices"])
    if kinds["regions"] and not kinds["choices"] | kinds["texts"]:
        return None
    keys = ", ".join(_in_order(entries, kinds["choices"] or set().union(*kinds.values())))
    raise DataError(
        f"this is of the format JSON_MIN, CSV or TSV; say which key has the classes (label-studio.control=...) out of "
        f"{keys}, or give the labelling config"
    )


def from_min(entry: Mapping[str, Any], control: str | None) -> dict[str, Any]:
    """The same annotation as a task of the format JSON.

    Args:
        entry: an object of the file.
        control: the key with the classes; None for regions.

    Raises:
        DataError: if the key holds something else.
    """
    if control is None:
        result = [
            {"from_name": key, "to_name": "image", "value": value}
            for key, found in entry.items()
            for value in (found if isinstance(found, list) else ())
            if labels_of(value)
        ]
    else:
        value = _value(entry.get(control), control)
        result = (
            [{"from_name": control, "to_name": "image", "type": next(iter(value)), "value": value}] if value else []
        )
    number = entry.get("annotation_id")
    annotation = {
        "id": number,
        "completed_by": _person(entry.get("annotator")),
        "result": result,
        **{key: entry[key] for key in _TIMES if entry.get(key) is not None},
    }
    data = {key: found for key, found in entry.items() if key != control and key not in _ABOUT}
    return {"data": data, "annotations": [annotation] if number is not None else []}  # none: nobody has seen the task


def _cell(key: str, text: str) -> Any:  # noqa: ANN401  (a text, or what the JSON in it says)
    if key == "annotation_id" and text.removesuffix(".0").isdecimal():
        return int(text.removesuffix(".0"))
    if text[0] in "[{":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _person(found: object) -> object:
    """The annotator as the format JSON has one; tables have texts."""
    if not isinstance(found, str):
        return found
    number = found.removesuffix(".0")
    return int(number) if number.isascii() and number.isdecimal() else {"email": found}


def _kind(found: object) -> str | None:
    """What a value may be: choices for certain, labels of regions, a text, or a text that looks like an address."""
    if isinstance(found, str):
        return "addresses" if _ADDRESS.search(found) else "texts"
    if _listed(found) or (isinstance(found, list) and found and all(map(_is_path, found))):
        return "choices"
    if isinstance(found, list) and any(map(labels_of, found)):
        return "regions"
    return None


def _in_order(entries: Iterable[object], keys: set[str]) -> list[str]:
    return list(dict.fromkeys(key for entry in entries if isinstance(entry, Mapping) for key in entry if key in keys))


def _listed(found: object) -> bool:
    return isinstance(found, Mapping) and isinstance(found.get("choices"), list)


def _is_path(found: object) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(part, str) for part in found)


def _value(found: object, control: str) -> dict[str, Any]:
    """The value of a region: one choice is a text, several are an object, those of a tree are lists of lists."""
    if found is None:
        return {}
    if isinstance(found, str):
        return {"choices": [found]}
    if isinstance(found, Mapping) and _listed(found):
        return {"choices": found["choices"]}
    if isinstance(found, Sequence) and all(isinstance(part, list) for part in found):
        return {"taxonomy": found}
    if isinstance(found, Sequence) and all(isinstance(part, str) for part in found):
        return {"choices": found}
    raise DataError(f"{control!r} holds no choices; export the project in the format JSON")
