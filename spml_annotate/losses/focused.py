"""Cross-entropy weighted by powers of how wrong a cell is: what focal and asymmetric losses have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from spml_annotate.losses.cells import Setting, power, with_slope

Part = tuple[Tensor, Setting]  # a weight per cell [*H, B, L], and the exponent of the cells that it is not 0 at


def focused(
    logits: Tensor, positive: Tensor, parts: Sequence[Part], *, shift: Setting = 0.0, detach_focus: bool = False
) -> Tensor:
    """The sum over the parts of weight w^exponent times -log(1-w), w being the probability of the wrong value.

    w is 1-p in cells that are ``positive`` (1 or 0 per cell), and in the others p shifted down, max(p - shift, 0).
    With ``detach_focus`` the powers are constants for the gradient. [*H, B, L].
    """
    cells = _wrongness(logits.detach(), positive, shift)
    weights = [weight * power(cells.wrong, exponent) for weight, exponent in parts]
    weight = sum(weights[1:], start=weights[0])
    slope = weight * cells.loss_slope
    if not detach_focus:
        for part, exponent in parts:
            if isinstance(exponent, Tensor) or exponent != 0.0:
                rise = exponent * power(cells.wrong, exponent - 1.0) * cells.wrong_slope
                slope = slope + part * rise * cells.loss
    return with_slope(logits, weight * cells.loss, (1.0 - 2.0 * positive) * slope)


@dataclass(frozen=True)
class _Wrongness:
    """Of every cell: w, -log(1-w), and the derivatives of both with respect to the logit in favour of being wrong."""

    wrong: Tensor
    wrong_slope: Tensor
    loss: Tensor
    loss_slope: Tensor


def _wrongness(logits: Tensor, positive: Tensor, shift: Setting) -> _Wrongness:
    against = (1.0 - 2.0 * positive) * logits
    wrong = against.sigmoid()
    if not isinstance(shift, Tensor) and shift == 0.0:
        return _Wrongness(wrong, wrong * (1.0 - wrong), -logsigmoid(-against), wrong)
    other = 1.0 - positive
    moved = relu(wrong - shift * other)
    counts = moved.sign()  # 0 below the shift
    right = (1.0 - moved).clamp(min=torch.finfo(wrong.dtype).tiny)
    slope = counts * wrong * (1.0 - shift * other / right)
    loss = other * _shifted(logits, moved * other, shift) - positive * logsigmoid(logits)
    return _Wrongness(moved, counts * wrong * (1.0 - wrong), loss, slope)


def _shifted(logits: Tensor, wrong: Tensor, shift: Setting) -> Tensor:
    """-log(1-w) of shifted cells, exact where a shift is 0."""
    if isinstance(shift, Tensor):  # 1 - w = min(1-p + shift, 1), added as logarithms
        return relu(-torch.logaddexp(logsigmoid(-logits), shift.to(logits.dtype).log()))
    return -(-wrong).log1p()
