"""Losses that compare views of an image, or the distribution behind its score."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.labels import NEGATIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_positive, is_unknown
from spml_annotate.losses.ranges import Count, Share, Weight


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
    link="https://openreview.net/forum?id=o3HXEEBKnD",
    code_defaults={"score_threshold": {"first stage": 0.6, "second stage": 0.9}, "consistency_weight": 1.0},
    differs="the first stage only (the second one adds a contrastive loss over features of every label); known "
    "negatives, for which the code has no place, are the strong view's target 0",
)
def lac(
    logits: Tensor,
    labels: Tensor,
    strong: Tensor,
    *,
    score_threshold: Share = 0.6,
    consistency_weight: Weight = 1.0,
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
    link="https://proceedings.mlr.press/v202/liu23ar.html",
    code_defaults={
        "score_threshold": "0.8 (its command line says 0.95, which is overwritten)",
        "divergence_weight": {"VOC, NUS, CUB": 1e-4, "COCO": 1e-5},
        "warm_up": {"VOC": 2, "COCO, NUS": 5, "CUB": 15},
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
    divergence_weight: Weight = 1e-4,
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
    believed = is_unknown(labels, logits) * expected.to(logits.dtype)
    loss = cross_entropy(logits, is_positive(labels, logits) + believed)
    if latent is None:
        return loss
    mean, deviation = latent.unbind(dim=-2)
    divergence = 0.5 * (torch.square(mean) + torch.square(deviation) - 1.0) - deviation.log()
    return loss + divergence_weight * divergence.mean(dim=-1)


@LOSSES.register(
    "ignore",
    paper="ECCV 2024",
    link="https://www.ecva.net/papers/eccv_2024/papers_ECCV/papers/05081.pdf",
    title="IGNORE: Information Gap-based False Negative Loss Rejection for Single Positive Multi-Label Learning",
    authors="Song, Kim, Lee, Lee",
    venue="ECCV 2024",
    year=2024,
    repository="gyeong-ryeol-song/SPML-IGNORE",
    family="views",
    state="thresholds",
    certainty="A",
    pulls_known="the consistency term draws the two views together, in known cells too",
    code_defaults={
        "weak_weight": {"README, ResNet": 0.1, "README, Q2L": 0.5},
        "strong_weight": 1.0,
        "consistency_weight": 0.5,
        "warm_up": 3,
        "gap_momentum": 0.999,
        "average_momentum": 0.999,
    },
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, for which the code has no place, "
    "count like any other cell of the weak view and are never rejected in the strong one; how an image is masked is up "
    "to the caller (the code's map is scaled over the batch and cannot handle an image without exactly one positive)",
)
def ignore(
    logits: Tensor,
    labels: Tensor,
    strong: Tensor,
    masked: Tensor,
    thresholds: Tensor,
    progress: tuple[int, int],
    *,
    weak_weight: Weight = 0.5,
    strong_weight: Weight = 1.0,
    consistency_weight: Weight = 0.5,
    warm_up: Count = 3,
) -> Tensor:
    """Assume negative on the strong view, without unknown cells that lose much when all but the known class is masked.

    After the warm-up an unknown cell is rejected whose weak logit w is above its class average A and further than G
    from the logit of the masked image. Added are the positives' loss in the weak view, averaged over them, and the
    squared distance (s - w)^2 of the views' logits, through which the gradient flows into both. [*H, B, L].

    Inputs:
        strong: s, logits of the strongly augmented view, [*H, B, L].
        masked: logits of the weak view, masked to what shows the known positive, [*H, B, L].
        thresholds: G, the same in every cell, and A, the same in every row, [*H, B, L, 2].
        progress: (epoch counted from 0, epochs).

    Settings:
        weak_weight: of the known cells' loss in the weak view (spbc_weight).
        strong_weight: of the loss in the strong view (ignore_weight).
        consistency_weight: of the squared distance (reg_weight).
        warm_up: epochs before the first rejection.
    """
    positive = is_positive(labels, logits)
    cells = positive.shape[-2] * positive.shape[-1]
    known = positive * (cells / positive.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0)) + (labels == NEGATIVE)
    gap, average = thresholds.unbind(dim=-1)
    present = logits.detach()
    rejected = (labels == UNKNOWN) & ((present - masked.detach()).abs() > gap) & (present > average)
    kept = 1.0 - (rejected & (progress[0] >= warm_up)).to(logits.dtype)
    kept = kept * (cells / kept.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0))
    weak = weak_weight * known * cross_entropy(logits, positive)
    consistency = consistency_weight * torch.square(strong - logits)
    return weak + strong_weight * kept * cross_entropy(strong, positive) + consistency
