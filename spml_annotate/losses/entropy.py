"""Losses that keep the model undecided where nothing is known."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import Setting, cross_entropy, is_positive


@LOSSES.register(
    "em",
    paper="arXiv:2203.16219",
    title="Acknowledging the Unknown for Multi-label Learning with Single Positive Labels",
    authors="Zhou, Chen, Wang, Chen, Heng",
    venue="ECCV 2022",
    year=2022,
    repository="Correr-Zhou/SPML-AckTheUnknown",
    family="entropy",
    certainty="A",
    start="undecided",  # where unknown cells are wanted to stay
    published_defaults={
        "voc": {"entropy_weight": 0.2},
        "coco": {"entropy_weight": 0.1},
        "nus": {"entropy_weight": 0.1},
        "cub": {"entropy_weight": 0.01},
    },
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, which the code refuses, get "
    "-log(1-p); the asymmetric pseudo-labels of the same paper are not part of it",
)
def em(logits: Tensor, labels: Tensor, *, entropy_weight: Setting = 0.1) -> Tensor:
    """Entropy maximisation: cross-entropy on known cells, minus the weighted entropy of unknown ones (can be negative).

    Its probabilities lie high: where labels are decided by a threshold the authors advise 0.75. [*H, B, L].

    Settings:
        entropy_weight: alpha.
    """
    unknown = labels == UNKNOWN
    # The entropy of p is the cross-entropy of p against itself, so one call serves known and unknown cells.
    loss = cross_entropy(logits, torch.where(unknown, logits.sigmoid(), is_positive(labels, logits)))
    return torch.where(unknown, -entropy_weight * loss, loss)
