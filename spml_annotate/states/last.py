"""The scores with which every image was last trained on, and what is decided from them at the end of an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import UNKNOWN
from spml_annotate.states import STATES
from spml_annotate.states.choice import choose_largest
from spml_annotate.states.memory import Memory
from spml_annotate.states.tables import (
    EpochCounter,
    allocate,
    check_labels,
    gather,
    per_head,
    row_blocks,
    scatter,
)

_DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


class LastScores(Memory):
    """Table ``scores`` [H, n, L]: sigmoid of the logits of the step that last saw the image.

    The authors' code runs the model once more over all images after the epoch; these scores are up to an epoch older,
    and cost nothing.
    """

    start = 0.5  # the score of an image that has not been seen

    def __init__(self, labels: Tensor, storage: str, memory_limit: float) -> None:
        self._labels = check_labels(labels)
        if storage not in _DTYPES:
            raise SettingError(f"{self.name}.storage: {storage!r} is not one of {', '.join(_DTYPES)}")
        self._device = labels.device
        self._compute = torch.float64 if storage == "float64" else torch.float32
        self._memory_limit = memory_limit
        self._epoch = EpochCounter()
        self.scores = allocate(tuple(labels.shape), _DTYPES[storage], labels.device, memory_limit)
        for block in row_blocks(tuple(labels.shape)):
            self.scores[:, block] = self.start

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``estimate``, the scores, float32 [H, B, L] (float64 if stored so)."""
        return {"estimate": gather(self.scores, rows, self._device).to(self._compute)}

    @torch.no_grad()
    def write(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Keep sigmoid(``logits``) of these rows."""
        scatter(self.scores, rows, outputs["logits"].to(self._compute).sigmoid())

    def tables(self) -> dict[str, Tensor]:
        """What is saved."""
        return {"scores": self.scores}


@STATES.register("asymmetric", paper="arXiv:2203.16219", fills=("estimate", "picked"))
class AsymmetricState(LastScores):
    """Soft negative pseudo-labels: every epoch the unknown cells of each class with the lowest scores, for good.

    After each epoch from the ``warm_up``-th on, floor(delta U_c / (T - T_w)) more unknown cells of class c are
    ``picked``, the lowest scores first, U_c being its unknown cells at the start. Their score at that moment is their
    ``estimate`` from then on. No positives are ever made. In a run of no more epochs than the warm-up nothing is
    picked.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        negative_share: delta, the share of the unknown cells that are picked in the end.
        warm_up: T_w, epochs before the first choice.
        epochs: T, epochs of the whole training.
        storage: float16, float32 or float64; how scores are kept.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "asymmetric"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        negative_share: float | Tensor = 0.9,
        warm_up: int = 5,
        epochs: int = 10,
        storage: str = "float16",
        memory_limit: float = 2.0**31,
    ) -> None:
        super().__init__(labels, storage, memory_limit)
        share = per_head(negative_share, labels.shape[0], labels.device, "asymmetric.negative_share").view(-1, 1)
        self._warm_up, self._epochs = warm_up, epochs
        self.open = allocate(tuple(labels.shape), torch.bool, labels.device, memory_limit)  # may still be picked
        unknown = torch.zeros((labels.shape[0], labels.shape[2]), dtype=torch.int64, device=labels.device)
        for block in row_blocks(tuple(labels.shape)):
            self.open[:, block] = labels[:, block] == UNKNOWN
            unknown += (labels[:, block] == UNKNOWN).sum(dim=1)
        passes = max(epochs - warm_up, 1)
        self.quota = torch.floor(share * unknown / passes).long()  # int64 [H, L]

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``estimate`` and ``picked``, float32 [H, B, L] (float64 if stored so)."""
        return {**super().read(rows), "picked": self._closed(rows).to(self._compute)}

    @torch.no_grad()
    def write(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Keep sigmoid(``logits``) of these rows, but for cells that have been picked."""
        present = outputs["logits"].to(self._compute).sigmoid()
        kept = gather(self.scores, rows, self._device).to(self._compute)
        scatter(self.scores, rows, torch.where(self._closed(rows), kept, present))

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> None:
        """Pick the lowest scores of every class, if it is time."""
        super().end_epoch(epoch)
        if epoch + 1 < self._warm_up or self._epochs <= self._warm_up:
            return
        chosen = allocate(tuple(self.open.shape), torch.bool, self._device, self._memory_limit)
        choose_largest(self.scores, self.open, self.quota, chosen, smallest=True)
        for block in row_blocks(tuple(self.open.shape)):
            self.open[:, block] &= ~chosen[:, block]

    def tables(self) -> dict[str, Tensor]:
        """What is saved."""
        return {**super().tables(), "open": self.open}

    def _closed(self, rows: Tensor) -> Tensor:
        """Cells of these rows that have been picked, bool [H, B, L]."""
        unknown = gather(self._labels, rows, self._device) == UNKNOWN
        return unknown & ~gather(self.open, rows, self._device)
