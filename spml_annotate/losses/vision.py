"""Losses that learn from what a vision-language model says about the unknown cells."""

from __future__ import annotations

from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import is_positive, is_unknown
from spml_annotate.losses.entropy import known_and_entropy
from spml_annotate.losses.ranges import Share, Weight


@LOSSES.register(
    "vlpl",
    paper="arXiv:2310.15985",
    title="Vision-Language Pseudo-Labels for Single-Positive Multi-Label Learning",
    authors="Xing, Xiong, Stylianou, Sastry, Gong, Jacobs",
    venue="CVPR Workshops 2024",
    year=2024,
    repository="mvrl/VLPL",
    family="vision",
    certainty="A",
    start="undecided",
    code_defaults={
        "entropy_weight": {"VOC": 0.2, "COCO, NUS": 0.1, "CUB": 0.01},
        "pseudo_weight": 0.7,
        "smoothing": 0.1,
    },
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, which the code refuses, get "
    "-log(1-p), and no pseudo-label touches a known cell; pseudo-negatives weigh nothing as in the released code, "
    "where their term is commented out",
)
def vlpl(
    logits: Tensor,
    labels: Tensor,
    teacher: Tensor,
    *,
    entropy_weight: Weight = 0.2,
    pseudo_weight: Weight = 0.7,
    smoothing: Share = 0.1,
) -> Tensor:
    """Entropy maximisation with pseudo-positives of a vision-language model, smoothed and of less weight.

    Known cells: cross-entropy. Unknown cells: w (-0.9 log p - 0.1 log(1-p)) at a pseudo-positive, nothing at a
    pseudo-negative, minus the weighted entropy where the model says nothing. [*H, B, L].

    Inputs:
        teacher: pseudo-labels, our codes, int8 [*H, B, L].

    Settings:
        entropy_weight: alpha.
        pseudo_weight: w (beta_pos), the weight of a pseudo-positive.
        smoothing: 1 - rho, the mass that a pseudo-positive leaves to the other value.
    """
    unknown = is_unknown(labels, logits)
    named, silent = unknown * is_positive(teacher, logits), unknown * is_unknown(teacher, logits)
    pseudo = pseudo_weight * named
    wanted = is_positive(labels, logits) + (1.0 - smoothing) * pseudo
    return known_and_entropy(logits, wanted, 1.0 - unknown + pseudo, entropy_weight * silent)
