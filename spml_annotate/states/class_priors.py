"""How common every class is, estimated from the scores of all images and of those known to have it (CRISP)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import POSITIVE
from spml_annotate.states import STATES
from spml_annotate.states.last import LastScores
from spml_annotate.states.tables import BLOCK_CELLS, row_blocks


@STATES.register("class-priors", paper="arXiv:2309.13886", fills=("priors",), also_keeps="a number per class")
class ClassPriorsState(LastScores):
    """``priors`` of every class, estimated anew after every epoch by `estimate_class_priors`.

    Before the first estimate a prior is the share of images with a known positive. The sum of a head's priors
    estimates the mean number of positives per image.

    Args:
        labels: int8 [H, n, L].
        seeds: not used, nothing here is random.
        confidence: delta; the bound behind the choice holds with probability 1 - delta.
        slack: tau, how much the width of the bound counts on top.
        storage: float16, float32 or float64; how scores are kept.
        memory_limit: bytes; a larger table is memory-mapped from a temporary file.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "class-priors"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        confidence: float = 0.01,
        slack: float = 0.01,
        storage: str = "float16",
        memory_limit: float = 2.0**31,
    ) -> None:
        super().__init__(labels, storage, memory_limit)
        if not 0.0 < confidence < 1.0:
            raise SettingError(f"class-priors.confidence: {confidence} is no probability; it must be between 0 and 1")
        self._confidence, self._slack = confidence, slack
        counts = torch.zeros((labels.shape[0], 1, labels.shape[2]), dtype=torch.float64, device=labels.device)
        for block in row_blocks(tuple(labels.shape)):
            counts += (labels[:, block] == POSITIVE).sum(dim=1, keepdim=True)
        self.priors = counts / max(labels.shape[1], 1)  # float64 [H, 1, L]

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``priors``, float32 [H, B, L] (float64 if scores are stored so), the same in every row."""
        return {"priors": self.priors.to(self._compute).expand(-1, rows.numel(), -1)}

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> None:
        """Estimate the priors from the scores of this epoch."""
        super().end_epoch(epoch)
        for head, (scores, labels) in enumerate(zip(self.scores, self._labels, strict=True)):
            self.priors[head, 0] = estimate_class_priors(
                scores, labels, confidence=self._confidence, slack=self._slack
            ).to(self.priors.device)

    def tables(self) -> dict[str, Tensor]:
        """What is saved."""
        return {**super().tables(), "priors": self.priors}


def estimate_class_priors(scores: Tensor, labels: Tensor, *, confidence: float = 0.01, slack: float = 0.01) -> Tensor:
    """Share of images that have each class, float64 [L]; 0 for a class without a known positive.

    If the known positives of a class are a random draw from all that have it, a threshold t passes the share
    pi q_p(t) of all images at least because of them, so that q(t)/q_p(t) bounds pi from above; the tighter, the purer
    the images above t. The threshold minimises that ratio plus (1 + slack) times its statistical error (Liu et al.
    2023); among equal ones the lowest score.

    Args:
        scores: [n, L].
        labels: int8 [n, L].
        confidence: delta. slack: tau.
    """
    images, classes = scores.shape
    priors = torch.zeros(classes, dtype=torch.float64, device=scores.device)
    step = max(4 * BLOCK_CELLS // max(images, 1), 1)
    for start in range(0, classes, step) if images else ():
        part = slice(start, start + step)
        positive = (labels[:, part] == POSITIVE).to(scores.device)
        priors[part] = _ratio_at_best_threshold(scores[:, part], positive, math.log(4.0 / confidence) / 2.0, slack)
    return priors


def _ratio_at_best_threshold(scores: Tensor, positive: Tensor, bound: float, slack: float) -> Tensor:
    """q(t)/q_p(t) at the chosen threshold of each class, float64 [C]."""
    images = scores.shape[0]
    ascending, order = scores.sort(dim=0)
    named = positive.gather(0, order).double()
    passing = torch.arange(images, 0, -1, dtype=torch.float64, device=scores.device)[:, None] / images
    count = named.sum(dim=0)
    named_passing = (named.flip(0).cumsum(dim=0).flip(0)) / count.clamp(min=1.0)
    first = torch.ones_like(positive)  # of several equal scores the first row counts them all
    first[1:] = ascending[1:] != ascending[:-1]
    usable = first & (named_passing > 0)
    safe = torch.where(usable, named_passing, 1.0)
    error = math.sqrt(bound / images) + torch.sqrt(bound / count.clamp(min=1.0))
    objective = torch.where(usable, passing / safe + (1.0 + slack) * error / safe, torch.inf)
    best = objective.argmin(dim=0, keepdim=True)
    return torch.where(count > 0, (passing / safe).gather(0, best)[0], 0.0)
