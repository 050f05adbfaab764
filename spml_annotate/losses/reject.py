"""Losses that refuse to learn from unknown cells whose loss is large: probably missed positives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import Setting, cross_entropy, is_positive

# A count is a ceiling of a product; without this a product that rounding lifts above a whole number would count one
# cell more (320 cells x 3 epochs x 0.05 = 48.000000000000007). Larger than float32's rounding, for tensor settings.
_ROUNDING = 1e-6


@LOSSES.register(
    "ll-r",
    paper="arXiv:2206.03740",
    title="Large Loss Matters in Weakly Supervised Multi-Label Classification",
    authors="Kim, Kim, Akata, Lee",
    venue="CVPR 2022",
    year=2022,
    repository="snucml/LargeLossMatters",
    family="reject",
    certainty="A",
    published_defaults={"all": {"rejection_rate": 0.002}, "BoostLU": {"rejection_rate": 0.005}},
    differs="the number of rejected cells follows the formula (the code accumulates rounding errors and can reject one "
    "cell more); if it exceeds the number of unknown cells, known cells are still kept (the code rejects them)",
)
def ll_r(logits: Tensor, labels: Tensor, progress: tuple[int, int], *, rejection_rate: Setting = 0.002) -> Tensor:
    """Large-loss rejection: assume negative, but the unknown cells with the largest losses weigh nothing.

    In epoch e (counted from 0) the k = ceil(B L e Delta) largest losses among the unknown cells of the batch are
    rejected, ties at the k-th included; known cells never. The mean stays over all cells. [*H, B, L].

    Inputs:
        progress: (epoch counted from 0, epochs).

    Settings:
        rejection_rate: Delta_rel, share of all cells by which rejection grows every epoch (0.002 is 0.2 percent).
    """
    loss = cross_entropy(logits, is_positive(labels, logits))
    unknown = (labels == UNKNOWN).expand_as(loss)
    ranked = torch.where(unknown, loss.detach(), -1.0)  # losses are never negative: known cells rank last
    amount = loss.shape[-2] * loss.shape[-1] * progress[0] * rejection_rate * (1.0 - _ROUNDING)
    return loss.masked_fill(unknown & _among_largest(ranked, amount), 0.0)


def _among_largest(values: Tensor, amount: Setting) -> Tensor:
    """True at the ceil(amount) largest values of every matrix [*H, B, L], ties included; none for an amount of 0."""
    flat = values.flatten(-2)
    if isinstance(amount, Tensor):  # one amount per run, and no reading back from the device: sort them all
        rank = torch.ceil(amount).long().clamp(0, flat.shape[-1]).expand(*values.shape[:-2], 1, 1)
        descending = flat.sort(dim=-1, descending=True).values
        least = descending.gather(-1, (rank.squeeze(-1) - 1).clamp(min=0)).unsqueeze(-1)
        return (values >= least) & (rank > 0)
    count = min(math.ceil(amount), flat.shape[-1])
    if count <= 0:
        return torch.zeros_like(values, dtype=torch.bool)
    least = flat.topk(count, dim=-1, sorted=False).values.amin(dim=-1)
    return values >= least[..., None, None]
