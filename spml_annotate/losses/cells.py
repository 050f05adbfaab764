"""What the families share: cell terms in exact log-sigmoid form, finite at logits of 1e4, and one batch-level term."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

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
