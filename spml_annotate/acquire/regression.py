"""Robust non-negative regression of measured times: which acts to cut, then prices and paces by turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire.acts import Act

LEAST_OF_ANNOTATOR = 50
"""Acts of one annotator before he has a pace of his own."""
CUT = 3.0
"""Acts further from the middle of their kind than this many standard deviations of log seconds are left out."""
_FEW = 20  # acts of a kind before it has a spread of its own
_NARROWEST = 0.05  # log seconds; nobody is more even than that
_WIDEST = 2.0  # log seconds; what is more uneven (a factor of 7 either way, usually) is no measurement of one thing
_TANGLED = 50.0  # variance inflation from which on a price is as good as a sum of others
_ROUNDS = 25

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Solution(NamedTuple):
    """``prices`` [P], ``pace`` [A], and per act whether it is kept, its spread, and what cutting took from its mean."""

    free: Bools
    prices: Floats
    pace: Floats
    keep: Bools
    sigma: Floats
    lost: Floats


class Drawn(NamedTuple):
    """Bootstrap draws of prices [D, P] and paces [D, A]."""

    prices: Floats
    pace: Floats


class Regression:
    """Acts as arrays: seconds [n], uses [n, P], and the number of kind and annotator of each.

    Args:
        acts: measured acts.
        names: of the P prices.
        base: the prices that stay where the data cannot tell.
    """

    def __init__(self, acts: Sequence[Act], names: Sequence[str], base: Sequence[float]) -> None:
        self.seconds = np.array([act.seconds for act in acts], dtype=np.float64)
        self.uses = np.array([[act.uses.get(name, 0.0) for name in names] for act in acts], dtype=np.float64)
        kinds, self.kind = np.unique([act.kind for act in acts], return_inverse=True)
        people, self.who = np.unique([act.annotator for act in acts], return_inverse=True)
        self.kinds, self.people = [str(name) for name in kinds], [str(name) for name in people]
        self.base = np.array(base, dtype=np.float64)

    def choose(self, least: int) -> tuple[Bools, dict[int, str]]:
        """Prices that the data can tell, and why the others cannot be told."""
        counts = (self.uses > 0).sum(axis=0)
        free = counts >= least
        notes = {
            int(j): f"{counts[j]} acts paid it, {least} are needed" if counts[j] else "no act paid it"
            for j in np.flatnonzero(~free)
        }
        while free.sum() > 1:
            tangled = self._tangled(free)
            if tangled is None:
                break
            free[tangled] = False
            notes[tangled] = "every act that paid it paid the same of others with it, so that it cannot be told apart"
        return free, notes

    def _tangled(self, free: Bools) -> int | None:
        """Of prices that are almost sums of others in these acts, the one that weighs least."""
        used = np.flatnonzero(free)
        design = self.uses[:, used] / np.maximum(self.uses @ self.base, 1e-6)[:, None]
        design = design / np.linalg.norm(design, axis=0)
        values, vectors = np.linalg.eigh(design.T @ design)
        inflation = (vectors**2 / np.maximum(values, 1e-12)).sum(axis=1)
        if inflation.max() <= _TANGLED:
            return None
        weight = self.uses[:, used].sum(axis=0) * np.maximum(self.base[used], 1e-6)
        return int(used[np.where(inflation > _TANGLED, weight, np.inf).argmin()])

    def settle(self, free: Bools) -> Solution:
        """Cut, fit, and cut again until the same acts stay."""
        expected = np.maximum(self.uses @ self.base, 1e-3)
        middle = self._per_kind(np.log(self.seconds / expected), np.median)
        expected = expected * np.exp(middle)
        pace: Floats = np.ones(len(self.people))
        prices = self.base.copy()
        keep: Bools = np.zeros(len(self.seconds), dtype=bool)
        sigma: Floats = np.ones(len(self.seconds))
        lost: Floats = sigma
        for _ in range(_ROUNDS):
            before = keep
            keep, sigma = self._cut(expected * pace[self.who])
            lost = _lost(sigma)
            prices, pace = self._solve(Solution(free, prices, pace, keep, sigma, lost), 6)
            expected = np.maximum(self.uses @ prices, 1e-3)
            if np.array_equal(keep, before):
                break
        return Solution(free, prices, pace, keep, sigma, lost)

    def _cut(self, expected: Floats) -> tuple[Bools, Floats]:
        """Which acts stay [n], and the spread of log seconds of each act's kind [n]."""
        off = np.log(self.seconds / expected)
        off = off - self._per_kind(off, np.median)

        def robust(values: Floats) -> float:
            return min(max(1.4826 * float(np.median(np.abs(values))), _NARROWEST), _WIDEST)

        pooled = robust(off)

        def spread(values: Floats) -> float:
            return robust(values) if len(values) >= _FEW else pooled

        sigma = self._per_kind(off, spread)
        return np.abs(off) <= CUT * sigma, sigma

    def _per_kind(self, values: Floats, of: Callable[[Floats], float]) -> Floats:
        found = np.array([of(values[self.kind == k]) for k in range(len(self.kinds))], dtype=np.float64)
        return np.asarray(found[self.kind])

    def _solve(self, start: Solution, rounds: int) -> tuple[Floats, Floats]:
        """Prices and paces by turns, from the acts that are kept."""
        counts = start.keep.astype(np.float64)
        prices, pace, free = start.prices.copy(), start.pace, start.free
        seconds = self.seconds / start.lost
        fixed = self.uses[:, ~free] @ self.base[~free]
        for _ in range(rounds):
            own = pace[self.who]
            expected = np.maximum(own * (self.uses @ prices), 1e-3)
            weight = counts / (start.sigma * expected) ** 2
            design = self.uses[:, free] * own[:, None]
            weighted = design * weight[:, None]
            prices[free] = _nonnegative(weighted.T @ design, weighted.T @ (seconds - own * fixed))
            pace = self._pace(seconds / np.maximum(self.uses @ prices, 1e-3), counts, start.sigma)
        return prices, pace

    def _pace(self, ratio: Floats, counts: Floats, sigma: Floats) -> Floats:
        """Factor of each annotator [A]; 1 for those with too few acts."""
        total = np.bincount(self.who, counts, len(self.people))
        known = total >= LEAST_OF_ANNOTATOR
        if known.sum() < 2:
            return np.ones(len(self.people))
        mean = np.bincount(self.who, counts * ratio, len(self.people)) / np.maximum(total, 1)
        error = np.bincount(self.who, counts * sigma**2, len(self.people)) / np.maximum(total, 1) ** 2
        factor = np.ones(len(self.people))
        factor[known] = np.exp(_pooled(np.log(np.maximum(mean[known], 1e-3)), error[known]))
        factor[known] /= np.average(factor[known], weights=total[known])
        return factor

    def bootstrap(self, solution: Solution, draws: int, random: np.random.Generator) -> Drawn:
        """Solutions of samples drawn with replacement within annotator and kind; each is cut anew."""
        strata = [
            np.flatnonzero((self.who == who) & (self.kind == kind))
            for who in range(len(self.people))
            for kind in range(len(self.kinds))
        ]
        prices, paces = [], []
        for _ in range(draws):
            places = np.concatenate([here[random.integers(0, len(here), len(here))] for here in strata if len(here)])
            sample = self._sample(places)
            keep, sigma = sample._cut(np.maximum(sample.uses @ solution.prices, 1e-3) * solution.pace[sample.who])
            start = Solution(solution.free, solution.prices, solution.pace, keep, sigma, _lost(sigma))
            price, pace = sample._solve(start, 2)
            prices.append(price)
            paces.append(pace)
        return Drawn(np.array(prices), np.array(paces))

    def _sample(self, places: NDArray[np.int64]) -> Regression:
        sample = copy(self)
        sample.seconds, sample.uses = self.seconds[places], self.uses[places]
        sample.kind, sample.who = self.kind[places], self.who[places]
        return sample

    def paced(self, solution: Solution) -> list[tuple[int, int]]:
        """(annotator, acts kept) of those who have a pace of their own; nobody if only one has enough acts."""
        total = np.bincount(self.who, solution.keep, len(self.people))
        known = np.flatnonzero(total >= LEAST_OF_ANNOTATOR)
        return [(int(a), int(total[a])) for a in known] if len(known) > 1 else []


def _lost(sigma: Floats) -> Floats:
    """Mean of a log-normal cut at `CUT` standard deviations on both sides, as a share of the mean of the whole."""
    normal = NormalDist()
    inside = normal.cdf(CUT) - normal.cdf(-CUT)
    values, place = np.unique(sigma, return_inverse=True)
    share = np.array([(normal.cdf(CUT - s) - normal.cdf(-CUT - s)) / inside for s in values.tolist()])
    return np.asarray(share[place])


def _pooled(values: Floats, error: Floats) -> Floats:
    """Values [A] with squared errors, drawn to their mean by as much as they do not differ more than by chance."""
    weight = 1.0 / error
    mean = float(np.average(values, weights=weight))
    excess = float((weight * (values - mean) ** 2).sum()) - (len(values) - 1)
    between = max(excess / float(weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    return np.asarray(mean + (values - mean) * between / (between + error))


def _nonnegative(matrix: Floats, vector: Floats) -> Floats:
    """The least-squares solution of the normal equations among vectors without a negative entry.

    With at most seven unknowns every set of zeros can be tried, which is exact.
    """
    count = len(vector)
    matrix = matrix + np.eye(count) * 1e-12 * max(float(np.trace(matrix)), 1e-300)
    best, least = np.zeros(count), 0.0
    for size in range(count, 0, -1):
        for chosen in combinations(range(count), size):
            places = np.array(chosen)
            part = np.linalg.solve(matrix[np.ix_(places, places)], vector[places])
            loss = -float(part @ vector[places])
            if (part >= 0).all() and loss < least:
                best, least = np.zeros(count), loss
                best[places] = part
                if size == count:
                    return best
    return best
