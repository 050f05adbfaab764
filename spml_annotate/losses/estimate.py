"""Losses that learn from an estimate of every image's labels, kept between epochs by a state."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import (
    cross_entropy,
    expected_count_penalty,
    is_known,
    is_positive,
    is_unknown,
)
from spml_annotate.losses.ranges import Positive, Weight


@LOSSES.register(
    "role",
    paper="arXiv:2106.09708",
    title="Multi-Label Learning from Single Positive Labels",
    authors="Cole, Mac Aodha, Lorieul, Perona, Morris, Jojic",
    venue="CVPR 2021",
    year=2021,
    repository="elijahcole/single-positive-multi-label",
    family="estimate",
    state="learned",
    certainty="A",
    pulls_known="model and estimate pull each other on every cell; a regulariser moves the number of positives",
    code_defaults={
        "expected_positives": {"VOC": 1.5, "COCO": 2.9, "NUS": 1.9, "CUB": 31.4},
        "learning_rate_multiplier": 10.0,
    },
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, which the code refuses, get "
    "-log(1-p) and -log(1-q); all terms are divided by L as in the code (the paper's equation does not)",
)
def role(logits: Tensor, labels: Tensor, estimate: Tensor, *, expected_positives: Positive = 1.5) -> Tensor:
    """Regularised online label estimation: model p and estimate q each fit the known cells, R_k, and each other.

    Half the sum over (p against a fixed q) and (q against a fixed p) of: cross-entropy on known cells, cross-entropy
    against the other one, R_k. Gradients flow into both. [*H, B, L].

    Inputs:
        estimate: q, probabilities [*H, B, L] with gradient.

    Settings:
        expected_positives: k, mean number of positives per image.
    """
    probability = logits.sigmoid()
    # Exactly 0 or 1 would be infinitely wrong. The bounds touch only what a sigmoid rounds to them, where no gradient
    # is left; the factor keeps the reciprocal of the lower one representable.
    limits = torch.finfo(estimate.dtype)
    bounded = estimate.clamp(8.0 * limits.tiny, 1.0 - limits.eps)
    positive = is_positive(labels, logits)
    weight = 1.0 + is_known(labels, logits)  # 2 at known cells: their own value, and the other one's belief
    wanted, target = estimate.detach() + positive, probability.detach() + positive
    model = torch.addcmul((weight - wanted) * logits, weight, softplus(-logits))
    estimator = torch.addcmul(target * bounded.log(), weight - target, (-bounded).log1p())
    penalty = expected_count_penalty(probability, expected_positives)
    penalty = penalty + expected_count_penalty(estimate, expected_positives)
    return 0.5 * (model - estimator + penalty)


_EXPECTED = {
    "paper": "arXiv:2203.06127",
    "title": "Spatial Consistency Loss for Training Multi-Label Classifiers from Single-Label Annotations",
    "authors": "Verelst, Rubenstein, Eichner, Tuytelaars, Berman",
    "venue": "WACV 2023",
    "year": 2023,
    "family": "estimate",
    "state": "ema",
    "certainty": "C",
}
_EXPECTED_DEFAULTS = {
    "momentum": 0.8,
    "expected_positives": {"VOC": 1.5, "COCO": 2.9, "NUS": 1.9, "CUB": 31.5},
}
_CHOSEN = (
    "no code was released; left open by the paper and chosen here: all terms are means over the cells, the number of "
    "expected positives of a class is rounded half up, with several known positives per image K is divided by their "
    "mean number, and a known positive is never counted as a negative even when it is no longer expected"
)


@LOSSES.register("en", **_EXPECTED, paper_defaults=_EXPECTED_DEFAULTS, differs=_CHOSEN)
def en(logits: Tensor, labels: Tensor, expected: Tensor) -> Tensor:
    """Expected negative: assume negative, but unknown cells that are expected positives weigh nothing.

    With the consistency loss it is `en-cl`. [*H, B, L].

    Inputs:
        expected: 1 for expected positives, 0 for expected negatives, [*H, B, L].
    """
    ignored = is_unknown(labels, logits) * expected.to(logits.dtype)
    return cross_entropy(logits, is_positive(labels, logits), 1.0 - ignored)


@LOSSES.register(
    "en-cl",
    **_EXPECTED,
    pulls_known="with consistency_weight > 1 the pull towards the earlier scores can outweigh the known value",
    paper_defaults={"consistency_weight": "0.1 or 1, by validation", **_EXPECTED_DEFAULTS},
    differs=f"{_CHOSEN}; the consistency term is a mean as well, and it counts from the first epoch",
)
def en_cl(
    logits: Tensor, labels: Tensor, expected: Tensor, estimate: Tensor, *, consistency_weight: Weight = 0.1
) -> Tensor:
    """Expected negative with consistency: `en`, and on every cell the distance |p - s| to the earlier scores.

    [*H, B, L].

    Inputs:
        expected: 1 for expected positives, 0 for expected negatives, [*H, B, L].
        estimate: s, the moving average of earlier predictions, probabilities [*H, B, L].

    Settings:
        consistency_weight: gamma of the mean form (the paper's sum form over L classes is gamma times L).
    """
    return en(logits, labels, expected) + consistency_weight * (logits.sigmoid() - estimate).abs()


@LOSSES.register("ep", **_EXPECTED, paper_defaults=_EXPECTED_DEFAULTS, differs=_CHOSEN)
def ep(logits: Tensor, labels: Tensor, expected: Tensor) -> Tensor:
    """Expected positive: unknown cells that are expected positives are positives, all others negatives.

    In the paper much worse than `en`: a wrong choice confirms itself. [*H, B, L].

    Inputs:
        expected: 1 for expected positives, 0 for expected negatives, [*H, B, L].
    """
    believed = is_unknown(labels, logits) * expected.to(logits.dtype)
    return cross_entropy(logits, is_positive(labels, logits) + believed)
