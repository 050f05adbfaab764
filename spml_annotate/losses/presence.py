"""Losses for presence-only data: a record says that a class was seen here, and random backgrounds say where it was not.

Made for maps of species (SINR, Cole et al. 2023): a row is a place where one class was recorded, its ``background``
the logits at a random place. With photographs, other images drawn at random serve as backgrounds.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_known, is_positive, is_unknown
from spml_annotate.losses.ranges import Setting, Weight

_SINR = {
    "paper": "arXiv:2306.02564",
    "title": "Spatial Implicit Neural Representations for Global-Scale Species Mapping",
    "authors": "Cole, Van Horn, Lange, Shepard, Leary, Perona, Loarie, Mac Aodha",
    "venue": "ICML 2023",
    "year": 2023,
    "repository": "elijahcole/sinr",
    "family": "presence",
    "start": "undecided",
}
_EXACT = (
    "exact logarithms unless epsilon is the 1e-5 that the code adds inside them; known negatives, which the code "
    "cannot say, get -log(1-p)"
)
_RECORDS = "; a row with several positives counts as several records"


@LOSSES.register(
    "sinr-full",
    **_SINR,
    certainty="A",
    code_defaults={"positive_weight": 2048.0},
    differs=_EXACT,
)
def sinr_full(
    logits: Tensor,
    labels: Tensor,
    background: Tensor,
    *,
    positive_weight: Weight = 2048.0,
    maximise_entropy: bool = False,
    epsilon: Weight = 0.0,
) -> Tensor:
    """Full assume negative (AN-full): all other classes are absent here, and all classes at the background.

    Two means over the cells are added: that of the row and that of its background. [*H, B, L].

    Inputs:
        background: logits at random places, [*H, B, L].

    Settings:
        positive_weight: lambda, the weight of a recorded class against L-1 assumed absences.
        maximise_entropy: ME-full; assumed absences are pushed to be undecided, not to 0.
        epsilon: added to the probability inside every logarithm.
    """
    weight = 1.0 + (positive_weight - 1.0) * is_positive(labels, logits)
    here = _row(logits, labels, weight, epsilon, maximise_entropy)
    return here + _absent(background, epsilon, maximise_entropy)


@LOSSES.register("sinr-ssdl", **_SINR, certainty="A", differs=_EXACT + _RECORDS)
def sinr_ssdl(
    logits: Tensor, labels: Tensor, background: Tensor, *, maximise_entropy: bool = False, epsilon: Weight = 0.0
) -> Tensor:
    """Same species, different location (AN-SSDL): a recorded class is present here and absent at the background.

    Other unknown cells weigh nothing. The mean is over the records. [*H, B, L].

    Inputs:
        background: logits at random places, [*H, B, L].

    Settings:
        maximise_entropy: ME-SSDL; assumed absences are pushed to be undecided, not to 0.
        epsilon: added to the probability inside every logarithm.
    """
    positive, known = is_positive(labels, logits), is_known(labels, logits)
    scale = _per_record(positive)
    here = _row(logits, labels, known * scale, epsilon, maximise_entropy)
    return here + positive * scale * _absent(background, epsilon, maximise_entropy)


@LOSSES.register(
    "sinr-slds",
    **_SINR,
    certainty="B",
    differs=_EXACT + _RECORDS + "; the mean over all other classes of the row, where the code draws one of them",
)
def sinr_slds(logits: Tensor, labels: Tensor, *, maximise_entropy: bool = False, epsilon: Weight = 0.0) -> Tensor:
    """Same location, different species (AN-SLDS): a recorded class is present here, another one is absent.

    The authors draw the other class at random; here it is the mean over all unknown ones, which is what theirs is on
    average. The mean is over the records. [*H, B, L].

    Settings:
        maximise_entropy: ME-SLDS; assumed absences are pushed to be undecided, not to 0.
        epsilon: added to the probability inside every logarithm.
    """
    unknown, positive = is_unknown(labels, logits), is_positive(labels, logits)
    records = positive.sum(dim=-1, keepdim=True) / unknown.sum(dim=-1, keepdim=True).clamp(min=1.0)
    weight = 1.0 + (records - 1.0) * unknown
    return _row(logits, labels, weight * _per_record(positive), epsilon, maximise_entropy)


def _row(logits: Tensor, labels: Tensor, weight: Tensor, epsilon: Setting, maximise_entropy: bool) -> Tensor:
    """Weight times the loss of a cell with its value, an unknown one being assumed absent."""
    positive = is_positive(labels, logits)
    if not isinstance(epsilon, Tensor) and epsilon == 0.0 and not maximise_entropy:
        return cross_entropy(logits, positive, weight)
    known = _surprise((2.0 * positive - 1.0) * logits, epsilon)
    if not maximise_entropy:
        return weight * known
    return weight * torch.where(labels == UNKNOWN, _absent(logits, epsilon, maximise_entropy), known)


def _surprise(logits: Tensor, epsilon: Setting) -> Tensor:
    """-log(p + epsilon)."""
    if not isinstance(epsilon, Tensor) and epsilon == 0.0:
        return softplus(-logits)
    added = torch.as_tensor(epsilon, dtype=logits.dtype, device=logits.device).log()  # minus infinity for 0: no matter
    return -torch.logaddexp(logsigmoid(logits), added)


def _absent(logits: Tensor, epsilon: Setting, maximise_entropy: bool) -> Tensor:
    """Loss of assuming that a class is absent: -log(1-p), or minus the entropy of p."""
    if not maximise_entropy:
        return _surprise(-logits, epsilon)
    probability = logits.sigmoid()
    return -probability * _surprise(logits, epsilon) - (1.0 - probability) * _surprise(-logits, epsilon)


def _per_record(positive: Tensor) -> Tensor:
    """Factor [*H, 1, 1] that makes the mean over the cells their sum divided by the number of known positives."""
    return positive.shape[-2] * positive.shape[-1] / positive.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0)
