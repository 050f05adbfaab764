"""What to simulate: methods, strategies, seeds, and the hours at which the curve is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spml_annotate.acquire import KINDS, Prices, Strategy, strategy
from spml_annotate.datasets.single import Bias
from spml_annotate.errors import SettingError
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION, Dataset
from spml_annotate.labels import POSITIVE
from spml_annotate.training.heads import LEARNING_RATE, WEIGHT_DECAY, HeadRun
from spml_annotate.training.inputs import require_supplied, resolve
from spml_annotate.version import __version__

BASELINE = "random-images"
DEFAULT_LOSSES = ("an", "en")
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)  # what `auto` tries
DEFAULT_STRATEGIES = ("random-pairs", "uncertain-per-label", "expected-positives", "expected-positives:list")


@dataclass(frozen=True)
class Plan:
    """Settings of a sweep; losses x strategies x seeds, the baseline ``random-images`` always among the strategies.

    Args:
        hours: hours of human time that each asking round may spend; empty spaces ``rounds`` of them evenly in log
            hours between one positive per image and everything known. A last round always asks for the rest.
        settings: plug-in name → its settings (``en.momentum``, ``page.size``).
        first_label: which positive the annotator names first: uniform, frequency, size or location.
        expected_positives: k; None takes the mean of the validation sample.
        learning_rates: tried for every loss at round 0; the one with the best mean validation mAP over the seeds is
            kept for all rounds. Empty takes ``learning_rate``.
        as_published: read known negatives as unknown, as the papers' code does, except for methods that need them.
        seed: gives the batch order of the whole sweep; the runs' own seeds are seed, seed + 1, ...
    """

    losses: tuple[str, ...] = DEFAULT_LOSSES
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    seeds: int = 3
    rounds: int = 4
    hours: tuple[float, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    first_label: Bias = "uniform"
    expected_positives: float | None = None
    epochs: int = 25
    batch_size: int = 64
    learning_rate: float = LEARNING_RATE
    learning_rates: tuple[float, ...] = ()
    weight_decay: float = WEIGHT_DECAY
    seed: int = 0
    count_validation: bool = False
    as_published: bool = False
    prices: Prices = field(default_factory=Prices)

    def __post_init__(self) -> None:
        for what, value in (("seeds", self.seeds), ("epochs", self.epochs), ("batch size", self.batch_size)):
            if value < 1:
                raise SettingError(f"{what} {value}: at least 1 is needed")
        if self.seed < 0:
            raise SettingError(f"seed {self.seed}: a whole number from 0 is needed")
        if self.prices.pick == 0 or self.prices.open + self.prices.glance == 0:  # hours are drawn as their logarithm
            raise SettingError("prices pick = 0 or open = glance = 0: what is free has no curve over hours")
        if self.rounds < 0 or any(not 0 < h < float("inf") for h in self.hours):
            raise SettingError("the rounds and their budgets in hours must be positive numbers")
        self._check_names()
        self._check_settings()
        for rate in (self.learning_rate, *self.learning_rates):
            HeadRun("", learning_rate=rate, weight_decay=self.weight_decay)  # refuses what cannot be
        for loss in self.losses:
            require_supplied(resolve(loss, self.settings.get(loss)))
        for item in self.all_strategies():
            strategy(item, self._kind_settings())

    def _check_names(self) -> None:
        for group in (self.losses, self.strategies):
            if not group or len(set(group)) != len(group):
                raise SettingError(f"{', '.join(group) or 'nothing'}: name each loss and each strategy once")

    def _check_settings(self) -> None:
        for name in self.settings:
            if name not in KINDS and name not in self.losses:
                raise SettingError(
                    f"--set {name}...: nothing here is called {name!r}; settings belong to a loss that is trained "
                    f"({', '.join(self.losses)}) or to a kind of question ({', '.join(KINDS)})"
                )
        for name in KINDS:
            KINDS[name].checked(self.settings.get(name, {}))

    def _kind_settings(self) -> dict[str, dict[str, Any]]:
        return {name: dict(values) for name, values in self.settings.items()}

    def run_seeds(self) -> range:
        """Seeds of the runs: they draw the first labels, the initial heads and whatever a strategy draws."""
        return range(self.seed, self.seed + self.seeds)

    def all_strategies(self) -> tuple[str, ...]:
        """The baseline first, then the others in the order given."""
        return (BASELINE, *(s for s in self.strategies if s != BASELINE))

    def strategy(self, spelling: str) -> Strategy:
        """A strategy with this plan's settings of its kind of question."""
        return strategy(spelling, self._kind_settings())

    def targets(self, dataset: Dataset) -> list[float]:
        """Seconds of human time at which the curve is measured, from one positive per image on; infinity at the end."""
        images = len(dataset.rows(TRAIN))
        start = images * self.prices.pick
        if self.hours:
            return [start, *(start + 3600.0 * np.cumsum(self.hours)).tolist(), float("inf")]
        rest = dataset.positives_per_image(TRAIN) - 1.0
        end = start + images * self.prices.full_check(len(dataset.taxonomy) - 1, max(rest, 0.0))
        return [*np.geomspace(start, end, self.rounds + 2)[:-1].tolist(), float("inf")]

    def validation_seconds(self, dataset: Dataset) -> float:
        """What the labelled validation sample cost: a blind full check of each of its images."""
        images = len(dataset.rows(VALIDATION))
        if not images:
            return 0.0
        return images * self.prices.full_check(len(dataset.taxonomy), dataset.positives_per_image(VALIDATION))

    def check(self, dataset: Dataset) -> None:
        """Whether the data set has what the plan needs, features aside.

        Raises:
            SettingError: if learning rates are to be compared and no validation image has a positive.
        """
        if self.learning_rates and not (dataset.truth[dataset.rows(VALIDATION)] == POSITIVE).any():
            raise SettingError(
                f"--learning-rate auto or several: they are compared on validation images, and {dataset.name} has none "
                "with a positive label; give one rate, or a data set with a validation split"
            )

    def describe(self, dataset: Dataset) -> dict[str, Any]:
        """Everything that the result depends on, as plain JSON values."""
        data = hashlib.sha256()
        for part in (dataset.features, dataset.truth, dataset.split):
            data.update(np.ascontiguousarray(part).data)
        data.update(dataset.taxonomy.fingerprint().encode())
        return {**self.outline(dataset), "data": data.hexdigest()[:16]}

    def outline(self, dataset: Dataset) -> dict[str, Any]:
        """What can be described of it before the images are embedded."""
        # What was not asked for is not named: plans of older results stay the same.
        asked: dict[str, Any] = {"learning_rates": list(self.learning_rates)} if self.learning_rates else {}
        if self.as_published:
            asked["as_published"] = True
        return {
            "version": __version__,
            "dataset": dataset.name,
            "images": {
                "train": _count(dataset, TRAIN),
                "validation": _count(dataset, VALIDATION),
                "test": _count(dataset, TEST),
            },
            "classes": len(dataset.taxonomy),
            "losses": list(self.losses),
            "strategies": list(self.all_strategies()),
            "seeds": self.seeds,
            "rounds": self.rounds,
            "hours": list(self.hours),
            "settings": {k: dict(v) for k, v in sorted(self.settings.items())},
            "first_label": self.first_label,
            "expected_positives": self.expected_positives,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "count_validation": self.count_validation,
            "prices": dict(vars(self.prices)),
            **asked,
        }


def _count(dataset: Dataset, split: int) -> int:
    return len(dataset.rows(split))


def fingerprint(description: dict[str, Any]) -> str:
    """Hash of a plan's description."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
