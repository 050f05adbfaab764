"""The loss that learns from labels which a second model infers from an image's neighbours (SMILE)."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_known, is_positive
from spml_annotate.losses.ranges import Share, Weight

_MARGIN = 1e-6  # as the authors' code: a Beta distribution with a parameter of 0 does not exist


@LOSSES.register(
    "smile",
    paper="arXiv:2206.00517",
    title="One Positive Label is Sufficient: Single-Positive Multi-Label Learning with Label Enhancement",
    authors="Xu, Qiao, Lv, Geng, Zhang",
    venue="NeurIPS 2022",
    year=2022,
    repository="palm-ml/smile",
    family="enhance",
    state="enhanced",
    certainty="B",
    start="low",  # its soft labels of unknown cells lie well above k/L
    pulls_known="a known positive's target is mu d + (1 - mu), which is below 1; a divergence draws d to one half",
    code_defaults={
        "unknown_target": {
            "command line": 0.5,
            "Image": 0.1,
            "scene": 0.075,
            "yeast": 0.05,
            "Corel5k, tmc2007, espgame": 0.025,
            "CAL500, rcv1, mirflickr, delicious": 0.01,
            "Corel16k, iaprtc12": 0.001,
        },
        "graph_weight": {
            "command line, yeast": 0.5,
            "Image": 0.9,
            "scene": 0.3,
            "Corel5k, tmc2007": 0.1,
            "all others": 0.01,
        },
        "unknown_weight": {
            "command line": 1.0,
            "Image": 0.7,
            "scene": 0.5,
            "tmc2007": 0.3,
            "yeast, Corel5k, CAL500, rcv1, mirflickr": 0.1,
        },
        "even": {"command line, Corel16k, delicious, iaprtc12, espgame": True, "all others": False},
        "reconstruction_weight": 0.001,
        "divergence_weight": 1.0,
        "neighbours": 3,
    },
    differs="as the code has it, where the paper takes samples of the inferred labels and an unbiased estimate of the "
    "risk; exact logarithms where the code adds 1e-5 inside them; the mean of the inferred distribution where the code "
    "samples once for the reconstruction terms; the network that reconstructs features has L hidden units where the "
    "code's has as many as there are features, and all biases start at 0; known negatives, which the code refuses, "
    "have target 0 and weight 1; the defaults are those that the authors give for yeast, since they train no data set "
    "with those of the command line",
)
def smile(
    logits: Tensor,
    labels: Tensor,
    estimate: Tensor,
    reconstruction: Tensor,
    *,
    unknown_target: Share = 0.05,
    graph_weight: Weight = 0.5,
    unknown_weight: Weight = 0.1,
    even: bool = False,
    reconstruction_weight: Weight = 0.001,
    divergence_weight: Weight = 1.0,
) -> Tensor:
    """Cross-entropy against soft labels, inferred from an image's neighbours by a model that this loss trains as well.

    The soft label of a cell is mu d + (1 - mu) d2, d being inferred and d2 the known value, p0 where there is none; no
    gradient flows through it. The inferring model learns by assuming negative on d, by the divergence of
    Beta(d, 1 - d), and by what it reconstructs. [*H, B, L].

    Inputs:
        estimate: d, probabilities [*H, B, L] with gradient.
        reconstruction: mean error of what is reconstructed from d, with gradient; the same in every cell, [*H, B, L].

    Settings:
        unknown_target: p0.
        graph_weight: mu, the share of the inferred labels in the target of an unknown or positive cell.
        unknown_weight: rate, weight of unknown cells unless they are ``even``.
        even: unknown cells weigh 1/(L-1), so that those of an image weigh as much as its single positive (bias).
        reconstruction_weight: gamma.
        divergence_weight: delta.
    """
    positive, known = is_positive(labels, logits), is_known(labels, logits)
    unknown = (labels == UNKNOWN).to(logits.dtype)
    inferred = graph_weight * estimate.detach() + (1.0 - graph_weight) * (positive + unknown_target * unknown)
    weight = known + unknown * (1.0 / max(logits.shape[-1] - 1, 1) if even else unknown_weight)
    classifier = weight * cross_entropy(logits, inferred * (positive + unknown))
    # Exactly 0 or 1 would be infinitely wrong; reconstructed labels, of mean d, are assumed negative once more.
    limits = torch.finfo(estimate.dtype)
    bounded = estimate.clamp(8.0 * limits.tiny, 1.0 - limits.eps)
    negative = -(positive * bounded.log() + (1.0 - positive) * (-bounded).log1p())
    model = negative + divergence_weight * _divergence(estimate) + reconstruction_weight * (negative + reconstruction)
    return classifier + model


def _divergence(estimate: Tensor) -> Tensor:
    """Divergence of Beta(d, 1 - d) from the even distribution, without the terms that the code drops as constant."""
    wide = estimate.to(torch.promote_types(estimate.dtype, torch.float32))
    one, other = wide + _MARGIN, 1.0 - wide + _MARGIN
    value = one.lgamma() + other.lgamma() + (one - 1.0) * one.digamma() + (other - 1.0) * other.digamma()
    return value.to(estimate.dtype)
