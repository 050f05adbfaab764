"""Losses that compare views of an image, or the distribution behind its score."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import Setting, cross_entropy, is_positive


@LOSSES.register(
    "lac",
    paper="NeurIPS 2022",
    title="Label-Aware Global Consistency for Multi-Label Learning with Single Positive Labels",
    authors="Xie, Xiao, Huang",
    venue="NeurIPS 2022",
    year=2022,
    repository="milkxie/SPML-LAC",
    family="views",
    certainty="A",
    published_defaults={"all": {"score_threshold": 0.6, "consistency_weight": 1.0}},
    differs="the first stage only (the second one adds a contrastive loss over features of every label); known "
    "negatives, for which the code has no place, are the strong view's target 0",
)
def lac(
    logits: Tensor,
    labels: Tensor,
    strong: Tensor,
    *,
    score_threshold: Setting = 0.6,
    consistency_weight: Setting = 1.0,
) -> Tensor:
    """Assume negative on the weak view, and the strong view learns what the weak one is sure of.

    Sure are known cells and those with p >= tau (target 1) or p < 1 - tau (target 0); the cross-entropy of the strong
    view is averaged over them. [*H, B, L].

    Inputs:
        strong: logits of the strongly augmented view, [*H, B, L].

    Settings:
        score_threshold: tau.
        consistency_weight: lambda_plc.
    """
    positive = is_positive(labels, logits)
    score = torch.where(labels == UNKNOWN, logits.detach().sigmoid(), positive)
    named = score >= score_threshold
    sure = named | (score < 1.0 - score_threshold) | (labels != UNKNOWN)
    target = torch.where(labels == UNKNOWN, named.to(logits.dtype), positive)
    weight = sure.to(logits.dtype)
    weight = weight * (weight.shape[-2] * weight.shape[-1] / weight.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0))
    return cross_entropy(logits, positive) + consistency_weight * weight * cross_entropy(strong, target)


@LOSSES.register(
    "mime",
    paper="ICML 2023",
    title="Revisiting Pseudo-Label for Single-Positive Multi-Label Learning",
    authors="Liu, Xu, Lv, Geng",
    venue="ICML 2023",
    year=2023,
    repository="1992209760/SPL_Image_DataSet",
    family="views",
    state="confident",
    certainty="A",
    published_defaults={
        "all": {"score_threshold": 0.8, "divergence_weight": 1e-4, "warm_up": 5},
        "voc": {"warm_up": 2},
        "coco": {"divergence_weight": 1e-5},
        "cub": {"warm_up": 15},
    },
    differs="as the development repository has it, not re-read against the paper; exact logarithms where the code adds "
    "1e-5 inside them; known negatives, which the code refuses, are never re-labelled; scores are those of the "
    "training step that saw the image; without `latent`, as on stored features, only the pseudo-labels are left",
)
def mime(
    logits: Tensor,
    labels: Tensor,
    expected: Tensor,
    latent: Tensor | None = None,
    *,
    divergence_weight: Setting = 1e-4,
) -> Tensor:
    """Assume negative with positives that the model was once sure of, and a variational bottleneck before each score.

    With a bottleneck the divergence of its normal distribution from the standard one is added, averaged over the
    coordinates of a cell. [*H, B, L].

    Inputs:
        expected: 1 for unknown cells that count as positives, [*H, B, L].
        latent: mean and standard deviation of every coordinate, [*H, B, L, 2, Z].

    Settings:
        divergence_weight: beta.
    """
    believed = (labels == UNKNOWN) & (expected != 0)
    loss = cross_entropy(logits, is_positive(labels, logits).masked_fill(believed, 1.0))
    if latent is None:
        return loss
    mean, deviation = latent.unbind(dim=-2)
    divergence = 0.5 * (torch.square(mean) + torch.square(deviation) - 1.0) - deviation.log()
    return loss + divergence_weight * divergence.mean(dim=-1)
