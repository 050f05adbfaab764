"""Losses that keep the model undecided where nothing is known."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import is_known, is_positive, is_unknown, surprise, with_slope
from spml_annotate.losses.ranges import Weight

_UNKNOWN = {
    "paper": "arXiv:2203.16219",
    "title": "Acknowledging the Unknown for Multi-label Learning with Single Positive Labels",
    "authors": "Zhou, Chen, Wang, Chen, Heng",
    "venue": "ECCV 2022",
    "year": 2022,
    "repository": "Correr-Zhou/SPML-AckTheUnknown",
    "family": "entropy",
    "certainty": "A",
    "start": "undecided",  # where unknown cells are wanted to stay
}


@LOSSES.register(
    "em",
    **_UNKNOWN,
    code_defaults={"entropy_weight": {"VOC": 0.2, "COCO, NUS": 0.1, "CUB": 0.01}},
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, which the code refuses, get "
    "-log(1-p); the asymmetric pseudo-labels of the same paper are em-apl",
)
def em(logits: Tensor, labels: Tensor, *, entropy_weight: Weight = 0.1) -> Tensor:
    """Entropy maximisation: cross-entropy on known cells, minus the weighted entropy of unknown ones (can be negative).

    Its probabilities lie high: where labels are decided by a threshold the authors advise 0.75. [*H, B, L].

    Settings:
        entropy_weight: alpha.
    """
    known, unknown = is_known(labels, logits), is_unknown(labels, logits)
    return known_and_entropy(logits, is_positive(labels, logits), known, entropy_weight * unknown)


@LOSSES.register(
    "em-apl",
    **_UNKNOWN,
    state="asymmetric",
    code_defaults={
        "entropy_weight": {"VOC": 0.2, "COCO, NUS": 0.1, "CUB": 0.01},
        "pseudo_weight": {"VOC": 0.02, "COCO": 0.9, "NUS": 0.2, "CUB": 0.4},
        "negative_share": 0.9,
        "warm_up": {"VOC, COCO": 5, "NUS": 4, "CUB": 3},
        "epochs": 10,
    },
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, which the code would read as soft "
    "labels of value 1, get -log(1-p) and no pseudo-label; scores are those of the training step that saw the image, "
    "not of a pass over all images after the epoch; a score of exactly 0 stays a pseudo-label",
)
def em_apl(
    logits: Tensor,
    labels: Tensor,
    estimate: Tensor,
    picked: Tensor,
    *,
    entropy_weight: Weight = 0.1,
    pseudo_weight: Weight = 0.4,
) -> Tensor:
    """Entropy maximisation with asymmetric pseudo-labels: picked unknown cells are held at their earlier, low score.

    Cross-entropy on known cells, its weighted form against the estimate on picked ones, minus the weighted entropy on
    the others. [*H, B, L].

    Inputs:
        estimate: s, the score of a picked cell when it was picked, [*H, B, L].
        picked: 1 for unknown cells that have a pseudo-label, [*H, B, L].

    Settings:
        entropy_weight: alpha.
        pseudo_weight: beta, weight of a pseudo-label.
    """
    unknown = is_unknown(labels, logits)
    soft = unknown * picked.to(logits.dtype)
    pseudo = pseudo_weight * soft
    wanted = is_positive(labels, logits) + pseudo * estimate.to(logits.dtype)
    return known_and_entropy(logits, wanted, 1.0 - unknown + pseudo, entropy_weight * (unknown - soft))


def known_and_entropy(logits: Tensor, wanted: Tensor, weight: Tensor, entropy_weight: Tensor) -> Tensor:
    """Weighted cross-entropy, minus the weighted entropy of p; both weights per cell, [*H, B, L].

    ``wanted`` is the weight times the target.
    """
    present = logits.detach()
    probability = present.sigmoid()
    # The entropy of p is the cross-entropy of p against itself, so one logarithm serves both: w S - (w t) x, minus
    # e S - (e p) x, with S = -log(1-p).
    believed = entropy_weight * probability
    value = torch.addcmul((weight - entropy_weight) * surprise(present), believed - wanted, present)
    slope = torch.addcmul(weight * probability - wanted, believed * present, 1.0 - probability)
    return with_slope(logits, value, slope)
