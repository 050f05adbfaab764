"""Which Label Studio project a request is about, in the spellings that Label Studio uses, and its classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from spml_annotate.errors import DataError
from spml_annotate.studio.config import parse_config

_KEY = re.compile(r"\s*(\d{1,18})(?:\.(\d{1,12}))?\s*")
_LARGEST = 2**63 - 1


class Named(NamedTuple):
    """A Label Studio project: its id and when it was made, in whole Unix seconds ("" if that was not said).

    Ids are used again by other servers and after a reset; both together name a project.
    """

    project: int
    created: str


def named(value: object) -> Named | None:
    """The project in ``"15.1795220470"`` (`/setup`, `/predict`), a number, or a project object (webhooks)."""
    if isinstance(value, Mapping):
        found = whole(value.get("id"))
        return None if found is None else Named(found, seconds_of(value.get("created_at")))
    if isinstance(value, str):
        match = _KEY.fullmatch(value)
        return Named(int(match[1]), match[2] or "") if match else None
    found = whole(value)
    return None if found is None else Named(found, "")


def whole(value: object) -> int | None:
    """A number that can be an id; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _LARGEST else None


def classes_of(config: str, tasks: Iterable[object]) -> list[str]:
    """Class names that tasks bring along (choices with ``value="$key"``), each once, in their order."""
    found: dict[str, None] = {}
    try:
        control = parse_config(config).main
    except DataError:
        return []  # who adopts the project says what is wrong with it
    if control.options is not None:
        for task in tasks:
            data = task.get("data") if isinstance(task, Mapping) else None
            found.update(dict.fromkeys(control.in_task(data).names))
    return list(found)


def seconds_of(created: Any) -> str:  # noqa: ANN401  (whatever came)
    """A time as Label Studio writes it, or as Unix seconds, in whole Unix seconds; "" if it is neither."""
    if not isinstance(created, str):
        return str(int(created)) if isinstance(created, int) and 0 <= created < 10**12 else ""
    if re.fullmatch(r"\d{1,12}", created):
        return str(int(created))
    try:
        return str(int(datetime.fromisoformat(created).timestamp()))
    except (ValueError, OverflowError, OSError):
        return ""


def same_project(one: Named, project: int, created: str) -> bool:
    """Whether a link's project is the one named; an unknown time matches any."""
    return one.project == project and (not one.created or not created or one.created == seconds_of(created))


def folder_name(host: str, project: Named) -> str:
    """A name for the folder of a project that is made for Label Studio."""
    place = re.sub(r"[^a-z0-9.]+", "-", host.lower().partition("://")[2] or host.lower()).strip("-.")[:60]
    return "-".join(part for part in (place or "label-studio", str(project.project), project.created) if part)
