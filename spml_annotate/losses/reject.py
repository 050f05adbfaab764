"""Losses that distrust unknown cells whose loss is large, probably missed positives: they reject or correct them.

Kim et al. 2022 count the epochs from 1, and from the second one on pick ceil(cells x epochs passed x Delta) cells of
the batch, known ones counted among the cells. Their released code compares the name of the scheme by identity, so its
LL-Cp behaves as LL-Ct and remembers nothing: to reproduce its numbers, train `ll-ct`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_positive, is_unknown
from spml_annotate.losses.ranges import Setting, Share

# A count is a ceiling of a product; without this a product that rounding lifts above a whole number would count one
# cell more (320 cells x 3 epochs x 0.05 = 48.000000000000007). Larger than float32's rounding, for tensor settings.
_ROUNDING = 1e-6


_LARGE_LOSS = {
    "paper": "arXiv:2206.03740",
    "title": "Large Loss Matters in Weakly Supervised Multi-Label Classification",
    "authors": "Kim, Kim, Akata, Lee",
    "venue": "CVPR 2022",
    "year": 2022,
    "repository": "snucml/LargeLossMatters, youngwk/BridgeGapExplanationPAMC (with BoostLU)",
    "family": "reject",
    "certainty": "A",
}
_COUNT = (
    "the number of cells follows the formula (the code accumulates rounding errors and can take one cell more); if it "
    "exceeds the number of unknown cells, known cells still keep their value (the code rejects or flips them)"
)


@LOSSES.register(
    "ll-r",
    **_LARGE_LOSS,
    code_defaults={"rejection_rate": {"README": "0.001 to 0.005", "with BoostLU": 0.005}},
    differs=_COUNT,
)
def ll_r(logits: Tensor, labels: Tensor, progress: tuple[int, int], *, rejection_rate: Share = 0.002) -> Tensor:
    """Large-loss rejection: assume negative, but the unknown cells with the largest losses weigh nothing.

    In epoch e (counted from 0) the k = ceil(B L e Delta) largest losses among the unknown cells of the batch are
    rejected, ties at the k-th included; known cells never. The mean stays over all cells. [*H, B, L].

    Inputs:
        progress: (epoch counted from 0, epochs).

    Settings:
        rejection_rate: Delta_rel, share of all cells by which rejection grows every epoch (0.002 is 0.2 percent).
    """
    distrusted = _distrusted(logits, labels, progress[0] * rejection_rate)
    return cross_entropy(logits, is_positive(labels, logits), 1.0 - distrusted)


@LOSSES.register(
    "ll-ct",
    **_LARGE_LOSS,
    code_defaults={"correction_rate": {"README": "0.001 to 0.005", "with BoostLU": 0.002}},
    differs=_COUNT,
)
def ll_ct(logits: Tensor, labels: Tensor, progress: tuple[int, int], *, correction_rate: Share = 0.002) -> Tensor:
    """Temporary large-loss correction: the unknown cells with the largest losses count as positives in this batch.

    Which cells is decided as in `ll-r`; nothing is remembered. [*H, B, L].

    Inputs:
        progress: (epoch counted from 0, epochs).

    Settings:
        correction_rate: Delta_rel, share of all cells by which correction grows every epoch (0.002 is 0.2 percent).
    """
    distrusted = _distrusted(logits, labels, progress[0] * correction_rate)
    return cross_entropy(logits, is_positive(labels, logits) + distrusted)


@LOSSES.register(
    "ll-cp",
    **_LARGE_LOSS,
    state="corrected",
    code_defaults={"correction_rate": {"README": "0.001 to 0.005", "with BoostLU": 0.001}},
    differs="as described, not as first released: the code compares the name of the scheme by identity, so it never "
    "remembers a correction and behaves as ll-ct; known cells are never corrected; every cell that is corrected is "
    "remembered (the first release leaves out the one at the threshold, the BoostLU one keeps it)",
)
def ll_cp(logits: Tensor, labels: Tensor, expected: Tensor) -> Tensor:
    """Permanent large-loss correction: an unknown cell once among the largest losses is a positive for good.

    The state corrects a batch before its loss is computed, from the second epoch on. [*H, B, L].

    Inputs:
        expected: 1 for cells that have been corrected, in this batch or earlier, [*H, B, L].
    """
    corrected = is_unknown(labels, logits) * expected.to(logits.dtype)
    return cross_entropy(logits, is_positive(labels, logits) + corrected)


def _distrusted(logits: Tensor, labels: Tensor, share: Setting) -> Tensor:
    """1 at the unknown cells whose losses are the ceil(B L share) largest, ties included, else 0; [*H, B, L]."""
    # The loss -log(1-p) grows with the logit; known cells rank last.
    ranked = logits.detach().masked_fill(labels != UNKNOWN, -torch.inf)
    amount = logits.shape[-2] * logits.shape[-1] * share * (1.0 - _ROUNDING)
    return is_unknown(labels, logits) * _among_largest(ranked, amount)


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
