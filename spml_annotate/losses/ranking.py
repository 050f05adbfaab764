"""Losses that want an image's positives above its other classes, without an L x L table of pairs.

A ranking says nothing about an image that has no positive, or nothing else; so known negatives also get -log(1-p), and
known positives without a partner -log p.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import Setting, cross_entropy, is_positive

_KNOWN = (
    "a known negative is ranked like an unknown cell and gets -log(1-p) as well; in an image whose classes are all "
    "known positives, where there is nothing to rank, they get -log p"
)


@LOSSES.register(
    "pairwise-ranking",
    paper="arXiv:2106.09708",
    title="Multi-Label Learning from Single Positive Labels",
    authors="Cole, Mac Aodha, Lorieul, Perona, Morris, Jojic",
    venue="CVPR 2021",
    year=2021,
    repository="elijahcole/single-positive-multi-label",
    family="ranking",
    certainty="A",
    start="undecided",  # a pull in proportion to p (1-p)
    differs="in the released code only, not in the paper; no pairs are formed: between probabilities the hinge "
    "max(0, 1 - p + p') is never cut off; " + _KNOWN,
)
def pairwise_ranking(logits: Tensor, labels: Tensor) -> Tensor:
    """Pairwise ranking: every known positive should be more probable, by 1, than every other class of its image.

    Sum over the pairs of a known positive l and a class l' that is none of max(0, 1 - p_l + p_l'). With m positives and
    n others that is n (1 - p) at a positive and m p at any other cell. [*H, B, L].
    """
    positive = (labels == POSITIVE).expand_as(logits)
    log_right = logsigmoid(torch.where(positive, logits, -logits))
    positives = positive.sum(dim=-1, keepdim=True)
    others = logits.shape[-1] - positives
    ranking = torch.where(positive, others, positives) * -torch.expm1(log_right)
    return ranking - log_right.masked_fill(~_without_ranking(labels), 0.0)


@LOSSES.register(
    "tai-ranking",
    paper="arXiv:2211.12739",
    title="Texts as Images in Prompt Tuning for Multi-Label Image Recognition",
    authors="Guo, Dong, Ji, Bai, Guo, Zuo",
    venue="CVPR 2023",
    year=2023,
    repository="guozix/TaI-DPT",
    family="ranking",
    certainty="A",
    start="undecided",  # the level of the logits is left open
    code_defaults={"margin": 1.0},
    differs="the loss alone, without the prompts and captions; published as the sum over the classes, mean over the "
    "images; " + _KNOWN,
)
def tai_ranking(logits: Tensor, labels: Tensor, *, margin: Setting = 1.0) -> Tensor:
    """Ranking by similarity: every known positive should lie a margin above every other class of its image.

    Sum over the pairs of a known positive l and a class l' that is none of max(0, margin - s_l + s_l'), by one sort of
    the image's similarities; spread evenly over the image's cells. [*H, B, L].

    Settings:
        margin: in the units of the similarities, the logits.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))  # differences of sums over the classes
    positive = is_positive(labels, precise)
    # A class is too close to a positive if it lies above the positive's place in this order: its score less the margin.
    places, order = (precise - margin * positive).sort(dim=-1, descending=True)
    ranked = positive.gather(-1, order)
    above = (1.0 - ranked).cumsum(dim=-1)  # others down to here
    positives_above = torch.arange(1, places.shape[-1] + 1, dtype=places.dtype, device=places.device) - above
    below = positive.sum(dim=-1, keepdim=True) - positives_above
    pairs = (torch.where(ranked != 0.0, -above, below) * places).mean(dim=-1, keepdim=True)
    alone = cross_entropy(logits, is_positive(labels, logits)).masked_fill(~_without_ranking(labels), 0.0)
    return pairs.to(logits.dtype) + alone


def _without_ranking(labels: Tensor) -> Tensor:
    """True at known negatives, and at the positives of an image that has nothing else."""
    return (labels == NEGATIVE) | (labels == POSITIVE).all(dim=-1, keepdim=True)
