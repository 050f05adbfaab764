"""Losses side by side, one line each: from one positive per image to everything known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spml_annotate.simulate.curves import Curve, area, curves
from spml_annotate.simulate.plan import BASELINE, Plan
from spml_annotate.simulate.references import told
from spml_annotate.simulate.training import Trials

MANY = 6  # losses; above, they are compared with each other and not drawn one by one
Values = Mapping[int, float]  # seed → value


def compares(plan: Plan) -> bool:
    """Whether losses, and not ways of asking, are what a plan is about."""
    return len(plan.losses) > MANY or (plan.rounds == 0 and not plan.hours)


def compare(rows: Sequence[Mapping[str, Any]], plan: Plan, trials: Trials) -> list[dict[str, Any]]:
    """One entry per loss: mean and standard deviation over the seeds, the best first, references after all methods.

    ``map_single`` is measured at one positive per image, ``map_checks`` on full checks of random images for the same
    hours, ``map_full`` on all labels; ``aubc`` is the mean over the strategies that start from one positive per image.
    It ranks, and without asking rounds ``map_single`` does.
    """
    found = curves(rows)
    start = max((float(c.hours[0]) for c in found), default=1.0)
    end = max((float(c.hours[-1]) for c in found), default=1.0)
    entries = [_entry(loss, [c for c in found if c.loss == loss], start, end, trials) for loss in plan.losses]
    by = "aubc"
    if len({row["round"] for row in rows}) <= 2:  # two points are no curve
        by = "map_single"
        entries = [{key: value for key, value in entry.items() if not key.startswith("aubc")} for entry in entries]
    return sorted(entries, key=lambda entry: (bool(entry["told"]), -_or(entry[by], _or(entry["map_checks"], -1.0))))


def _entry(loss: str, lanes: list[Curve], start: float, end: float, trials: Trials) -> dict[str, Any]:
    single = [c for c in lanes if c.strategy != BASELINE]
    checks = [c for c in lanes if c.strategy == BASELINE]
    seeds = sorted({c.seed for c in lanes})
    values: dict[str, Values] = {
        "map_single": {c.seed: float(c.map[0]) for c in single},
        "map_checks": {c.seed: float(c.map[0]) for c in checks},
        "map_full": {c.seed: float(c.map[-1]) for c in lanes if c.known_share[-1] == 1.0},
        "aubc": {s: float(np.mean([area(c, start, end) for c in single if c.seed == s])) for s in seeds if single},
    }
    entry: dict[str, Any] = {"loss": loss, "told": told(loss), "seeds": len(seeds)}
    for name, of_seeds in values.items():
        entry[name], entry[f"{name}_deviation"] = _spread(of_seeds)
    if loss in trials:
        entry["learning_rate"] = max(trials[loss], key=lambda rate: trials[loss][rate])
        entry["validation_map"] = {f"{rate:g}": value for rate, value in trials[loss].items()}
    return entry


def _spread(values: Values) -> tuple[float, float]:
    found = list(values.values())
    mean = float(np.mean(found)) if found else float("nan")
    return mean, float(np.std(found, ddof=1)) if len(found) > 1 else float("nan")


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


# Title, key in an entry; the deviation stands beside the mean.
_COLUMNS = (
    ("1 positive per image", "map_single"),
    ("AUBC", "aubc"),
    ("full checks", "map_checks"),
    ("all labels", "map_full"),
)


def comparison_table(entries: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The entries as text cells, a heading first."""
    rated = any("learning_rate" in entry for entry in entries)
    references = any(entry["told"] for entry in entries)
    columns = [pair for pair in _COLUMNS if pair[1] in entries[0]]
    lines = [["loss", *(["rate"] if rated else []), *(title for title, _ in columns)]]
    if references:
        lines[0].append("reference: is told")
    for entry in entries:
        line = [entry["loss"], *([f"{entry['learning_rate']:g}" if "learning_rate" in entry else "–"] if rated else [])]
        line += [_cell(entry[key], entry[f"{key}_deviation"]) for _, key in columns]
        lines.append([*line, entry["told"]] if references else line)
    return lines


def _cell(mean: float | None, deviation: float | None) -> str:
    if mean is None or math.isnan(mean):
        return "–"
    spread = "" if deviation is None or math.isnan(deviation) else f" ± {deviation:.3f}"
    return f"{mean:.3f}{spread}"
