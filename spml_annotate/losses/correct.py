"""Losses that take an unknown cell for a positive once the model is sure of it."""

from __future__ import annotations

from torch import Tensor

from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import Setting, focal, is_positive


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
    published_defaults={
        "all": {"threshold": 0.6, "change_epoch": 1, "margin": 1.0, "focus": 2.0},
        "coco with 75 % of the labels": {"threshold": 0.65},
    },
    differs="published as a sum over the cells; known negatives are never corrected (the code cannot tell them from "
    "unknown cells and would)",
)
def splc(
    logits: Tensor,
    labels: Tensor,
    progress: tuple[int, int],
    *,
    threshold: Setting = 0.6,
    change_epoch: int = 1,
    margin: Setting = 1.0,
    focus: Setting = 2.0,
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
    return _corrected(logits, labels, progress, threshold, change_epoch, margin, focus)


def _corrected(
    logits: Tensor,
    labels: Tensor,
    progress: tuple[int, int],
    threshold: Setting,
    change_epoch: int,
    margin: Setting,
    focus: Setting,
) -> Tensor:
    positive = (labels == POSITIVE).expand_as(logits)
    if progress[0] >= change_epoch:
        positive = positive | ((labels == UNKNOWN) & (logits.sigmoid() > threshold))
    return focal(logits - margin * is_positive(labels, logits), positive, focus)
