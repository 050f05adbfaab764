"""Unknown cells that were taken for positives once and stay so: by their loss (LL-Cp) or by their score (MIME)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import UNKNOWN
from spml_annotate.states import STATES
from spml_annotate.states.memory import Memory
from spml_annotate.states.tables import (
    EpochCounter,
    allocate,
    check_labels,
    gather,
    per_head,
    scatter,
)

# The count of cells is a ceiling of a product; a product that rounding lifts above a whole number counts no cell more.
_ROUNDING = 1e-6


class _Remembered(Memory):
    """Table ``chosen``, True at unknown cells that count as positives from now on; nothing is ever taken back."""

    def __init__(self, labels: Tensor, memory_limit: float) -> None:
        self._labels = check_labels(labels)
        self._device = labels.device
        self.chosen = allocate(tuple(labels.shape), torch.bool, labels.device, memory_limit)
        self._epoch = EpochCounter()

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``expected``, float32 [H, B, L]: 1 at cells that count as positives."""
        return {"expected": gather(self.chosen, rows, self._device).float()}

    def tables(self) -> dict[str, Tensor]:
        """What is saved."""
        return {"chosen": self.chosen}

    def _open(self, rows: Tensor, chosen: Tensor) -> Tensor:
        """Cells of these rows that may still be chosen, bool [H, B, L]."""
        return (gather(self._labels, rows, self._device) == UNKNOWN) & ~chosen


@STATES.register("corrected", paper="arXiv:2206.03740", fills=("expected",))
class CorrectedState(_Remembered):
    """From the second epoch on, the unknown cells of every batch with the largest losses become positives for good.

    ceil(B L Delta) cells of a batch of B images, before its loss is computed, ties at the last one included. As long
    as a cell is unknown its loss -log(1-p) grows with its logit, so the largest logits are looked for. The decisions
    depend on how the images are put into batches.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        correction_rate: Delta_rel, share of a batch's cells; one value, or one per head.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "corrected"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        correction_rate: float | Tensor = 0.002,
        memory_limit: float = 2.0**31,
    ) -> None:
        super().__init__(labels, memory_limit)
        self._rate = per_head(correction_rate, labels.shape[0], labels.device, "corrected.correction_rate")
        if not bool(((self._rate >= 0) & (self._rate <= 1)).all()):
            raise SettingError("corrected.correction_rate must lie between 0 and 1")
        self._most = float(self._rate.max()) if self._rate.numel() else 0.0  # known without asking the device again

    @torch.no_grad()
    def observe(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Correct the cells of this batch whose ``logits`` are the largest."""
        if self.passed == 0 or rows.numel() == 0:
            return
        chosen = gather(self.chosen, rows, self._device)
        may = self._open(rows, chosen)
        logits = outputs["logits"].masked_fill(~may, -torch.inf)
        cells = logits.shape[1] * logits.shape[2]
        most = math.ceil(self._most * cells * (1.0 - _ROUNDING))
        if most == 0:
            return
        count = torch.ceil(self._rate.view(-1, 1) * cells * (1.0 - _ROUNDING)).long()  # [H or 1, 1]
        flat = logits.flatten(1)
        least = flat.topk(most, dim=1).values.gather(1, (count.expand(len(flat), 1) - 1).clamp(min=0))
        now = (logits >= least[..., None]) & (count > 0)[..., None]
        scatter(self.chosen, rows, chosen | (now & may))


@STATES.register("confident", paper="ICML 2023 (MIME)", fills=("expected",))
class ConfidentState(_Remembered):
    """From an epoch on, every unknown cell whose score passes a threshold becomes a positive for good.

    A score is that of the training step which saw the image; a decision counts from the next epoch on.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        score_threshold: theta; one value, or one per head.
        warm_up: epochs before the first decision.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "confident"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        score_threshold: float | Tensor = 0.8,
        warm_up: int = 5,
        memory_limit: float = 2.0**31,
    ) -> None:
        super().__init__(labels, memory_limit)
        self._threshold = per_head(score_threshold, labels.shape[0], labels.device, "confident.score_threshold")
        self._warm_up = warm_up

    @torch.no_grad()
    def write(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Choose the cells of these rows whose sigmoid(``logits``) is above the threshold."""
        if self.passed + 1 < self._warm_up:
            return
        chosen = gather(self.chosen, rows, self._device)
        above = outputs["logits"].double().sigmoid() > self._threshold
        scatter(self.chosen, rows, chosen | (above & self._open(rows, chosen)))
