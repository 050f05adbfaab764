"""Picks the questions for the next seconds of a person's time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire.cost import Prices
from spml_annotate.acquire.noise import uniform
from spml_annotate.acquire.query import Query
from spml_annotate.acquire.values import VALUES, Strategy
from spml_annotate.errors import SettingError
from spml_annotate.labels import POSITIVE
from spml_annotate.propose import PROPOSERS, Evidence

Floats = NDArray[np.floating]


class _Candidates(NamedTuple):
    """Questions of a block of images, best first once sorted; ``labels`` is -1 for whole images."""

    priority: NDArray[np.float64]
    noise: NDArray[np.float64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    seconds: NDArray[np.float64]

    def joined(self, others: _Candidates) -> _Candidates:
        both: list[Any] = [np.concatenate(pair) for pair in zip(self, others, strict=True)]
        return _Candidates(*both)

    def best(self, count: int) -> _Candidates:
        order = np.lexsort((self.labels, self.rows, self.noise, -self.priority))[:count]
        columns: list[Any] = [column[order] for column in self]
        return _Candidates(*columns)


def choose(
    evidence: Evidence,
    strategy: Strategy,
    budget: float,
    *,
    prices: Prices | None = None,
    rows: NDArray[np.int64] | None = None,
    tag: str = "",
    block: int = 4096,
) -> list[Query]:
    """Questions whose expected seconds sum to at most ``budget``, best first.

    Cells that are known are never asked. The same evidence (and its seed) gives the same questions, whatever the block
    size. Verify questions on one image are neighbours in the list and share one view of it.

    Args:
        budget: seconds of a person's time.
        rows: images that may be asked about (all by default).
        tag: goes into the questions' ids, so that sessions do not share ids.

    Raises:
        SettingError: for a budget that is negative or not a number.
    """
    if not 0 <= budget < float("inf"):
        raise SettingError(f"budget: {budget} is not a number of seconds")
    prices = prices or Prices()
    wanted = np.arange(evidence.shape[0]) if rows is None else np.asarray(rows, dtype=np.int64)
    limit = _limit(evidence, strategy, prices, budget)
    kept: _Candidates | None = None
    for start in range(0, len(wanted), block):
        found = _candidates(evidence, strategy, prices, wanted[start : start + block])
        kept = (found if kept is None else kept.joined(found)).best(limit)
    if kept is None:
        return []
    chosen = _within(kept, budget, prices.view if strategy.kind.scope == "cell" else 0.0)
    return [q.named(tag) for q in _questions(evidence, strategy, kept, chosen, block)]


def _limit(evidence: Evidence, strategy: Strategy, prices: Prices, budget: float) -> int:
    """How many of the best candidates are worth keeping while further blocks are looked at.

    Of pairs, which all cost the same, no more than can be paid for. Of images all: a dear one that does not fit is
    passed over for a cheap one however far down the list.
    """
    images, classes = evidence.shape
    if strategy.kind.scope == "image":
        return images
    return images * classes if budget >= prices.verify * images * classes else int(budget / prices.verify) + 1


def _look(evidence: Evidence, strategy: Strategy, rows: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    belief: Floats = np.asarray(PROPOSERS[strategy.proposer].function(evidence, rows), dtype=np.float64)
    worth: Floats = np.asarray(VALUES[strategy.value].function(evidence, rows, belief), dtype=np.float64)
    return belief, worth, strategy.kind.select(worth, evidence.unknown[rows])


def _candidates(evidence: Evidence, strategy: Strategy, prices: Prices, rows: NDArray[np.int64]) -> _Candidates:
    belief, worth, asked = _look(evidence, strategy, rows)
    if strategy.kind.scope == "cell":
        row, label = np.nonzero(asked)
        noise = uniform(evidence.seed + 1, rows, worth.shape[1])
        seconds = np.full(len(row), prices.verify)
        cells = worth[row, label].astype(np.float64)
        return _Candidates(cells, noise[row, label], rows[row], label.astype(np.int64), seconds)
    counts = asked.sum(axis=1)
    open_ = counts > 0
    started = (evidence.codes[rows] == POSITIVE).any(axis=1)
    expected = strategy.kind.expect(prices, belief, asked, started)[open_].astype(np.float64)
    total = (worth * asked).sum(axis=1)[open_].astype(np.float64)
    priority = total / np.maximum(expected, 1e-9) if strategy.per_second else total / counts[open_]
    noise = uniform(evidence.seed + 1, rows, 1)[open_, 0]
    return _Candidates(priority, noise, rows[open_], np.full(len(expected), -1, dtype=np.int64), expected)


def _within(candidates: _Candidates, budget: float, view: float) -> list[int]:
    """Places of the candidates that fit, in order; what does not fit is passed over for what does."""
    left = budget
    seen: set[int] = set()
    chosen: list[int] = []
    cheapest = float(candidates.seconds.min()) if len(candidates.seconds) else 0.0
    for place, (row, seconds) in enumerate(zip(candidates.rows.tolist(), candidates.seconds.tolist(), strict=True)):
        if left < cheapest:
            break
        price = seconds if row in seen else seconds + view
        if price <= left:
            left -= price
            seen.add(row)
            chosen.append(place)
    return chosen


def _questions(
    evidence: Evidence, strategy: Strategy, candidates: _Candidates, chosen: list[int], block: int
) -> Iterator[Query]:
    if strategy.kind.scope == "cell":
        by_row: dict[int, list[int]] = {}
        for place in chosen:
            by_row.setdefault(int(candidates.rows[place]), []).append(place)
        for row, places in by_row.items():
            for place in places:
                yield Query(row, (int(candidates.labels[place]),), strategy.kind_name, (), candidates.seconds[place])
        return
    for start in range(0, len(chosen), block):
        part = chosen[start : start + block]
        belief, _, asked = _look(evidence, strategy, candidates.rows[part])
        for i, place in enumerate(part):
            labels = np.flatnonzero(asked[i])
            shown = labels[belief[i, labels] > 0.5] if strategy.kind.prefilled else labels[:0]
            yield Query(
                int(candidates.rows[place]),
                tuple(labels.tolist()),
                strategy.kind_name,
                tuple(shown.tolist()),
                float(candidates.seconds[place]),
            )
