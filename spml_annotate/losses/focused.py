"""Cross-entropy weighted by powers of how wrong a cell is: what focal and asymmetric losses have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from spml_annotate.losses.cells import power, surprise, with_slope
from spml_annotate.losses.ranges import Setting, Share

Part = tuple[Tensor | None, Setting]  # a weight per cell [*H, B, L], None for 1 in all of them, and an exponent


def focused(
    logits: Tensor, positive: Tensor, parts: Sequence[Part], *, shift: Share = 0.0, detach_focus: bool = False
) -> Tensor:
    """The sum over the parts of weight w^exponent times -log(1-w), w being the probability of the wrong value.

    w is 1-p in cells that are ``positive`` (1 or 0 per cell), and in the others p shifted down, max(p - shift, 0).
    With ``detach_focus`` the powers are constants for the gradient. [*H, B, L].
    """
    side = 1.0 - 2.0 * positive
    cells = _wrongness(side * logits.detach(), positive, shift)
    weights = [_weighted(part, power(cells.wrong, exponent)) for part, exponent in parts]
    weight = sum(weights[1:], start=weights[0])
    slope = weight * cells.loss_slope
    if not detach_focus:  # a power w^e rises e times as fast as w, in shares of itself
        steep = [own * exponent for own, (_, exponent) in zip(weights, parts, strict=True)]
        slope = torch.addcmul(slope, sum(steep[1:], start=steep[0]), cells.wrong_rise * cells.loss)
    return with_slope(logits, weight * cells.loss, side * slope)


def _weighted(weight: Tensor | None, focus: Tensor) -> Tensor:
    return focus if weight is None else weight * focus


@dataclass(frozen=True)
class _Wrongness:
    """Of every cell: w, -log(1-w), and how both rise with the logit in favour of being wrong, w in shares of itself."""

    wrong: Tensor
    wrong_rise: Tensor
    loss: Tensor
    loss_slope: Tensor


def _wrongness(against: Tensor, positive: Tensor, shift: Setting) -> _Wrongness:
    """For logits in favour of the wrong value."""
    chance = against.sigmoid()
    if not isinstance(shift, Tensor) and shift == 0.0:
        return _Wrongness(chance, 1.0 - chance, surprise(against), chance)
    tiny = torch.finfo(chance.dtype).tiny
    allowed = (1.0 - positive) * shift
    wrong = (chance - allowed).relu()
    right = (1.0 - wrong).clamp(min=tiny)
    counted = chance * wrong.sign()  # 0 below the shift
    rise = counted * (1.0 - chance) / wrong.clamp(min=tiny)
    slope = counted * (1.0 - allowed / right).relu()  # at p = 1 rounding would leave a push the wrong way
    return _Wrongness(wrong, rise, _shifted(against, wrong, positive, shift), slope)


def _shifted(against: Tensor, wrong: Tensor, positive: Tensor, shift: Setting) -> Tensor:
    """-log(1-w); exact in positives, which may be certain to be wrong, and where a shift is 0."""
    if isinstance(shift, Tensor):  # 1 - w = min(1-p + shift, 1), added as logarithms
        lifted = torch.logaddexp(logsigmoid(-against), shift.to(against.dtype).log()).neg().relu()
        return torch.lerp(lifted, surprise(against), positive)
    return torch.lerp((-wrong * (1.0 - positive)).log1p().neg(), surprise(against), positive)
