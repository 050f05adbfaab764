"""Generalised robust losses: an unknown cell is partly a positive and partly a negative, the more the surer."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import (
    cross_entropy,
    expected_count_penalty,
    is_known,
    is_positive,
    is_unknown,
    surprise,
    with_slope,
)
from spml_annotate.losses.ranges import Count, Positive, Real, Setting, Share, Weight

Course = tuple[Setting, Setting]  # a value at the start and at the end of training

_NARROWEST = 1e-6  # a width of 0 would divide by it
_EXACT = "exact logarithms where the code adds 1e-7 inside them; known negatives, which the code has no term for, get "
_SCHEDULE = "the shares follow a fixed schedule over the epochs (the released option to learn them does not run)"


@LOSSES.register(
    "gr",
    paper="arXiv:2405.03501",
    title="Boosting Single Positive Multi-label Classification with Generalized Robust Loss",
    authors="Chen, Li, Dai, Li, Sun, Wang, Zhang, Zhang, Wang",
    venue="IJCAI 2024",
    year=2024,
    repository="yan4xi1/GRLoss",
    family="robust",
    certainty="A",
    start="low",  # an unknown cell is a positive to a share, which a head of rare classes would learn first
    code_defaults={
        "slope_start": 0.0,
        "slope_end": {"code, VOC": 2.0, "AEVLP, COCO, NUS, CUB": 10.0},
        "offset_start": -2.0,
        "offset_end": {"code, VOC": -2.0, "AEVLP, COCO, NUS, CUB": -8.0},
        "centre_start": 0.5,
        "centre_end": 0.8,
        "width_start": 2.0,
        "width_end": 0.5,
        "positive_exponent": 0.01,
        "negative_exponent": {"code": 1.0, "AEVLP, CUB": 1.5},
        "warm_up": 0,
    },
    differs=_EXACT + "-log(1-p); " + _SCHEDULE,
)
def gr(
    logits: Tensor,
    labels: Tensor,
    progress: tuple[int, int],
    *,
    slope_start: Real = 0.0,
    slope_end: Real = 2.0,
    offset_start: Real = -2.0,
    offset_end: Real = -2.0,
    centre_start: Real = 0.5,
    centre_end: Real = 0.8,
    width_start: Positive = 2.0,
    width_end: Positive = 0.5,
    positive_exponent: Positive = 0.01,
    negative_exponent: Positive = 1.0,
    warm_up: Count = 0,
) -> Tensor:
    """Generalised robust loss: unknown cells are positives to the share K(p), weighted by V(p); known ones as usual.

    V (K (1 - p^q2)/q2 + (1-K) (1 - (1-p)^q3)/q3) with K = sigmoid(w p + b) and V = exp(-(p-mu)^2 / (2 sigma^2)), both
    without gradient. w, b, mu and sigma move evenly from start to end over the epochs. [*H, B, L].

    Inputs:
        progress: (epoch counted from 0, epochs).

    Settings:
        slope_start, slope_end: w. offset_start, offset_end: b; with w = 0 and b = -2, 12 percent count as positives.
        centre_start, centre_end: mu, the probability that weighs most. width_start, width_end: sigma.
        positive_exponent: q2, from 0 (logarithm) to 1 (absolute loss). negative_exponent: q3.
        warm_up: n, epochs before the schedule begins.
    """
    share, weight = _shares(
        logits,
        progress,
        warm_up,
        (slope_start, slope_end),
        (offset_start, offset_end),
        (centre_start, centre_end),
        (width_start, width_end),
    )
    unsure = weight * is_unknown(labels, logits)
    known = cross_entropy(logits, is_positive(labels, logits), is_known(labels, logits))
    return known + _between(logits, share, unsure, positive_exponent, negative_exponent)


@LOSSES.register(
    "gpr",
    paper="arXiv:2508.20381",
    title="More Reliable Pseudo-labels, Better Performance: A Generalized Approach to Single Positive Multi-label "
    "Learning",
    authors="Tran, Vo, Nguyen, Dinh, Nguyen",
    venue="ICCV 2025",
    year=2025,
    repository="Fsoft-AIC/AEVLP",
    family="robust",
    certainty="A",
    start="low",  # as `gr`
    pulls_known="with count_weight above 0.5 the regulariser on the number of positives can outweigh a known value",
    code_defaults={
        "heaviest": {"VOC, COCO, NUS": 0.7, "CUB": 0.8},
        "lightest": {"VOC": 0.4, "COCO, NUS": 0.5, "CUB": 0.2},
        "count_weight": {"VOC": 0.05, "COCO, NUS": 0.001, "CUB": 0.01},
        "slope_end": {"VOC": 2.0, "COCO, NUS, CUB": 10.0},
        "offset_end": {"VOC": -2.0, "COCO, NUS, CUB": -8.0},
        "negative_exponent": {"VOC, COCO, NUS": 1.0, "CUB": 1.5},
    },
    differs=_EXACT + "-log(1-p), and no pseudo-label touches a known cell; " + _SCHEDULE,
)
def gpr(
    logits: Tensor,
    labels: Tensor,
    teacher: Tensor,
    progress: tuple[int, int],
    *,
    heaviest: Weight = 0.7,
    lightest: Weight = 0.4,
    smoothing: Share = 0.1,
    count_weight: Weight = 0.05,
    expected_positives: Positive = 1.5,
    slope_start: Real = 0.0,
    slope_end: Real = 2.0,
    offset_start: Real = -2.0,
    offset_end: Real = -2.0,
    centre_start: Real = 0.5,
    centre_end: Real = 0.8,
    width_start: Positive = 2.0,
    width_end: Positive = 0.5,
    positive_exponent: Positive = 0.01,
    negative_exponent: Positive = 1.0,
    warm_up: Count = 0,
) -> Tensor:
    """Generalised pseudo-label robust loss: `gr` where the teacher says nothing, plus R_k on the number of positives.

    With K and V of `gr`: w (-0.9 log p - 0.1 log(1-p)) at a pseudo-positive, w = 1-V within its bounds; -V log(1-p) at
    a pseudo-negative. R_k times its weight is added once per batch. [*H, B, L].

    Inputs:
        teacher: pseudo-labels, our codes, int8 [*H, B, L].
        progress: (epoch counted from 0, epochs).

    Settings:
        heaviest, lightest: lambda_1, lambda_2, bounds of the weight of a pseudo-positive.
        smoothing: 1 - rho, the mass that a pseudo-positive leaves to the other value.
        count_weight: reg, weight of R_k. expected_positives: k, mean number of positives per image.
        slope_start, slope_end, offset_start, offset_end, centre_start, centre_end, width_start, width_end,
        positive_exponent, negative_exponent, warm_up: as in `gr`.
    """
    share, weight = _shares(
        logits,
        progress,
        warm_up,
        (slope_start, slope_end),
        (offset_start, offset_end),
        (centre_start, centre_end),
        (width_start, width_end),
    )
    unknown = is_unknown(labels, logits)
    named, silent = unknown * is_positive(teacher, logits), unknown * is_unknown(teacher, logits)
    trusted = (1.0 - weight).clamp(min=lightest).clamp(max=heaviest)
    decided = 1.0 - unknown + named * trusted + (unknown - named - silent) * weight
    loss = cross_entropy(logits, is_positive(labels, logits) + (1.0 - smoothing) * named, decided)
    loss = loss + _between(logits, share, silent * weight, positive_exponent, negative_exponent)
    return loss + count_weight * expected_count_penalty(logits.sigmoid(), expected_positives)


def _shares(
    logits: Tensor,
    progress: tuple[int, int],
    warm_up: int,
    slope: Course,
    offset: Course,
    centre: Course,
    width: Course,
) -> tuple[Tensor, Tensor]:
    """K, how much of a positive an unknown cell is, and V, how much it weighs, in this epoch; [*H, B, L]."""
    length = max(progress[1] - warm_up, 1)
    done = max(progress[0] - warm_up, 0) / length
    next_done = max(progress[0] + 1 - warm_up, 0) / length  # mu and sigma are one epoch ahead
    probability = logits.detach().sigmoid()
    share = torch.sigmoid(_between_ends(slope, done) * probability + _between_ends(offset, done))
    sigma = _between_ends(width, next_done)
    sigma = sigma.clamp(min=_NARROWEST) if isinstance(sigma, Tensor) else max(sigma, _NARROWEST)
    distance = (probability - _between_ends(centre, next_done)) / sigma
    return share, torch.exp(-0.5 * distance * distance)


def _between_ends(course: Course, done: float) -> Setting:
    start, end = course
    return start + (end - start) * done


def _between(
    logits: Tensor, share: Tensor, weight: Tensor, positive_exponent: Setting, negative_exponent: Setting
) -> Tensor:
    """Weight times the loss of a cell that is a positive to this share and a negative otherwise."""
    present = logits.detach()
    probability = present.sigmoid()
    positive = _generalised(-present, 1.0 - probability, positive_exponent)
    negative = _generalised(present, probability, negative_exponent)
    # (1 - q^e)/e falls with log q as fast as q^e = 1 - e (1 - q^e)/e, and log p rises with the logit as fast as 1-p.
    positive_slope = (positive_exponent * positive - 1.0) * (1.0 - probability)
    negative_slope = (1.0 - negative_exponent * negative) * probability
    value = torch.addcmul(negative, share, positive - negative)
    slope = torch.addcmul(negative_slope, share, positive_slope - negative_slope)
    return with_slope(logits, weight * value, weight * slope)


def _generalised(against: Tensor, wrong: Tensor, exponent: Setting) -> Tensor:
    """(1 - q^e)/e, -log q for an exponent e of 0; q is sigmoid(-against), and ``wrong`` is 1-q."""
    if not isinstance(exponent, Tensor) and exponent == 1.0:
        return wrong
    lost = surprise(against)
    if isinstance(exponent, Tensor):
        divisor = exponent.masked_fill(exponent == 0, 1.0)
        return torch.where(exponent == 0, lost, -torch.expm1(-divisor * lost) / divisor)
    return -torch.expm1(-exponent * lost) / exponent if exponent else lost
