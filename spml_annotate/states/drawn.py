"""The last predictions as pseudo-labels, of which a random share takes part in every epoch (Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import UNKNOWN
from spml_annotate.states import STATES
from spml_annotate.states.last import LastScores
from spml_annotate.states.tables import allocate, gather, row_blocks

_EPOCH_STRIDE = 1_000_003  # seeds of different runs and epochs do not meet


@STATES.register(
    "drawn",
    paper="arXiv:2308.00166",
    fills=("estimate", "picked"),
    also_keeps="with `share` below 1 a byte per image and class: the cells of this epoch",
)
class DrawnState(LastScores):
    """``estimate`` is the last prediction, 0.5 before the first; ``picked`` a random share of the unknown cells.

    Which cells take part is drawn anew for every epoch, from a head's own seed and the number of the epoch, so that a
    training that is resumed draws the same.

    Args:
        labels: int8 [H, n, L].
        seeds: one per head. Zeros if none are given.
        share: q, the probability that an unknown cell takes part in an epoch; the paper gives no value.
        storage: float16, float32 or float64; how scores are kept.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "drawn"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        share: float = 1.0,
        storage: str = "float16",
        memory_limit: float = 2.0**31,
    ) -> None:
        super().__init__(labels, storage, memory_limit)
        if not 0.0 < share <= 1.0:
            raise SettingError(f"drawn.share: {share} must lie above 0 and be at most 1")
        self._share = share
        self._seeds = tuple(seeds) or (0,) * labels.shape[0]
        if len(self._seeds) != labels.shape[0]:
            raise SettingError(f"drawn: {len(self._seeds)} seeds for {labels.shape[0]} heads; give one per head")
        self._drawn: Tensor | None = None  # not needed if all unknown cells take part
        if share < 1.0:
            self._drawn = allocate(tuple(labels.shape), torch.bool, labels.device, memory_limit)
        self._draw()

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``estimate`` and ``picked``, float32 [H, B, L] (float64 if stored so)."""
        picked = gather(self._labels, rows, self._device) == UNKNOWN
        if self._drawn is not None:
            picked = picked & gather(self._drawn, rows, self._device)
        return {**super().read(rows), "picked": picked.to(self._compute)}

    def end_epoch(self, epoch: int) -> None:
        """Draw the cells of the next epoch."""
        super().end_epoch(epoch)
        self._draw()

    def loaded(self) -> None:
        """Draw the cells of the epoch that was saved."""
        self._draw()

    def _draw(self) -> None:
        if self._drawn is None:
            return
        for head, seed in enumerate(self._seeds):
            generator = torch.Generator().manual_seed(seed * _EPOCH_STRIDE + self.passed)
            for block in row_blocks((1, *self._drawn.shape[1:])):
                part = self._drawn[head, block]
                part.copy_(torch.rand(part.shape, generator=generator) < self._share)
