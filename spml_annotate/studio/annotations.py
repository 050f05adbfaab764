"""Annotations of Label Studio, in every shape that it sends them: webhooks, the task's page, lists and exports.

What is read is what a person gave, nothing more: which choices, how long it took, and what had been proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from spml_annotate.errors import DataError
from spml_annotate.studio.config import LabellingConfig

Chosen = Mapping[str, tuple[str, ...]]


class Given(NamedTuple):
    """One annotation.

    ``user`` is Label Studio's number of who gave it, ``chosen`` has control name → class names (controls that the
    config does not list, such as those of a Repeater, keep the words as they are), ``unknown`` the words that no class
    of the config is called any more. ``seconds`` is the lead time as measured, idle time included; None if unknown.
    ``time`` is Unix time of the last change and ``updated`` the same as Label Studio writes it. ``shown`` has what was
    proposed, ``untouched`` says that the proposal was accepted as it was, ``version`` who proposed ("" if unknown).
    ``parent`` is the id of the prediction that was shown.
    """

    annotation: int
    task: int
    user: int | None
    skipped: bool
    chosen: Chosen
    unknown: tuple[str, ...]
    seconds: float | None
    time: float
    updated: str
    shown: Chosen
    untouched: bool
    version: str
    parent: int | None = None


def read_annotation(
    config: LabellingConfig, data: object, annotation: object, predictions: Sequence[Any] = ()
) -> Given:
    """What an annotation says.

    Args:
        config: of the project, as it is now.
        data: of the task, for choices that the task lists.
        annotation: from a webhook, a task or an export.
        predictions: of the task, to find the one that was shown where the annotation has only its id.

    Raises:
        DataError: if it is no annotation.
    """
    if not isinstance(annotation, Mapping):
        raise DataError(f"annotation: it is {type(annotation).__name__}, not an object")
    number = _whole(annotation.get("id"))
    if number is None:
        raise DataError(f"annotation: its id is {annotation.get('id')!r}, not a number")
    regions = annotation.get("result")
    if regions is not None and not isinstance(regions, list):
        raise DataError(f"annotation {number}: its result is {type(regions).__name__}, not a list")
    chosen, unknown = _chosen(config, data, regions or [])
    proposal = _proposal(annotation, predictions)
    updated = annotation.get("updated_at") or annotation.get("created_at") or ""
    return Given(
        annotation=number,
        task=_number_of(annotation.get("task")) or 0,
        user=_number_of(annotation.get("completed_by")),
        skipped=annotation.get("was_cancelled") is True,
        chosen=chosen,
        unknown=unknown,
        seconds=_seconds(annotation.get("lead_time")),
        time=_time(updated, number),
        updated=str(updated),
        shown=_chosen(config, data, proposal.get("result"))[0],
        untouched=bool(regions) and all(_origin(region) == "prediction" for region in regions or []),
        version=str(proposal.get("model_version") or ""),
        parent=_number_of(annotation.get("parent_prediction")) or _number_of(proposal.get("id")),
    )


def _chosen(
    config: LabellingConfig, data: object, regions: object
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Control name → class names, and the words that are no class."""
    chosen: dict[str, dict[str, None]] = {}
    unknown: dict[str, None] = {}
    for region in regions if isinstance(regions, list) else ():
        name = region.get("from_name") if isinstance(region, Mapping) else None
        if not isinstance(name, str):
            continue
        found = config.control(name)
        control = found.in_task(data) if found else None
        words = chosen.setdefault(name, {})
        for word in _words(region.get("value")):
            meant = control.name_of(word) if control else word
            (words if meant is not None else unknown)[meant if meant is not None else word] = None
    return {name: tuple(words) for name, words in chosen.items()}, tuple(unknown)


def _words(value: object) -> Iterator[str]:
    """The choices of a region's value, nested ones joined with "/"."""
    if not isinstance(value, Mapping):
        return
    for kind in ("choices", "taxonomy"):
        entries = value.get(kind)
        for entry in [entries] if isinstance(entries, str) else entries if isinstance(entries, list) else []:
            if isinstance(entry, str):
                yield entry
            elif isinstance(entry, list) and entry and all(isinstance(part, str) for part in entry):
                yield "/".join(entry)


def _proposal(annotation: Mapping[str, Any], predictions: Iterable[Any]) -> Mapping[str, Any]:
    """The prediction that was shown; empty if there was none or it is not at hand."""
    whole = annotation.get("prediction")
    if isinstance(whole, Mapping) and whole:
        return whole
    parent = _number_of(annotation.get("parent_prediction"))
    for candidate in predictions if parent is not None else ():
        if isinstance(candidate, Mapping) and _whole(candidate.get("id")) == parent:
            return candidate
    return {}


def _origin(region: object) -> object:
    return region.get("origin") if isinstance(region, Mapping) else None


def _number_of(value: object) -> int | None:
    """The id of something that is given as its number or as an object."""
    return _whole(value.get("id") if isinstance(value, Mapping) else value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _time(text: object, number: int) -> float:
    if text == "":
        return 0.0
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise DataError(f"annotation {number}: {str(text)[:40]!r} is not a time") from None
