"""Losses whose terms are weighted by what is known of the batch and of every image."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_known, is_positive
from spml_annotate.losses.ranges import Setting, Share
from spml_annotate.registry import Within

Lead = Annotated[Setting, Within(0.0, 100.0)]  # e^lead is the largest weight of a training of one epoch

_UNSURE = 0.1  # an image none of whose probabilities is above this counts twice


@LOSSES.register(
    "dynamic-partial",
    paper="arXiv:2308.00166",
    title="Towards Imbalanced Large Scale Multi-label Classification with Partially Annotated Labels",
    authors="Zhang, Song, Zuo, Wang",
    venue="arXiv",
    year=2023,
    family="dynamic",
    state="drawn",
    certainty="C",
    start="undecided",
    paper_defaults={"least_negative_weight": 0.05, "lead": 3.0, "share": "not given"},
    differs="no code was released; where the printed equations contradict the text, the text is the default and "
    "`printed` the setting; the undefined share of positive labels is read as the known positives of the batch over "
    "all its cells; the share q of unknown cells, to which the paper gives no value, is 1",
)
def dynamic_partial(
    logits: Tensor,
    labels: Tensor,
    estimate: Tensor,
    picked: Tensor,
    progress: tuple[int, int],
    *,
    least_negative_weight: Share = 0.05,
    lead: Lead = 3.0,
    printed: bool = False,
) -> Tensor:
    """Known cells, and picked unknown ones against their last prediction, each averaged per image and by sign.

    Terms of positives weigh alpha = 1 - beta, those of negatives beta, the share of known positives in the batch;
    those of unknown cells also d, which grows with the epochs. An image whose probabilities are all below 0.1 counts
    twice. [*H, B, L].

    Inputs:
        estimate: pseudo-labels, probabilities [*H, B, L]. picked: 1 for unknown cells that take part, [*H, B, L].
        progress: (epoch counted from 0, epochs).

    Settings:
        least_negative_weight: gamma, beta is never less.
        lead: m; d reaches 1 this many epochs before the end.
        printed: follow the printed equations: d without its "- 1", so above 1 from the start, and images count twice
            when a probability does pass 0.1.
    """
    known = is_known(labels, logits)
    part = picked.to(logits.dtype) * (1.0 - known)
    per_known = known / known.sum(dim=-1, keepdim=True).clamp(min=1.0)
    per_part = part / part.sum(dim=-1, keepdim=True).clamp(min=1.0)
    weight = per_known + pseudo_label_weight(progress, lead, printed=printed) * per_part
    target = is_positive(labels, logits) + (1.0 - known) * estimate.to(logits.dtype)
    beta = negative_weight(labels, logits, least_negative_weight)
    seen = logits.detach().amax(dim=-1, keepdim=True).sigmoid() > _UNSURE
    factor = 1.0 + (seen if printed else ~seen).to(logits.dtype)
    weight = logits.shape[-1] * factor * weight  # the mean over the classes is the image's sum
    towards, away = weight * (1.0 - beta) * target, weight * beta * (1.0 - target)
    # Two weights are one weight and a target; where both are 0, any target will do.
    both = towards + away
    return cross_entropy(logits, towards / both.clamp(min=torch.finfo(logits.dtype).tiny), both)


def negative_weight(labels: Tensor, logits: Tensor, least: Setting) -> Tensor:
    """beta, [*H, 1, 1]: the share of known positives among all cells of the batch, at least ``least``."""
    return is_positive(labels, logits).mean(dim=(-2, -1), keepdim=True).clamp(min=least)


def pseudo_label_weight(progress: tuple[int, int], lead: Setting, *, printed: bool) -> Setting:
    """d, the weight of pseudo-labels in this epoch."""
    exponent = (progress[0] + 1 + lead) / max(progress[1], 1) - (0.0 if printed else 1.0)
    return exponent.exp() if isinstance(exponent, Tensor) else math.exp(exponent)


@LOSSES.register(
    "crisp",
    paper="arXiv:2309.13886",
    title="Can Class-Priors Help Single-Positive Multi-Label Learning?",
    authors="Liu, Xu, Wang, Geng",
    venue="NeurIPS 2025 (arXiv 2023)",
    year=2023,
    family="dynamic",
    state="class-priors",
    certainty="C",
    pulls_known="the mean probability of a class in the batch is held at its prior, known cells included",
    paper_defaults={"confidence": 0.01, "slack": 0.01},
    differs="no code was found and the equations of the risk are missing from the text at hand: built from the bound "
    "of its Theorem 4.2, with the absolute loss; a later term with weight lambda is left out; the paper sums over the "
    "classes, so its risk is L times this mean; its means over all images are means over the batch, so that a class "
    "without a known positive in the batch gets the second term only; before the first estimate, after the first "
    "epoch, a class's prior is its share of known positives, and a new head starts at k/L for every class; the scores "
    "behind an estimate are those of the step that saw the image, kept as float16; a class without any known positive "
    "gets the prior 0; known negatives add their own mean times 1 - prior",
)
def crisp(logits: Tensor, labels: Tensor, priors: Tensor) -> Tensor:
    """Risk with class priors: 2 pi times the mean of 1-p over a class's positives, plus |mean of p - pi|.

    Each mean is taken over the batch, so that a class without a positive in it has the second term only. [*H, B, L].

    Inputs:
        priors: pi, share of images with the class, broadcast to [*H, B, L].
    """
    probability = logits.sigmoid()
    prior = priors.to(logits.dtype)
    positive = is_positive(labels, logits)
    missed = _batch_share(positive) * 2.0 * prior
    added = _batch_share(is_known(labels, logits) - positive) * (1.0 - prior)
    return missed + (added - missed) * probability + (probability.mean(dim=-2, keepdim=True) - prior).abs()


def _batch_share(cells: Tensor) -> Tensor:
    """Weight that makes the batch's mean the mean over these cells of a class: B / their number, 0 at the others."""
    return cells * (cells.shape[-2] / cells.sum(dim=-2, keepdim=True).clamp(min=1.0))
