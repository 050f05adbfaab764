"""Heads for the lanes of a sweep.

Equal jobs are done once, in calls that fit into memory, at a learning rate that may have been chosen by validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spml_annotate.simulate.lanes import digest
from spml_annotate.simulate.plan import Plan
from spml_annotate.training.frozen import fit_heads
from spml_annotate.training.heads import HeadRun, LinearHead

Trials = dict[str, dict[float, float]]  # loss → learning rate → mean over the seeds of the best validation mAP

MEMORY = 512 * 2**20  # bytes that the heads of one call may take
# Bytes per image and class (labels, moving averages now and at the best epoch, a state with its optimiser), and per
# feature and class (weights now and at the best epoch, gradients, two moments; the same again of what a state learns).
_PER_CELL, _PER_WEIGHT = 24, 56


@dataclass(frozen=True, eq=False)
class Job:
    """What one head is trained on: loss, seed and labels int8 [N, L]."""

    loss: str
    seed: int
    codes: NDArray[np.int8]

    @property
    def key(self) -> tuple[str, int, bytes]:
        """Equal for jobs with the same result."""
        return self.loss, self.seed, digest(self.codes)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained head, its epoch and validation mAP there, and its moving average of scores float16 [N, L]."""

    head: LinearHead
    epoch: int
    validation_map: float
    scores: NDArray[np.float16]
    learning_rate: float


class Trainer:
    """Trains jobs of one plan on one data set.

    Args:
        features: [N, D]. validation: features and codes of the sample, or None.
    """

    def __init__(
        self,
        plan: Plan,
        features: NDArray[np.float32],
        validation: tuple[NDArray[np.float32], NDArray[np.int8]] | None,
        expected_positives: float,
        device: str,
        priors: NDArray[np.float64] | None = None,
    ) -> None:
        self._plan, self._features, self._validation = plan, features, validation
        self._expected_positives, self._device, self._priors = expected_positives, device, priors
        self.trials: Trials = {}

    def rate(self, loss: str) -> float:
        """The learning rate that validation chose for a loss (the first of equals), else the plan's."""
        tried = self.trials.get(loss)
        return max(tried, key=lambda rate: tried[rate]) if tried else self._plan.learning_rate

    def train(self, jobs: Sequence[Job], what: str) -> list[Model]:
        """A model for every job, each loss at its learning rate."""
        return [model for model, _ in self._fit(jobs, {}, what)]

    def choose(self, jobs: Sequence[Job], what: str) -> list[Model]:
        """Try all learning rates of the plan, keep for each loss that with the best mean over its jobs, and its models.

        A job counts with the best validation mAP that any of its epochs reached.
        """
        rates = self._plan.learning_rates
        best: dict[str, float] = {}
        models: dict[int, Model] = {}
        for number, rate in enumerate(rates, 1):
            tried = self._fit(
                jobs, dict.fromkeys((job.loss for job in jobs), rate), f"{what}, rate {rate:g} ({number}/{len(rates)})"
            )
            for loss in dict.fromkeys(job.loss for job in jobs):
                mine = [place for place, job in enumerate(jobs) if job.loss == loss]
                mean = float(np.mean([tried[place][1] for place in mine]))
                self.trials.setdefault(loss, {})[rate] = mean
                if loss not in best or mean > best[loss]:
                    best[loss] = mean
                    models.update((place, tried[place][0]) for place in mine)
        return [models[place] for place in range(len(jobs))]

    def _fit(self, jobs: Sequence[Job], rates: Mapping[str, float], what: str) -> list[tuple[Model, float]]:
        """Models, each with the best validation mAP of all epochs."""
        found: list[tuple[Model, float]] = []
        parts = list(self._parts(jobs))
        for number, part in enumerate(parts, 1):
            runs = [
                HeadRun(
                    job.loss,
                    self._plan.settings.get(job.loss, {}),
                    place,
                    job.seed,
                    rates.get(job.loss) or self.rate(job.loss),
                    self._plan.weight_decay,
                )
                for place, job in enumerate(part)
            ]
            result = fit_heads(
                self._features,
                [job.codes for job in part],
                runs,
                validation=self._validation,
                expected_positives=self._expected_positives,
                priors=self._priors,
                epochs=self._plan.epochs,
                batch_size=self._plan.batch_size,
                seed=self._plan.seed,
                device=self._device,
                as_published=self._plan.as_published,
                what=what if len(parts) == 1 else f"{what}, part {number}/{len(parts)}",
            )
            for place, run in enumerate(runs):
                epoch, history = int(result.epochs[place]), result.validation_map[place]
                model = Model(
                    result.heads[place], epoch, float(history[epoch]), result.ema[place].copy(), run.learning_rate
                )
                found.append((model, float(history.max())))
        return found

    def _parts(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        if not jobs:
            return
        images, classes = jobs[0].codes.shape
        each = images * classes * _PER_CELL + self._features.shape[1] * classes * _PER_WEIGHT
        step = max(1, MEMORY // each)
        for start in range(0, len(jobs), step):
            yield jobs[start : start + step]
