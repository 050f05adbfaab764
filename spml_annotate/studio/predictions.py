"""Predictions that Label Studio can show: always valid for the labelling config and for the task's own choices.

Label Studio itself checks almost nothing of a prediction: an unknown class or a score of 17.5 is stored as it is, and
a score that is no number stops the annotator. So nothing leaves here that `check_prediction` would fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spml_annotate.studio.config import Control, LabellingConfig


def prediction(
    config: LabellingConfig, data: object, scores: Mapping[str, float], *, priority: float, version: str
) -> dict[str, Any]:
    """The prediction that proposes classes for a task.

    Args:
        config: of the project.
        data: of the task; choices that it should list and does not are not proposed.
        scores: class name → probability, of the classes to propose; of a single choice the best is taken.
        priority: place in the queue, lowest first; brought into [0, 1].
        version: of the model.
    """
    control = config.main.in_task(data)
    best = _probabilities(control, scores)
    chosen = sorted(best, key=lambda spelling: -best[spelling])[: control.most or None]
    regions = [_region(control, "1", chosen, max(best[spelling] for spelling in chosen))] if chosen else []
    return {**empty_prediction(version, priority), "result": regions}


def empty_prediction(version: str, priority: float = 0.0) -> dict[str, Any]:
    """A prediction that proposes nothing but has its place in the queue."""
    return {"result": [], "score": _unit(priority), "model_version": version}


def ticked(
    config: LabellingConfig, data: object, names: Iterable[str], *, priority: float, version: str
) -> dict[str, Any]:
    """A prediction that ticks classes without saying how probable they are."""
    control = config.main.in_task(data)
    chosen = _in_order(control, {spelling for name in names if (spelling := control.spelling_of(name))})
    regions = [_region(control, "1", chosen[: control.most or None], None)] if chosen else []
    return {**empty_prediction(version, priority), "result": regions}


def check_prediction(config: LabellingConfig, data: object, prediction: object) -> list[str]:
    """What is wrong with a prediction for a task, in words; nothing if it is valid."""
    if not isinstance(prediction, Mapping):
        return ["the prediction is not an object"]
    faults = []
    if not _is_unit(prediction.get("score")):
        faults.append(f"score {prediction.get('score')!r} is not a number from 0 to 1")
    version = prediction.get("model_version")
    if not isinstance(version, str) or not version:
        faults.append("model_version is not a text")
    regions = prediction.get("result")
    if not isinstance(regions, list):
        return [*faults, "result is not a list"]
    seen: set[str] = set()
    for number, region in enumerate(regions):
        faults.extend(f"region {number}: {fault}" for fault in _region_faults(config, data, region, seen))
    return faults


def _probabilities(control: Control, scores: Mapping[str, float]) -> dict[str, float]:
    """Spelling → probability in [0, 1], in the order of the control; what is no class or no number is left out."""
    best: dict[str, float] = {}
    for name, score in scores.items():
        spelling = control.spelling_of(name)
        if spelling is not None and not math.isnan(score):
            best[spelling] = max(best.get(spelling, 0.0), _unit(score))
    return {spelling: best[spelling] for spelling in _in_order(control, best)}


def _in_order(control: Control, spellings: Iterable[str]) -> list[str]:
    wanted = set(spellings)
    return [value for value in control.values if value in wanted]


def _region(control: Control, key: str, spellings: Sequence[str], score: float | None) -> dict[str, Any]:
    ordered = _in_order(control, spellings)
    entries = [list(control.path_of(value)) for value in ordered] if control.nested else ordered
    kind = control.tag.lower()
    region: dict[str, Any] = {
        "id": f"spml-{key}",
        "from_name": control.name,
        "to_name": control.to_name,
        "type": kind,
        "value": {kind: entries},
    }
    return region if score is None else {**region, "score": score}


def _unit(number: float) -> float:
    """A number brought into [0, 1]; 0 for one that is none."""
    value = float(number)
    return 0.0 if math.isnan(value) else min(1.0, max(0.0, value))


def _is_unit(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def _region_faults(config: LabellingConfig, data: object, region: object, seen: set[str]) -> list[str]:
    if not isinstance(region, Mapping):
        return ["it is not an object"]
    name = region.get("from_name")
    control = config.control(name) if isinstance(name, str) else None
    if control is None:
        return [f"from_name {name!r} is no usable control of the config"]
    faults = []
    if control.name in seen:
        faults.append(f"control {name!r} has two regions")
    seen.add(control.name)
    if region.get("to_name") != control.to_name:
        faults.append(f"to_name {region.get('to_name')!r} is not {control.to_name!r}")
    if region.get("type") != control.tag.lower():
        faults.append(f"type {region.get('type')!r} is not {control.tag.lower()!r}")
    if region.get("score") is not None and not _is_unit(region["score"]):
        faults.append(f"score {region['score']!r} is not a number from 0 to 1")
    value = region.get("value")
    entries = value.get(control.tag.lower()) if isinstance(value, Mapping) else None
    return faults + _entry_faults(control.in_task(data), entries)


def _entry_faults(control: Control, entries: object) -> list[str]:
    if not isinstance(entries, list) or not entries:
        return [f"its value is not a list of {control.tag.lower()}"]
    known: set[str | tuple[str, ...]] = set(control.paths) if control.nested else set(control.values)
    words = [tuple(entry) if control.nested and isinstance(entry, list) else entry for entry in entries]
    faults = [
        f"{word!r} is not among the choices" for word in words if not isinstance(word, str | tuple) or word not in known
    ]
    if not faults and len(set(words)) < len(words):
        faults.append("a choice appears twice")
    if control.most and len(words) > control.most:
        faults.append(f"{len(words)} choices where {control.most} may be chosen")
    return faults
