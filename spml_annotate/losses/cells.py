"""What the families share: cell terms in exact log-sigmoid form, finite at logits of 1e4, and one batch-level term."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, relu

from spml_annotate.labels import POSITIVE, UNKNOWN

Setting = float | Tensor  # one value, or a tensor [H, 1, 1] with one per run


def is_positive(labels: Tensor, logits: Tensor) -> Tensor:
    """1 where a positive is known, else 0, as numbers of the logits' dtype and shape [*H, B, L]."""
    return (labels == POSITIVE).to(logits.dtype).expand_as(logits)


def is_known(labels: Tensor, logits: Tensor) -> Tensor:
    """1 where a value is known, else 0, as numbers of the logits' dtype and shape [*H, B, L]."""
    return (labels != UNKNOWN).to(logits.dtype).expand_as(logits)


def without_unknown(matrix: Tensor, labels: Tensor) -> Tensor:
    """The matrix [*H, B, L] with 0 at unknown cells."""
    return matrix.masked_fill(labels == UNKNOWN, 0.0)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of every cell against a target in [0, 1]: -t log p - (1-t) log(1-p)."""
    return binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")


def expected_count_penalty(probabilities: Tensor, expected_positives: Setting) -> Tensor:
    """R_k(p) = ((mean over the batch of the sum over classes of p - k) / L)^2, [*H, 1, 1].

    One number per run; added to every cell it is spread evenly, so the mean over the cells contains it once.
    """
    count = probabilities.sum(dim=-1, keepdim=True).mean(dim=-2, keepdim=True)
    return torch.square((count - expected_positives) / probabilities.shape[-1])


def power(base: Tensor, exponent: Setting) -> Tensor:
    """Raise to a power a base of 0 or more; 0 to the 0 is 1, and the gradient is finite at 0 for every exponent."""
    if not isinstance(exponent, Tensor):
        if exponent == 0.0:
            return torch.ones_like(base)
        if exponent == 4.0:  # the usual one of asymmetric losses, and many times as fast as a general power
            return base.square().square()
        if exponent >= 1.0:
            return base.pow(exponent)
    return base.clamp(min=torch.finfo(base.dtype).tiny).pow(exponent)


def focal(logits: Tensor, positive: Tensor, focus: Setting) -> Tensor:
    """-(1-q)^focus log q, where q is p in cells that are ``positive`` (bool) and 1-p in the others.

    The gradient flows through the weight (1-q)^focus, too.
    """
    towards = torch.where(positive, logits, -logits)
    return -power(torch.sigmoid(-towards), focus) * logsigmoid(towards)


def asymmetric(logits: Tensor, positive: Tensor, shift: Setting) -> tuple[Tensor, Tensor]:
    """The two parts of an asymmetric loss, [*H, B, L]: the probability of the wrong value, and -log of the right one's.

    The probability of a cell that is not ``positive`` (bool) is shifted down by ``shift``: p_m = max(p - m, 0). So the
    first part is 1-p or p_m, the second -log p or -log(1 - p_m).
    """
    towards = torch.where(positive, logits, -logits)
    wrong, log_right = torch.sigmoid(-towards), logsigmoid(towards)
    if not isinstance(shift, Tensor) and shift == 0.0:
        return wrong, -log_right
    # 1 - p_m = min((1-p) + m, 1)
    if isinstance(shift, Tensor):  # where some m may be 0: added as logarithms
        lifted = torch.logaddexp(log_right, shift.to(logits.dtype).log()).clamp(max=0.0)
    else:
        lifted = (1.0 - wrong + shift).clamp(max=1.0).log()
    return torch.where(positive, wrong, relu(wrong - shift)), -torch.where(positive, log_right, lifted)
