"""Moving averages of every image's predictions, and the expected positives chosen from them (Verelst et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.states import STATES
from spml_annotate.states.choice import choose_largest
from spml_annotate.states.memory import Memory
from spml_annotate.states.tables import (
    allocate,
    check_labels,
    gather,
    per_head,
    row_blocks,
    scatter,
)

_DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


@STATES.register("ema", paper="arXiv:2203.06127", fills=("estimate", "expected"))
class EmaState(Memory):
    """Scores s: 1 at known positives and 0 elsewhere at first, then s <- mu s + (1-mu) p whenever an image is seen.

    ``estimate`` is s as it was before the present epoch's prediction. ``expected`` is 1 at known positives and, from
    the second epoch on, at the p_i largest scores of each class i among cells that are not known negatives, ties
    broken by row order. p_i = K count_i / n_bar, rounded half up and capped at n; count_i is the number of known
    positives, n_bar the mean number of known positives of an image about which something is known (1 for single
    positives; with complete labels K / n_bar is about 1 and p_i about count_i). `chosen` is the choice without the
    known positives that fell out of it.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        momentum: mu; one value, or one per head.
        expected_positives: K, mean number of positives per image; one value, or one per head.
        storage: float16, float32 or float64; how s is kept. float16 does not follow changes below 0.0005.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "ema"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        momentum: float | Tensor = 0.8,
        expected_positives: float | Tensor = 1.5,
        storage: str = "float16",
        memory_limit: float = 2.0**31,
    ) -> None:
        self._labels = check_labels(labels)
        heads = labels.shape[0]
        if storage not in _DTYPES:
            raise SettingError(f"ema.storage: {storage!r} is not one of {', '.join(_DTYPES)}")
        self._device = labels.device
        self._compute = torch.float64 if storage == "float64" else torch.float32
        self._momentum = per_head(momentum, heads, labels.device, "ema.momentum").to(self._compute)
        if not ((self._momentum >= 0.0) & (self._momentum <= 1.0)).all():
            raise SettingError(f"ema.momentum: {momentum} is no share of the earlier scores; it must be 0 to 1")
        shape = tuple(labels.shape)
        self.scores = allocate(shape, _DTYPES[storage], labels.device, memory_limit)
        self.chosen = allocate(shape, torch.bool, labels.device, memory_limit)
        for block in row_blocks(shape):
            positive = labels[:, block] == POSITIVE
            self.scores[:, block] = positive.to(self.scores.dtype)
            self.chosen[:, block] = positive
        expected = per_head(expected_positives, heads, labels.device, "ema.expected_positives")
        self.quota = _quota(labels, expected.view(-1, 1))  # p_i, int64 [H, L]

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``estimate`` and ``expected``, float32 [H, B, L] (float64 if stored so)."""
        known_positive = gather(self._labels, rows, self._device) == POSITIVE
        expected = gather(self.chosen, rows, self._device) | known_positive
        return {
            "estimate": gather(self.scores, rows, self._device).to(self._compute),
            "expected": expected.to(self._compute),
        }

    @torch.no_grad()
    def write(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Move the scores of these rows towards sigmoid(``logits``)."""
        earlier = gather(self.scores, rows, self._device).to(self._compute)
        present = outputs["logits"].to(self._compute).sigmoid()
        scatter(self.scores, rows, self._momentum * earlier + (1.0 - self._momentum) * present)

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> None:
        """Choose the expected positives of the next epoch."""
        choose_largest(self.scores, self._labels, self.quota, self.chosen)

    def tables(self) -> dict[str, Tensor]:
        """What is saved: scores and choice."""
        return {"scores": self.scores, "chosen": self.chosen}


def _quota(labels: Tensor, expected_positives: Tensor) -> Tensor:
    """p_i of every head and class, int64 [H, L]; ``expected_positives`` is float64 [H or 1, 1]."""
    heads, images, classes = labels.shape
    counts = torch.zeros((heads, classes), dtype=torch.float64, device=labels.device)
    annotated = torch.zeros((heads, 1), dtype=torch.float64, device=labels.device)
    for block in row_blocks(tuple(labels.shape)):
        counts += (labels[:, block] == POSITIVE).sum(dim=1)
        annotated += (labels[:, block] != UNKNOWN).any(dim=2).sum(dim=1, keepdim=True)
    # Multiplied before divided: with single positives the total equals the annotated images and cancels exactly.
    total = counts.sum(dim=1, keepdim=True).clamp(min=1.0)
    share = torch.where(total == annotated, counts, counts * annotated / total)
    return torch.floor(expected_positives * share + 0.5).clamp(max=images).long()
