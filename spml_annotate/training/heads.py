"""Linear heads on frozen features: what to train (`HeadRun`), and what came out (`LinearHead`, `HeadsResult`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import MismatchError, SettingError

Floats = NDArray[np.float32]
Features = NDArray[np.floating]

# Rows of standardised features are scaled to this length: one learning rate then suits features of any size, and
# outliers (rows far longer than others) cannot dominate a step.
ROW_LENGTH = 6.0


# AdamW's, for features of that length; the decay holds for weights and biases alike.
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.3


def first_share(start: str, expected_positives: float, classes: int) -> float:
    """Probability that a new head predicts for every cell, by the fact ``start`` of its loss.

    "prior" is k/L. From there a loss that weighs cells by how wrong they are sees positives only, so it starts "low",
    at 0.2: then negatives count, too, and are soon learnt. "undecided" is 0.5, for losses that hardly push unknown
    cells.
    """
    return {"prior": min(max(expected_positives / classes, 1e-4), 0.5), "low": 0.2, "undecided": 0.5}[start]


@dataclass(frozen=True)
class HeadRun:
    """One head to train: loss, settings, labels (an index into the label sets given), seed and optimiser settings.

    ``learning_rate`` and ``weight_decay`` are AdamW's; ``seed`` drives the initialisation of head and state.

    Raises:
        SettingError: for a learning rate or a weight decay that is no number or below zero.
    """

    loss: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    label_set: int = 0
    seed: int = 0
    learning_rate: float = LEARNING_RATE
    weight_decay: float = WEIGHT_DECAY

    def __post_init__(self) -> None:
        if not 0.0 < self.learning_rate < float("inf"):
            raise SettingError(f"learning rate {self.learning_rate}: it must be above 0; {LEARNING_RATE} is usual")
        if not 0.0 <= self.weight_decay < float("inf"):
            raise SettingError(f"weight decay {self.weight_decay}: it must be 0 or more; {WEIGHT_DECAY} is usual")


@dataclass(frozen=True, eq=False)
class Scaling:
    """Standardises features per column, then scales each row to length `ROW_LENGTH`: mean and scale, float32 [D]."""

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, features: Features, block: int = 16384) -> Scaling:
        """Measured over features [N, D], block by block."""
        total = np.zeros(features.shape[1], dtype=np.float64)
        squares = np.zeros_like(total)
        for start in range(0, len(features), block):
            part = np.asarray(features[start : start + block], dtype=np.float64)
            total += part.sum(axis=0)
            squares += np.square(part).sum(axis=0)
        mean = total / len(features)
        deviation = np.sqrt(np.maximum(squares / len(features) - mean**2, 0.0))
        scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6), deviation, 1.0)
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    def apply(self, features: Features) -> Floats:
        """Scaled copy, float32 [R, D]."""
        if features.shape[1] != len(self.mean):
            raise MismatchError(
                f"the model was trained on {len(self.mean)} features, these have {features.shape[1]}; "
                "embed with the backbone that the model was trained with, or train again"
            )
        scaled = (np.asarray(features, dtype=np.float32) - self.mean) / self.scale
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        return np.asarray(scaled * (ROW_LENGTH / np.maximum(length, 1e-6)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A trained head: weight float32 [D, L], bias float32 [L], and the scaling of its features."""

    weight: Floats
    bias: Floats
    scaling: Scaling

    def predict(self, features: Features) -> Floats:
        """Probabilities float32 [R, L] of features [R, D]."""
        logits = self.scaling.apply(features) @ self.weight + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), dtype=np.float32)

    def predict_blocks(self, features: Features, block: int = 8192) -> Iterator[tuple[int, Floats]]:
        """(first row, probabilities) block by block."""
        for start in range(0, len(features), block):
            yield start, self.predict(features[start : start + block])


@dataclass(frozen=True, eq=False)
class HeadsResult:
    """What `fit_heads` trained, R runs in the order given.

    Args:
        heads: R heads, each of the epoch that was selected.
        selected_by: "validation mAP" or "last epoch".
        epochs: int64 [R], the epoch selected, counted from 0.
        validation_map: float64 [R, epochs], NaN without a validation sample.
        left_out: classes without a positive in the validation sample, not part of its mAP.
        ema: float16 [R, N, L], exponential moving average over the epochs of the predictions on the training images,
            as of the epoch selected; for images that did not train, the selected head's prediction.
        states: for each run what its state held at the epoch selected, tables by name (none for a method without a
            state); empty unless they were to be kept.
        origins: for each run the loss and a fingerprint of its labels; empty unless states were to be kept.
    """

    heads: tuple[LinearHead, ...]
    selected_by: str
    epochs: NDArray[np.int64]
    validation_map: NDArray[np.float64]
    left_out: int
    ema: NDArray[np.float16]
    states: tuple[Mapping[str, NDArray[np.generic]], ...] = ()
    origins: tuple[str, ...] = ()
