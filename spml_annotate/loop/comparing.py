"""Two groups of answers side by side: shares and seconds, with intervals of their difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Z = 1.959964
"""Normal quantile of 95 % intervals."""


class Estimate(NamedTuple):
    """A value and its 95 % interval; all None where it cannot be computed."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Compared:
    """Answers given with the proposal shown, and without it (hidden); what cannot be computed is None.

    ``accepted``: share of proposed classes that were answered yes; ``difference`` is shown minus hidden, with its 95 %
    interval. ``seconds``: geometric means; ``ratio`` is shown by hidden. ``untouched``: share of shown proposals that
    were submitted as they were.
    """

    kind: str
    name: str
    shown: int
    hidden: int
    accepted_shown: float | None = None
    accepted_hidden: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    seconds_shown: float | None = None
    seconds_hidden: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    untouched: float | None = None


@dataclass(frozen=True)
class Group:
    """Answers of one side: the accepted share of each, in [0, 1], seconds (0: not measured), untouched or not."""

    accepted: Sequence[float]
    seconds: Sequence[float]
    untouched: Sequence[bool]


def compare(kind: str, name: str, shown: Group, hidden: Group) -> Compared:
    """Both groups side by side."""
    difference = newcombe(sum(shown.accepted), len(shown.accepted), sum(hidden.accepted), len(hidden.accepted))
    ratio = ratio_of_times(shown.seconds, hidden.seconds)
    return Compared(
        kind,
        name,
        len(shown.accepted),
        len(hidden.accepted),
        accepted_shown=_mean(shown.accepted),
        accepted_hidden=_mean(hidden.accepted),
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        seconds_shown=typical(shown.seconds),
        seconds_hidden=typical(hidden.seconds),
        ratio=ratio.value,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        untouched=_mean(shown.untouched),
    )


def wilson(hits: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); the whole range for nothing counted.

    ``hits`` may be a sum of shares: then the interval is wider than it need be.
    """
    if not count:
        return 0.0, 1.0
    share = min(max(hits / count, 0.0), 1.0)
    middle = share + Z**2 / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    width = 1 + Z**2 / count
    return max((middle - half) / width, 0.0), min((middle + half) / width, 1.0)


def newcombe(hits: float, count: int, other_hits: float, other_count: int) -> Estimate:
    """Difference of two independent shares with its 95 % interval (Newcombe 1998, method 10)."""
    if not count or not other_count:
        return Estimate()
    one, other = hits / count, other_hits / other_count
    (low, high), (other_low, other_high) = wilson(hits, count), wilson(other_hits, other_count)
    down = math.hypot(one - low, other_high - other)
    up = math.hypot(high - one, other - other_low)
    return Estimate(one - other, max(one - other - down, -1.0), min(one - other + up, 1.0))


def typical(seconds: Sequence[float]) -> float | None:
    """Geometric mean of what was measured."""
    measured = [value for value in seconds if value > 0]
    return float(np.exp(np.mean(np.log(measured)))) if measured else None


def ratio_of_times(seconds: Sequence[float], others: Sequence[float]) -> Estimate:
    """Ratio of two geometric means with its 95 % interval (normal, unequal variances of log seconds)."""
    one, other = (np.log([value for value in group if value > 0]) for group in (seconds, others))
    if len(one) < 2 or len(other) < 2:
        return Estimate()
    off = float(one.mean() - other.mean())
    half = Z * math.sqrt(float(one.var(ddof=1)) / len(one) + float(other.var(ddof=1)) / len(other))
    return Estimate(math.exp(off), math.exp(off - half), math.exp(off + half))


def needed(share: float, difference: float = 0.1) -> int:
    """Answers in each group to see a difference of shares four times in five, at 5 % (normal approximation)."""
    spread = max(share * (1 - share), 0.05)
    return math.ceil(2 * spread * (Z + 0.8416) ** 2 / difference**2)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
