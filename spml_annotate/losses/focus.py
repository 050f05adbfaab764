"""Losses that weigh a cell by how wrong its prediction is.

Two conventions of the gradient are in use: the weight is a constant (`detach_focus=True`; ASL's first class, the SPLC
repository) or is differentiated with the rest (ASL's optimised class, torchvision, Hill). The loss is the same number,
its gradient differs by a factor of two and more.
"""

from __future__ import annotations

from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import is_positive, is_unknown, with_slope
from spml_annotate.losses.focused import focused
from spml_annotate.losses.ranges import Real, Share, Weight

_NOT_SELECTIVE = "exact logarithms where the code clamps their argument at 1e-8; published as a sum over the cells; "


@LOSSES.register(
    "asl",
    paper="arXiv:2009.14119",
    title="Asymmetric Loss For Multi-Label Classification",
    authors="Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor",
    venue="ICCV 2021",
    year=2021,
    repository="Alibaba-MIIL/ASL",
    family="focus",
    certainty="A",
    start="undecided",  # it hardly pushes, below the shift not at all, where a class already counts as rare
    code_defaults={
        "positive_focus": {"the classes": 1.0, "train.py, SPLC's code": 0.0},
        "negative_focus": 4.0,
        "shift": 0.05,
        "detach_focus": {"AsymmetricLoss": True, "AsymmetricLossOptimized": False},
    },
    differs=_NOT_SELECTIVE + "a known negative is treated like an unknown cell",
)
def asl(
    logits: Tensor,
    labels: Tensor,
    *,
    positive_focus: Weight = 1.0,
    negative_focus: Weight = 4.0,
    shift: Share = 0.05,
    detach_focus: bool = True,
) -> Tensor:
    """Asymmetric loss: unknown cells are negatives that count the less the better they are predicted.

    -(1-p)^g+ log p at known positives, -p_m^g- log(1-p_m) elsewhere, p_m = max(p - m, 0). Published as the sum over
    the cells. [*H, B, L].

    Settings:
        positive_focus: g+. negative_focus: g-.
        shift: m, a probability up to which a negative costs nothing.
        detach_focus: treat the weights (1-p)^g+ and p_m^g- as constants.
    """
    positive = is_positive(labels, logits)
    parts = ((positive, positive_focus), (1.0 - positive, negative_focus))
    return focused(logits, positive, parts, shift=shift, detach_focus=detach_focus)


@LOSSES.register(
    "focal",
    paper="arXiv:1708.02002",
    title="Focal Loss for Dense Object Detection",
    authors="Lin, Goyal, Girshick, He, Dollar",
    venue="ICCV 2017",
    year=2017,
    repository="kiyoon/verb_ambiguity (torchvision's function), xinyu1205/robust-loss-mlml",
    family="focus",
    certainty="A",
    start="low",  # a cell that is right by two thirds weighs a tenth
    code_defaults={
        "focus": 2.0,
        "positive_weight": {"torchvision": 0.25, "SPLC's code": 1.0},
        "negative_weight": {"torchvision": 0.75, "SPLC's code": 1.0},
        "detach_focus": {"torchvision": False, "SPLC's code": True},
    },
    paper_defaults={"focus": 2.0, "positive_weight": 0.25, "negative_weight": 0.75},
    differs="exact logarithms where SPLC's code clamps their argument at 1e-8; two weights, not alpha and 1 - alpha; "
    "a known negative is treated like an unknown cell",
)
def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    focus: Weight = 2.0,
    positive_weight: Weight = 0.25,
    negative_weight: Weight = 0.75,
    detach_focus: bool = False,
) -> Tensor:
    """Focal loss: unknown cells are negatives, and cells that are predicted well count little.

    -w (1-q)^gamma log q, where q is the probability of the cell's value. [*H, B, L].

    Settings:
        focus: gamma.
        positive_weight: alpha. negative_weight: 1 - alpha.
        detach_focus: treat the weight (1-q)^gamma as a constant.
    """
    positive = is_positive(labels, logits)
    weight = negative_weight + (positive_weight - negative_weight) * positive
    return focused(logits, positive, ((weight, focus),), detach_focus=detach_focus)


@LOSSES.register(
    "hill",
    paper="arXiv:2112.07368",
    title="Simple and Robust Loss Design for Multi-Label Learning with Missing Labels",
    authors="Zhang, Cheng, Huang, Wen, Feng, Li, Guo",
    venue="arXiv",
    year=2021,
    repository="xinyu1205/robust-loss-mlml",
    family="focus",
    certainty="A",
    start="low",  # its pull on an unknown cell dies out with p as fast as p^2
    code_defaults={"ceiling": 1.5, "margin": 1.0, "focus": 2.0},
    differs="published as a sum over the cells; a known negative, which the paper does not have, gets the focal term "
    "-p^gamma log(1-p): the hill would leave it alone where it is most wrong",
)
def hill(logits: Tensor, labels: Tensor, *, ceiling: Weight = 1.5, margin: Real = 1.0, focus: Weight = 2.0) -> Tensor:
    """Hill: the push on an unknown cell rises with its probability and vanishes again towards 1.

    Known positives: -(1-p')^gamma log p' with p' = sigmoid(x - margin). Unknown cells: (lambda - p) p^2, whose gradient
    is 0 at p = 1 for lambda = 1.5. Published as the sum over the cells. [*H, B, L].

    Settings:
        ceiling: lambda.
        margin: how far beyond the decision a positive is wanted, in logits.
        focus: gamma of known cells.
    """
    positive, unknown = is_positive(labels, logits), is_unknown(labels, logits)
    known = focused(logits - margin * positive, positive, ((1.0 - unknown, focus),))
    probability = logits.detach().sigmoid()
    weighted = unknown * probability * probability
    slope = weighted * (2.0 * ceiling - 3.0 * probability) * (1.0 - probability)
    return known + with_slope(logits, (ceiling - probability) * weighted, slope)
