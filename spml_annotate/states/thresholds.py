"""What is usual, as moving averages: how far a masked image's logits move, and every class's logit (IGNORE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spml_annotate.labels import POSITIVE
from spml_annotate.states import STATES
from spml_annotate.states.memory import Memory
from spml_annotate.states.tables import check_labels, gather, per_head


@STATES.register(
    "thresholds", paper="ECCV 2024 (IGNORE)", fills=("thresholds",), also_keeps="a number per run and one per class"
)
class ThresholdsState(Memory):
    """``thresholds``: the gap G of a head, and the average logit A of each of its classes.

    Before the loss of every batch G moves towards the mean |w - w_masked| at its known positives, if it has any, and A
    towards the mean of w over its images. Both start at 0 and are not corrected for that: after n steps they have
    1 - momentum^n of their value, as in the authors' code.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        gap_momentum: share of G that stays at a step; one value, or one per head.
        average_momentum: share of A that stays at a step; one value, or one per head.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "thresholds"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        gap_momentum: float | Tensor = 0.999,
        average_momentum: float | Tensor = 0.999,
    ) -> None:
        self._labels = check_labels(labels)
        self._device = labels.device
        heads, _, classes = labels.shape
        self._gap_momentum = per_head(gap_momentum, heads, labels.device, "thresholds.gap_momentum")
        self._average_momentum = per_head(average_momentum, heads, labels.device, "thresholds.average_momentum")
        self.gap = torch.zeros((heads, 1, 1), dtype=torch.float64, device=labels.device)
        self.average = torch.zeros((heads, 1, classes), dtype=torch.float64, device=labels.device)

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``thresholds``, float32 [H, B, L, 2]: (G, A) in every cell, the same in every row."""
        both = torch.stack([self.gap.expand_as(self.average), self.average], dim=-1).float()
        return {"thresholds": both.expand(-1, rows.numel(), -1, -1)}

    @torch.no_grad()
    def observe(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Move both towards what this batch's ``logits`` and the ``masked`` images' show."""
        if rows.numel() == 0:
            return
        present = outputs["logits"].double()
        positive = gather(self._labels, rows, self._device) == POSITIVE
        distance = (present - outputs["masked"].double()).abs().masked_fill(~positive, 0.0)
        count = positive.sum(dim=(1, 2), keepdim=True)
        gap = distance.sum(dim=(1, 2), keepdim=True) / count.clamp(min=1)
        moved = self._gap_momentum * self.gap + (1.0 - self._gap_momentum) * gap
        self.gap.copy_(torch.where(count > 0, moved, self.gap))
        mean = present.mean(dim=1, keepdim=True)
        self.average.mul_(self._average_momentum).add_((1.0 - self._average_momentum) * mean)

    def tables(self) -> dict[str, Tensor]:
        """What is saved."""
        return {"gap": self.gap, "average": self.average}
