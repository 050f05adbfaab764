"""One lane of a sweep: a loss, a strategy and a seed, with all that it knows and has spent so far."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire import KINDS, Query, Strategy, choose
from spml_annotate.datasets.single import single_positives
from spml_annotate.folding import fold_matrix
from spml_annotate.formats.dataset import TRAIN, Dataset
from spml_annotate.labels import UNKNOWN, LabelMatrix, Observation
from spml_annotate.oracles.simulated import SimulatedOracle
from spml_annotate.propose import Evidence
from spml_annotate.simulate.plan import BASELINE, Plan

# Answers may turn out far cheaper than the scores let expect: a loss that calls everything likely makes full checks
# look dear. Then a session chooses again with the time that is left, so that all lanes are compared at the same hours.
PASSES = 8
ENOUGH = 0.01  # share of a session's time that may be left
_BLOCK = 1024  # images


@dataclass(frozen=True)
class Pool:
    """The training images as the lanes see them: features [N, D], truth int8 [N, L], class priors [L]."""

    features: NDArray[np.float32]
    truth: NDArray[np.int8]
    priors: NDArray[np.float64]


@dataclass
class Lane:
    """State of one lane; ``codes`` int8 [N, L] is what its annotator has made known, ``scores`` float16 [N, L]."""

    loss: str
    strategy: str
    seed: int
    codes: NDArray[np.int8]
    scores: NDArray[np.float16]
    seconds: float = 0.0
    questions: Counter[str] = field(default_factory=Counter)

    def learn(self, observations: Iterable[Observation]) -> None:
        """Add answers about cells that were unknown."""
        images, classes = self.codes.shape
        rows, labels, values = fold_matrix(observations, (images, classes)).cells()
        self.codes[rows, labels] = values


class Annotator:
    """Runs the sessions of one lane: asks what its strategy chooses and writes down the answers."""

    def __init__(self, plan: Plan, dataset: Dataset, pool: Pool) -> None:
        self._plan, self._pool = plan, pool
        self._strategies: dict[str, Strategy] = {s: plan.strategy(s) for s in plan.all_strategies()}
        exhaust = KINDS["exhaust"]
        self._exhaust = exhaust.function(**exhaust.checked(plan.settings.get("exhaust", {})))
        rows = dataset.rows(TRAIN)
        self._picks = {
            seed: single_positives(dataset.truth, rows, seed=seed, bias=plan.first_label, boxes=dataset.boxes)
            for seed in plan.run_seeds()
        }
        self._number = 0
        self._sessions: dict[tuple[Hashable, ...], tuple[NDArray[np.int8], float, Counter[str]]] = {}

    def session(self, lane: Lane, number: int, target: float) -> None:
        """Round ``number``: spend up to ``target`` seconds in all; round 0 names one positive on every image.

        In the first and the last round the losses have no part in what is asked: it is worked out once for all.
        """
        if number > 0 and target != float("inf"):
            self._ask(lane, number, target)
            return
        place = self._place(lane, number, target)
        if place not in self._sessions:
            if number != self._number:
                self._sessions, self._number = {}, number
            self._ask(lane, number, target)
            self._sessions[place] = (lane.codes.copy(), lane.seconds, lane.questions.copy())
            return
        codes, lane.seconds, questions = self._sessions[place]
        lane.codes, lane.questions = codes.copy(), questions.copy()

    def _place(self, lane: Lane, number: int, target: float) -> tuple[Hashable, ...]:
        """All that a session depends on."""
        digests = [digest(lane.codes)]
        if target != float("inf") or self._exhaust.prefilled:
            digests.append(digest(lane.scores))
        return (lane.strategy, lane.seed, number, lane.seconds, *sorted(lane.questions.items()), *digests)

    def _ask(self, lane: Lane, number: int, target: float) -> None:
        oracle = self._oracle(lane)
        if number == 0 and lane.strategy != BASELINE:
            everything = tuple(range(lane.codes.shape[1]))
            oracle.ask([Query(row, everything, "pick").named("0") for row in range(len(lane.codes))])
            lane.learn(oracle.answers())
        elif target == float("inf"):
            self._rest(lane, oracle)
        else:
            self._chosen(lane, oracle, number, target)
        lane.seconds, lane.questions = oracle.seconds, oracle.questions

    def _oracle(self, lane: Lane) -> SimulatedOracle:
        kinds = {s.kind_name: s.kind for s in (self._strategies[lane.strategy],)}
        kinds.setdefault("exhaust", self._exhaust)
        oracle = SimulatedOracle(self._pool.truth, self._picks[lane.seed], prices=self._plan.prices, kinds=kinds)
        oracle.resume(lane.codes, lane.seconds, lane.questions)
        return oracle

    def _chosen(self, lane: Lane, oracle: SimulatedOracle, number: int, target: float) -> None:
        strategy, prices = self._strategies[lane.strategy], self._plan.prices
        time = target - oracle.seconds
        ratio = 1.0  # seconds that answers took for each second expected
        for attempt in range(PASSES):
            left = target - oracle.seconds
            if left <= ENOUGH * time or not (lane.codes == UNKNOWN).any():
                return
            evidence, before = self.evidence(lane, number), oracle.seconds
            chosen = choose(evidence, strategy, left / ratio, prices=prices, tag=f"{number}.{attempt}")
            oracle.ask(chosen)
            lane.learn(oracle.answers(left))
            if oracle.seconds == before:
                return
            if strategy.kind.scope == "image":  # the seconds of a single yes or no are known beforehand
                ratio = (oracle.seconds - before) / max(sum(q.seconds for q in chosen), 1e-9)

    def _rest(self, lane: Lane, oracle: SimulatedOracle) -> None:
        """Full checks of whatever is unknown."""
        unknown = lane.codes == UNKNOWN
        shown = (lane.scores > 0.5) if self._exhaust.prefilled else np.zeros_like(unknown)
        rows = np.flatnonzero(unknown.any(axis=1))
        for start in range(0, len(rows), _BLOCK):  # the observations of all images at once would fill the memory
            queries = []
            for row in rows[start : start + _BLOCK]:
                labels = np.flatnonzero(unknown[row])
                ticked = labels[shown[row, labels]]
                queries.append(Query(int(row), tuple(labels.tolist()), "exhaust", tuple(ticked.tolist())).named("rest"))
            oracle.ask(queries)
            lane.learn(oracle.answers())

    def evidence(self, lane: Lane, number: int) -> Evidence:
        """What the lane's strategy may look at in round ``number``."""
        return Evidence(
            self._pool.features,
            LabelMatrix.from_dense(lane.codes),
            lane.scores,
            self._pool.priors,
            seed=1000 * lane.seed + number,
        )


def digest(table: NDArray[Any]) -> bytes:
    """A short key for an array: the same for the same content."""
    return hashlib.blake2b(np.ascontiguousarray(table).data, digest_size=16).digest()


def start_lanes(plan: Plan, pool: Pool) -> list[Lane]:
    """All lanes with nothing known; before a model exists the scores are the class priors."""
    scores = np.broadcast_to(pool.priors.astype(np.float16), pool.truth.shape)
    return [
        Lane(loss, item, seed, np.full(pool.truth.shape, UNKNOWN, dtype=np.int8), scores.copy())
        for loss in plan.losses
        for item in plan.all_strategies()
        for seed in plan.run_seeds()
    ]
