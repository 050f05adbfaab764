"""Losses that want an image's positives above its other classes, without an L x L table of pairs.

A ranking says nothing about an image that has no positive, or nothing else; so known negatives also get -log(1-p), and
known positives without a partner -log p.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_known, is_positive, with_slope
from spml_annotate.losses.ranges import Real

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
    positive = is_positive(labels, logits)
    positives = positive.sum(dim=-1, keepdim=True)
    partners = positives + (logits.shape[-1] - 2.0 * positives) * positive
    side = 1.0 - 2.0 * positive
    wrong = (side * logits.detach()).sigmoid()
    ranking = with_slope(logits, partners * wrong, side * partners * wrong * (1.0 - wrong))
    return ranking + _alone(logits, labels, positive)


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
def tai_ranking(logits: Tensor, labels: Tensor, *, margin: Real = 1.0) -> Tensor:
    """Ranking by similarity: every known positive should lie a margin above every other class of its image.

    Sum over the pairs of a known positive l and a class l' that is none of max(0, margin - s_l + s_l'), by one sort of
    the image's similarities; spread evenly over the image's cells. [*H, B, L].

    Settings:
        margin: in the units of the similarities, the logits.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))  # differences of sums over the classes
    positive = is_positive(labels, precise)
    # A class is too close to a positive if it lies above the positive's place in this order: its score less the margin.
    places = precise - margin * positive
    order = places.detach().argsort(dim=-1, descending=True)
    ranked = positive.gather(-1, order)
    above = (1.0 - ranked).cumsum(dim=-1)  # others down to here
    positives_above = torch.arange(1, places.shape[-1] + 1, dtype=places.dtype, device=places.device) - above
    below = positive.sum(dim=-1, keepdim=True) - positives_above
    pushed = below - (below + above) * ranked  # by how many classes of the other kind a class is to be moved
    pushed = torch.zeros_like(pushed).scatter(-1, order, pushed)
    pairs = (pushed * places).mean(dim=-1, keepdim=True)
    return pairs.to(logits.dtype) + _alone(logits, labels, is_positive(labels, logits))


def _alone(logits: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
    """Cross-entropy of known negatives, and of the positives of an image that has nothing else."""
    only_positives = positive.amin(dim=-1, keepdim=True)
    return cross_entropy(logits, positive, is_known(labels, logits) - positive + positive * only_positives)
