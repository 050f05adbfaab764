"""Losses that take an unknown cell for a positive once the model is sure of it."""

from __future__ import annotations

from torch import Tensor

from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_positive, is_unknown
from spml_annotate.losses.focused import focused
from spml_annotate.losses.ranges import Count, Real, Setting, Share, Weight


@LOSSES.register(
    "splc",
    paper="arXiv:2112.07368",
    title="Simple and Robust Loss Design for Multi-Label Learning with Missing Labels",
    authors="Zhang, Cheng, Huang, Wen, Feng, Li, Guo",
    venue="arXiv",
    year=2021,
    repository="xinyu1205/robust-loss-mlml",
    family="correct",
    certainty="A",
    start="low",  # as `focal`
    code_defaults={
        "threshold": {"all": 0.6, "COCO with 75 % of its labels": 0.65},
        "change_epoch": 1,
        "margin": 1.0,
        "focus": 2.0,
    },
    differs="published as a sum over the cells; known negatives are never corrected (the code cannot tell them from "
    "unknown cells and would)",
)
def splc(
    logits: Tensor,
    labels: Tensor,
    progress: tuple[int, int],
    *,
    threshold: Share = 0.6,
    change_epoch: Count = 1,
    margin: Real = 1.0,
    focus: Weight = 2.0,
) -> Tensor:
    """Self-paced loss correction: unknown cells are negatives, from the change epoch on positives where p is high.

    -(1-q)^gamma log q with q the probability of the cell's value; observed positives are asked for a margin, corrected
    ones are not. Nothing is remembered. Published as the sum over the cells. [*H, B, L].

    Inputs:
        progress: (epoch counted from 0, epochs).

    Settings:
        threshold: tau, the probability above which an unknown cell is taken for a positive.
        change_epoch: the first epoch, counted from 0, that corrects.
        margin: m, subtracted from the logits of observed positives.
        focus: gamma.
    """
    return _self_paced(logits, labels, progress, threshold, change_epoch, margin, focus)


@LOSSES.register(
    "scpnet",
    paper="arXiv:2303.13223",
    title="Exploring Structured Semantic Prior for Multi Label Recognition with Incomplete Labels",
    authors="Ding, Wang, Chen, Zhang, Liu, Bao, Yan, Han",
    venue="CVPR 2023",
    year=2023,
    repository="jameslahm/SCPNet",
    family="correct",
    state="selected",
    certainty="B",
    start="low",  # as `splc`
    pulls_known="in the strong view every cell of a picked image is drawn to the smoothed scores of the weak view",
    code_defaults={
        "consistency_weight": 0.125,
        "relation_weight": 1.0,
        "cutoff": 0.95,
        "picked_per_image": {"COCO": 2, "VOC": 5, "NUS": 6, "CUB": 31},
    },
    differs="the loss alone, without prompts and graph network (its self-supervised term is reproduced); the weak view "
    "is the one that learns from the labels, where the code has a third view; exact logarithms where the code clamps "
    "their argument at 1e-8; published as a sum over the cells; known negatives are never picked or corrected",
)
def scpnet(
    logits: Tensor,
    labels: Tensor,
    strong: Tensor,
    picked: Tensor,
    progress: tuple[int, int],
    relation: Tensor | None = None,
    *,
    consistency_weight: Weight = 0.125,
    relation_weight: Weight = 1.0,
    threshold: Share = 0.6,
    change_epoch: Count = 1,
    margin: Real = 1.0,
    focus: Weight = 2.0,
) -> Tensor:
    """The loss `splc` on a weak view, and on a strong view the weak view's confident cells and related scores.

    In images with a picked cell: cross-entropy of the strong view against (picked or known positive), and against the
    weak view's probabilities smoothed by the relation between classes. Published as the sum over the cells. [*H, B, L].

    Inputs:
        strong: logits of a strongly augmented view [*H, B, L]; ``logits`` are those of the weak view.
        picked: 1 at the weak view's confident cells, [*H, B, L].
        progress: (epoch counted from 0, epochs).
        relation: how much every class (row) takes from every other, rows that sum to 1, [L, L]; by default 0.8 from
            itself and 0.2 from all classes alike.

    Settings:
        consistency_weight: lambda_u.
        relation_weight: lambda_kl.
        threshold, change_epoch, margin, focus: of `splc`.
    """
    supervised = _self_paced(logits, labels, progress, threshold, change_epoch, margin, focus)
    weak = logits.detach().sigmoid()
    if relation is None:
        related = 0.8 * weak + 0.2 * weak.mean(dim=-1, keepdim=True)
    else:
        related = weak @ relation.to(weak.dtype).transpose(-1, -2)
    chosen = ((picked != 0) & (labels != NEGATIVE)) | (labels == POSITIVE)
    # Cross-entropy is linear in its target: against the two targets' weighted mean it is both terms at once.
    weight = 1.0 + relation_weight
    consistency = weight * cross_entropy(strong, (chosen.to(strong.dtype) + relation_weight * related) / weight)
    used = (picked != 0).any(dim=-1, keepdim=True)
    return supervised + consistency_weight * consistency.masked_fill(~used, 0.0)


def _self_paced(
    logits: Tensor,
    labels: Tensor,
    progress: tuple[int, int],
    threshold: Setting,
    change_epoch: int,
    margin: Setting,
    focus: Setting,
) -> Tensor:
    positive = observed = is_positive(labels, logits)
    if progress[0] >= change_epoch:
        sure = (logits.detach().sigmoid() - threshold).sign().clamp(min=0.0)
        positive = observed + is_unknown(labels, logits) * sure
    return focused(logits - margin * observed, positive, ((None, focus),))
