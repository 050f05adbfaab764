"""Statistics of cost curves: area under the budget curve, hours to reach a share of full labels, paired intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARES = (0.90, 0.95, 0.99)
# Two-sided 95 % quantiles of Student's t for 1..30 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """One lane's curve: hours and mAP of its measured rounds, hours ascending."""

    loss: str
    strategy: str
    seed: int
    hours: NDArray[np.float64]
    map: NDArray[np.float64]
    known_share: NDArray[np.float64]

    def at(self, hours: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mAP at other hours, linear in log hours, flat beyond the ends."""
        return np.asarray(np.interp(np.log(hours), np.log(self.hours), self.map))

    def reaches(self, value: float) -> float:
        """Hours at which mAP first reaches ``value``, interpolated in log hours; NaN if it never does."""
        above = np.flatnonzero(self.map >= value)
        if not above.size:
            return float("nan")
        i = int(above[0])
        if i == 0:
            return float(self.hours[0])
        share = (value - self.map[i - 1]) / (self.map[i] - self.map[i - 1])
        low, high = math.log(self.hours[i - 1]), math.log(self.hours[i])
        return math.exp(low + share * (high - low))


def curves(rows: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Curves of all lanes, in the order of the rows; rounds without a model are left out.

    Of several rounds at the same hours (nothing was left to ask, or it cost nothing) the last one counts.
    """
    lanes: dict[tuple[str, str, int], list[tuple[float, float, float]]] = {}
    for row in rows:
        points = lanes.setdefault((row["loss"], row["strategy"], row["seed"]), [])
        if math.isnan(row["map"]):
            continue
        if points and row["hours"] <= points[-1][0]:
            points.pop()
        points.append((row["hours"], row["map"], row["known_share"]))
    return [Curve(*lane, *np.array(points).T) for lane, points in lanes.items() if points]


def area(curve: Curve, start: float, end: float) -> float:
    """Area under the budget curve (AUBC): mean mAP over log hours from ``start`` to ``end``."""
    if end <= start:
        return float(curve.at(np.array([start]))[0])
    inside = curve.hours[(curve.hours > start) & (curve.hours < end)]
    hours = np.concatenate(([start], inside, [end]))
    return float(np.trapezoid(curve.at(hours), np.log(hours)) / math.log(end / start))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % t-interval; the half width is NaN for fewer than two values."""
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return (float(sample.mean()) if len(sample) else float("nan")), float("nan")
    freedom = len(sample) - 1
    t = _T95[freedom - 1] if freedom <= len(_T95) else 1.96 + 2.4 / freedom  # the first terms of its expansion
    return float(sample.mean()), float(t * sample.std(ddof=1) / math.sqrt(len(sample)))


def summarize(rows: Sequence[Mapping[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """One entry per loss and strategy: mAP along the way, AUBC and its paired gain over the baseline, hours to targets.

    AUBC runs over log hours from one positive per image on everything to the dearest way to know everything. Full-label
    mAP is the loss's mean over all lanes that know everything.
    """
    found = curves(rows)
    entries = []
    for loss in dict.fromkeys(c.loss for c in found):
        mine = [c for c in found if c.loss == loss]
        start = max((float(c.hours[0]) for c in mine), default=1.0)
        end = max(float(c.hours[-1]) for c in mine)
        full = float(np.mean([c.map[-1] for c in mine if c.known_share[-1] == 1.0] or [float("nan")]))
        base = {c.seed: area(c, start, end) for c in mine if c.strategy == baseline}
        for strategy in dict.fromkeys(c.strategy for c in mine):
            lanes = [c for c in mine if c.strategy == strategy]
            areas = {c.seed: area(c, start, end) for c in lanes}
            gain, half = interval([areas[s] - base[s] for s in areas if s in base])
            entries.append(
                {
                    "loss": loss,
                    "strategy": strategy,
                    "seeds": len(lanes),
                    "hours": [start, end],
                    "map_start": float(np.mean([c.at(np.array([start]))[0] for c in lanes])),
                    "map_full": full,
                    "aubc": float(np.mean(list(areas.values()))),
                    "aubc_gain_over_baseline": gain,
                    "aubc_gain_half_width_95": half,
                    **{f"hours_to_{share:.0%}": _hours_to(lanes, share * full) for share in SHARES},
                    "hours_to_everything": _everything(lanes),
                }
            )
    return entries


def _hours_to(lanes: list[Curve], value: float) -> float:
    """Hours of the mean curve of these lanes to reach ``value``."""
    hours = np.unique(np.concatenate([c.hours for c in lanes]))
    mean = np.mean([c.at(hours) for c in lanes], axis=0)
    return Curve("", "", 0, hours, mean, mean).reaches(value)


def _everything(lanes: list[Curve]) -> float:
    """Mean hours at which these lanes knew everything."""
    hours = [c.hours[np.flatnonzero(c.known_share == 1.0)[0]] for c in lanes if c.known_share[-1] == 1.0]
    return float(np.mean(hours)) if hours else float("nan")
