"""Losses that know how many positives an image has on average."""

from __future__ import annotations

from torch import Tensor

from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, expected_count_penalty, is_known, is_positive
from spml_annotate.losses.ranges import Positive


@LOSSES.register(
    "epr",
    paper="arXiv:2106.09708",
    title="Multi-Label Learning from Single Positive Labels",
    authors="Cole, Mac Aodha, Lorieul, Perona, Morris, Jojic",
    venue="CVPR 2021",
    year=2021,
    repository="elijahcole/single-positive-multi-label",
    family="priors",
    certainty="A",
    pulls_known="a regulariser on the mean number of positives moves every cell of the batch, known ones included",
    code_defaults={"expected_positives": {"VOC": 1.5, "COCO": 2.9, "NUS": 1.9, "CUB": 31.4}},
    differs="exact logarithms where the code adds 1e-5 inside them; known negatives, which the code refuses, get "
    "-log(1-p); the positive term is divided by L as in the code, not as in the paper's equation, so that R_k weighs L "
    "times as much as there",
)
def epr(logits: Tensor, labels: Tensor, *, expected_positives: Positive = 1.5) -> Tensor:
    """Expected positive regularisation: cross-entropy on known cells, plus R_k on the batch's mean number of positives.

    R_k is one number per run, added to every cell. [*H, B, L].

    Settings:
        expected_positives: k, mean number of positives per image.
    """
    fit = cross_entropy(logits, is_positive(labels, logits), is_known(labels, logits))
    return fit + expected_count_penalty(logits.sigmoid(), expected_positives)
