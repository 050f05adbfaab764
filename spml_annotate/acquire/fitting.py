"""Prices from measured times: the seconds that each action really took, with intervals, and annotators' paces.

The seconds of one act of answering are modelled as ``pace x sum(times paid x price) x noise``. A price is the *mean*
working time, because budgets are sums of means; times far from the rest (somebody left the desk, or hit a key by
accident) are cut beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spml_annotate.acquire.acts import Act
from spml_annotate.acquire.cost import PRICES, Prices
from spml_annotate.acquire.regression import Regression, Solution
from spml_annotate.errors import DataError, SettingError

LEAST = 30
"""Acts that must have paid a price before it is fitted."""
USUAL = 200
"""Acts from which on a fit is usually worth using."""
_NAMES = tuple(PRICES)


@dataclass(frozen=True)
class FittedPrice:
    """One price after a fit: ``acts`` paid it; ``low`` and ``high`` are None and ``note`` says why if it was kept."""

    name: str
    seconds: float
    low: float | None
    high: float | None
    acts: int
    note: str = ""

    @property
    def fitted(self) -> bool:
        """Whether the data decided it."""
        return self.low is not None


@dataclass(frozen=True)
class Pace:
    """How slow an annotator is: his seconds are ``factor`` times those of the average act."""

    annotator: str
    acts: int
    factor: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """Acts of one kind: how many, how many of them were cut, median seconds, and the spread of log seconds."""

    kind: str
    acts: int
    cut: int
    median: float
    sigma: float


@dataclass(frozen=True)
class Fit:
    """What `fit_prices` found; intervals hold the true mean with probability ``level``."""

    prices: tuple[FittedPrice, ...]
    paces: tuple[Pace, ...]
    kinds: tuple[Spread, ...]
    acts: int
    cut: int
    level: float

    @property
    def seconds(self) -> dict[str, float]:
        """Fitted prices only, to three digits."""
        return {price.name: float(f"{price.seconds:.3g}") for price in self.prices if price.fitted}


def fit_prices(
    acts: Sequence[Act],
    *,
    base: Prices | None = None,
    least: int = LEAST,
    level: float = 0.95,
    draws: int = 400,
    seed: int = 0,
) -> Fit:
    """Fit prices to measured acts.

    Times are cut where they lie three robust standard deviations (`regression.CUT`; median absolute deviation of log
    seconds, per kind) from the middle, again and again until nothing changes; the rest is fitted by least squares with
    non-negative prices and an error in proportion to the time; what cutting takes from the mean of a log-normal is
    given back. An annotator with 50 acts (`regression.LEAST_OF_ANNOTATOR`) has a pace of his own, shrunk towards that
    of all by as much as paces are alike (DerSimonian & Laird). Intervals are percentiles of a bootstrap within
    annotator and kind: they speak of these annotators, not of others.

    Args:
        acts: measured acts; those without a duration are refused.
        base: prices that stay where there is too little data. [default: the published ones]
        least: acts that must have paid a price before it is fitted.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: if there is no act, or one without a duration. SettingError: for settings out of range.
    """
    if least < 2 or draws < 10 or not 0 < level < 1:
        raise SettingError(f"fit: least {least} (from 2), draws {draws} (from 10) or level {level} (0 to 1) is no use")
    if not acts:
        raise DataError("there is no measured act to fit prices to; answer questions first, seconds are kept with them")
    if not all(0 < act.seconds < float("inf") for act in acts):
        raise DataError("an act without a duration cannot be fitted; leave it out")
    table = Regression(acts, _NAMES, [float(getattr(base or Prices(), name)) for name in _NAMES])
    free, notes = table.choose(least)
    solution = table.settle(free)
    drawn = table.bootstrap(solution, draws, np.random.default_rng(seed))
    tails = (50 * (1 - level), 50 * (1 + level))
    low, high = np.percentile(drawn.prices, tails, axis=0)
    fitted = tuple(
        FittedPrice(
            name,
            float(solution.prices[j]),
            float(low[j]) if free[j] else None,
            float(high[j]) if free[j] else None,
            int((table.uses[:, j] > 0).sum()),
            notes.get(j, ""),
        )
        for j, name in enumerate(_NAMES)
    )
    slow, fast = (np.percentile(drawn.pace, tail, axis=0) for tail in tails[::-1])
    paces = tuple(
        Pace(table.people[a], int(count), float(solution.pace[a]), float(fast[a]), float(slow[a]))
        for a, count in table.paced(solution)
    )
    return Fit(fitted, paces, _spreads(table, solution), len(acts), int((~solution.keep).sum()), level)


def _spreads(table: Regression, solution: Solution) -> tuple[Spread, ...]:
    found = []
    for number, kind in enumerate(table.kinds):
        here = table.kind == number
        kept = here & solution.keep
        middle = float(np.median(table.seconds[kept if kept.any() else here]))
        found.append(Spread(kind, int(here.sum()), int((here & ~kept).sum()), middle, float(solution.sigma[here][0])))
    return tuple(found)
