"""The confident cells of every image as it was last seen, under thresholds that follow how much a class is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.states import STATES
from spml_annotate.states.memory import Memory
from spml_annotate.states.tables import (
    allocate,
    check_labels,
    gather,
    per_head,
    row_blocks,
    scatter,
)


@STATES.register("selected", paper="arXiv:2303.13223", fills=("picked",))
class SelectedState(Memory):
    """Of every image the few most probable cells, where they pass the threshold of their class.

    Class c has the threshold cutoff a_c / (2 - a_c): lower for classes that were selected less often. a_c is
    cnt_c / max(largest cnt, m n - sum of all cnt), at least 1/L; cnt_c counts the images that were last seen with class
    c picked or known as a positive, and starts at 0. Known negatives are never picked.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        picked_per_image: m (hard_k), how many cells of an image are looked at.
        cutoff: p_cutoff, the threshold of a class with a_c = 1; one value, or one per head.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "selected"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        picked_per_image: int = 2,
        cutoff: float | Tensor = 0.95,
        memory_limit: float = 2.0**31,
    ) -> None:
        self._labels = check_labels(labels)
        self._device = labels.device
        if picked_per_image < 1:
            raise SettingError(f"selected.picked_per_image: {picked_per_image} picks nothing; at least 1 is needed")
        self._most = picked_per_image
        self._cutoff = per_head(cutoff, labels.shape[0], labels.device, "selected.cutoff")
        self.picked = allocate(tuple(labels.shape), torch.bool, labels.device, memory_limit)
        self.seen = allocate((*labels.shape[:2], 1), torch.bool, labels.device, memory_limit)
        self.counts = torch.zeros((labels.shape[0], 1, labels.shape[2]), dtype=torch.int64, device=labels.device)

    @property
    def accuracy(self) -> Tensor:
        """a_c of every head and class, float64 [H, 1, L]."""
        left = self._most * self._labels.shape[1] - self.counts.sum(dim=-1, keepdim=True)
        most = torch.maximum(self.counts.amax(dim=-1, keepdim=True), left).clamp(min=1)
        return (self.counts.double() / most).clamp(min=1.0 / self._labels.shape[2])

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``picked``, float32 [H, B, L]: 1 at picked cells."""
        return {"picked": gather(self.picked, rows, self._device).float()}

    @torch.no_grad()
    def observe(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Pick anew for these rows by their ``logits``."""
        if rows.numel() == 0:
            return
        labels = gather(self._labels, rows, self._device)
        before = self._selected(rows, labels)
        scatter(self.picked, rows, confident(outputs["logits"], labels, self.accuracy, self._most, self._cutoff))
        scatter(self.seen, rows, torch.ones((*labels.shape[:2], 1), dtype=torch.bool, device=self._device))
        self.counts += self._selected(rows, labels).sum(dim=1, keepdim=True) - before.sum(dim=1, keepdim=True)

    def _selected(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Cells that count: picked, or known as positives in an image that was seen."""
        picked, seen = gather(self.picked, rows, self._device), gather(self.seen, rows, self._device)
        return picked | ((labels == POSITIVE) & seen)

    def tables(self) -> dict[str, Tensor]:
        """What is saved: the picks; the counts follow from them."""
        return {"picked": self.picked, "seen": self.seen}

    def loaded(self) -> None:
        """Count anew."""
        self.counts.zero_()
        for block in row_blocks(tuple(self._labels.shape)):
            rows = torch.arange(block.start, block.stop, device=self._device)
            self.counts += self._selected(rows, self._labels[:, block]).sum(dim=1, keepdim=True)


def confident(logits: Tensor, labels: Tensor, accuracy: Tensor, most: int, cutoff: float | Tensor) -> Tensor:
    """True at the ``most`` most probable cells of every image that pass cutoff a / (2 - a), bool [*H, B, L].

    Known negatives are not looked at. ``accuracy`` is a, broadcastable to the logits.
    """
    probability = logits.double().sigmoid().masked_fill(labels == NEGATIVE, -1.0)
    places = probability.topk(min(most, probability.shape[-1]), dim=-1).indices
    among = torch.zeros_like(probability, dtype=torch.bool).scatter(-1, places, value=True)
    return among & (probability >= cutoff * accuracy / (2.0 - accuracy))
