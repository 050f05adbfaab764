"""Are the predictions that Label Studio has stored valid, single, current, and there for every open task?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from spml_annotate.loop.doctor.case import Case
from spml_annotate.project.checkup import Check
from spml_annotate.studio.predictions import check_prediction

_PUSH = "spml-annotate studio push"
_AGAIN = _PUSH + " --again"


@dataclass
class _Stored:
    """What was counted over all tasks; examples are the first of their kind."""

    tasks: int = 0
    open: int = 0
    missing: int = 0
    invalid: list[str] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)


def look_at_predictions(case: Case) -> Iterator[Check]:
    """All stored predictions, task by task."""
    current = case.announced or (case.link.version if case.link is not None else "")
    stored = _Stored()
    for task in case.client.tasks(case.number):
        _count(case, task, current, stored)
    yield _validity(stored, current)
    yield _duplicates(stored, current)
    yield _coverage(stored, current)


def _count(case: Case, task: dict[str, Any], current: str, stored: _Stored) -> None:
    assert case.config is not None
    predictions = [made for made in task.get("predictions") or [] if isinstance(made, dict)]
    stored.tasks += 1
    stored.versions |= {str(made.get("model_version")) for made in predictions}
    now = [made for made in predictions if made.get("model_version") == current]
    if len(now) > 1:
        stored.doubled.append(int(task["id"]))
    for made in now:
        faults = check_prediction(case.config, task["data"], made)
        if faults:
            stored.invalid.append(f"task {task['id']}: {faults[0]}")
    if not task.get("annotations"):
        stored.open += 1
        stored.missing += not now


def _validity(stored: _Stored, current: str) -> Check:
    if stored.invalid:
        found = f"{len(stored.invalid)} stored predictions do not fit the labelling config ({stored.invalid[0]})"
        return Check("stored", "fail", found, f"{_AGAIN} replaces them; Label Studio stores whatever it is given")
    return Check("stored", "ok", f"stored predictions of {current} fit the labelling config")


def _duplicates(stored: _Stored, current: str) -> Check:
    if stored.doubled:
        found = f"{len(stored.doubled)} tasks have several predictions of {current}, such as task {stored.doubled[0]}"
        remedy = f"{_AGAIN}; it happens when predictions and /setup name different versions (see 'versions', 'predict')"
        return Check("duplicates", "fail", found, remedy)
    old = sorted(stored.versions - {current})
    if len(old) > 1:
        remedy = f"{_PUSH} deletes them; old predictions slow exports down"
        return Check("duplicates", "warn", f"{len(old)} old versions are stored ({', '.join(old[:3])})", remedy)
    return Check("duplicates", "ok", "at most one prediction of the current version per task")


def _coverage(stored: _Stored, current: str) -> Check:
    if stored.missing:
        found = f"{stored.missing} of {stored.open} open tasks have no prediction of {current}, and are served last"
        remedy = (
            f"wait a minute if the backend has only just been connected; else {_PUSH} "
            "(do not use 'Retrieve Predictions': it takes minutes)"
        )
        return Check("coverage", "warn", found, remedy)
    return Check("coverage", "ok", f"all {stored.open} open tasks of {stored.tasks} have a prediction of {current}")
