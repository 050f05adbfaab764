"""Losses for partial annotations: what is known counts, and what is not is left out or counts differently."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.labels import UNKNOWN, LabelKind
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_known, is_positive, power
from spml_annotate.losses.focused import focused
from spml_annotate.losses.ranges import Count, Real, Setting, Share, Weight

_NEEDS_BOTH = (LabelKind.PAL, LabelKind.FAL)
_WEIGHTINGS = ("share", "count", "mean")
_MODES = ("negative", "ignore", "ignore-normalised", "selective")


@LOSSES.register(
    "partial-bce",
    paper="arXiv:1902.09720",
    title="Learning a Deep ConvNet for Multi-label Classification with Partial Labels",
    authors="Durand, Mehrasa, Mori",
    venue="CVPR 2019",
    year=2019,
    repository="HCPLab-SYSU/HCP-MLR-PL (weighting=mean), Alibaba-MIIL/PartialLabelingCSL (weighting=count)",
    family="partial",
    certainty="C",
    needs_negatives=True,
    label_kinds=_NEEDS_BOTH,
    code_defaults={"weighting": {"HCP-MLR-PL": "mean", "PartialLabelingCSL": "count"}},
    paper_defaults={"weighting": "share", "slope": -4.45, "exponent": 1.0, "offset": 5.45},
    differs="no code of the authors was seen; their weight, the default, has the printed form with constants that "
    "give g(1) = 1 and g(0.1) = 5 (recalled, not read again); the two other weightings are those of "
    "released code (reproduced), of which `count` cites this paper but is another function",
)
def partial_bce(
    logits: Tensor,
    labels: Tensor,
    *,
    weighting: str = "share",
    slope: Real = -4.45,
    exponent: Real = 1.0,
    offset: Real = 5.45,
) -> Tensor:
    """Partial cross-entropy: on known cells only, weighted by how many cells of the image are known.

    With known positives alone it is a loss that predicts everything. [*H, B, L].

    Settings:
        weighting: `share` weighs an image of which the share r is known by g(r) = slope r^exponent + offset; `count`
            by 1 + 1/(1+n) for n known cells (published as a sum); `mean` makes the mean over the known cells of the
            batch out of the mean over all cells.
        slope: alpha. exponent: gamma. offset: beta; of `share` only.

    Raises:
        SettingError: for another weighting.
    """
    known = is_known(labels, logits)
    count = known.sum(dim=-1, keepdim=True)
    classes = logits.shape[-1]
    if weighting == "share":
        share = count.clamp(min=1.0) / classes  # where nothing is known the weight does not matter, but must be finite
        weight = slope * power(share, exponent) + offset
    elif weighting == "count":
        weight = 1.0 + 1.0 / (1.0 + count)
    elif weighting == "mean":
        weight = logits.shape[-2] * classes / count.sum(dim=-2, keepdim=True).clamp(min=1.0)
    else:
        raise SettingError(f"partial-bce.weighting: {weighting!r} is not one of {', '.join(_WEIGHTINGS)}")
    return cross_entropy(logits, is_positive(labels, logits), weight * known)


@LOSSES.register(
    "csl",
    paper="arXiv:2110.10955",
    title="Multi-label Classification with Partial Annotations using Class-aware Selective Loss",
    authors="Ben-Baruch, Ridnik, Friedman, Ben-Cohen, Zamir, Noy, Zelnik-Manor",
    venue="CVPR 2022",
    year=2022,
    repository="Alibaba-MIIL/PartialLabelingCSL",
    family="partial",
    certainty="A",
    start="undecided",  # as `asl`
    code_defaults={
        "mode": {"code": "negative", "README": "selective"},
        "positive_focus": 0.0,
        "negative_focus": {"code; README, labels missing at random": 1.0, "README, classes missing": 3.0},
        "unknown_focus": {"code": 2.0, "README": 4.0},
        "shift": 0.0,
        "ignored_per_image": 5,
        "prior_threshold": {"code": 0.05, "README": 0.5},
    },
    differs="exact logarithms where the code clamps their argument at 1e-8; published as a sum over the cells; cells "
    "that tie at the last place of the selection are all ignored",
)
def csl(
    logits: Tensor,
    labels: Tensor,
    priors: Tensor | None = None,
    *,
    mode: str = "negative",
    positive_focus: Weight = 0.0,
    negative_focus: Weight = 1.0,
    unknown_focus: Weight = 2.0,
    shift: Share = 0.0,
    positive_weight: Weight = 1.0,
    negative_weight: Weight = 1.0,
    unknown_weight: Weight = 1.0,
    ignored_per_image: Count = 5,
    prior_threshold: Share = 0.05,
) -> Tensor:
    """Class-aware selective loss: asymmetric, unknown cells being negatives of their own weight, some of them ignored.

    The term of `asl` with constant weights, and a focus and weight each for known positives, known negatives and
    unknown cells. Published as the sum over the cells. [*H, B, L].

    Inputs:
        priors: pi, how frequent each class is, [L] or broadcastable to [*H, B, L]; of mode `selective` only.

    Settings:
        mode: `negative` counts all unknown cells, `ignore` none; `ignore-normalised` none and weighs an image with n
            known cells by 1 + 1/(1+n); `selective` leaves out the most probable unknown cells of the batch and all
            unknown cells of frequent classes.
        positive_focus: g+. negative_focus: g-. unknown_focus: g_u.
        shift: m of `asl`, for every cell that is no positive.
        positive_weight: a+. negative_weight: a-. unknown_weight: a_u.
        ignored_per_image: how many unknown cells `selective` leaves out, times the images of the batch.
        prior_threshold: the prior above which `selective` leaves a class out.

    Raises:
        SettingError: for another mode.
    """
    if mode not in _MODES:
        raise SettingError(f"csl.mode: {mode!r} is not one of {', '.join(_MODES)}")
    positive, known = is_positive(labels, logits), is_known(labels, logits)
    parts = [(positive_weight * positive, positive_focus), (negative_weight * (known - positive), negative_focus)]
    if mode in ("negative", "selective"):
        unknown = (1.0 - known) * unknown_weight
        if mode == "selective":
            likely = _likely(logits, labels == UNKNOWN, ignored_per_image, priors, prior_threshold)
            unknown = unknown.masked_fill(likely, 0.0)
        parts.append((unknown, unknown_focus))
    loss = focused(logits, positive, parts, shift=shift, detach_focus=True)
    if mode == "ignore-normalised":
        return loss * (1.0 + 1.0 / (1.0 + known.sum(dim=-1, keepdim=True)))
    return loss


def _likely(
    logits: Tensor, unknown: Tensor, ignored_per_image: int, priors: Tensor | None, prior_threshold: Setting
) -> Tensor:
    """The most probable unknown cells of the whole batch, and the classes that are frequent."""
    ranked = logits.detach().masked_fill(~unknown, -torch.inf)
    images, classes = logits.shape[-2:]
    count = min(ignored_per_image * images, images * classes)
    likely = torch.zeros_like(ranked, dtype=torch.bool)
    if count > 0:
        least = ranked.flatten(-2).topk(count, dim=-1, sorted=False).values.amin(dim=-1)
        likely = ranked >= least[..., None, None]
    return likely if priors is None else likely | (priors > prior_threshold)


@LOSSES.register(
    "dualcoop",
    paper="arXiv:2206.09541",
    title="DualCoOp: Fast Adaptation to Multi-Label Recognition with Limited Annotations",
    authors="Sun, Hu, Saenko",
    venue="NeurIPS 2022",
    year=2022,
    repository="sunxm2357/DualCoOp",
    family="partial",
    certainty="A",
    start="undecided",  # as `asl`
    needs_negatives=True,
    label_kinds=_NEEDS_BOTH,
    code_defaults={"positive_focus": 1.0, "negative_focus": 2.0, "shift": 0.05},
    differs="the loss alone, without the prompts; exact logarithms where the code clamps their argument at 1e-6; "
    "published as a sum over the cells, times 0.03; labels without a known negative are refused (nothing would be "
    "pushed down)",
)
def dualcoop(
    logits: Tensor,
    labels: Tensor,
    *,
    positive_focus: Weight = 1.0,
    negative_focus: Weight = 2.0,
    shift: Share = 0.05,
) -> Tensor:
    """Asymmetric loss on the known cells, for pairs of a positive and a negative prompt.

    The softmax over a pair of similarities is the sigmoid of their difference, and that is what ``logits`` are here.
    Published as the sum over the cells. [*H, B, L].

    Settings:
        positive_focus: g+. negative_focus: g-.
        shift: m, a probability up to which a negative costs nothing.
    """
    positive = is_positive(labels, logits)
    parts = ((positive, positive_focus), (is_known(labels, logits) - positive, negative_focus))
    return focused(logits, positive, parts, shift=shift, detach_focus=True)
