"""Losses for presence-only data: a record says that a class was seen here, and random backgrounds say where it was not.

Made for maps of species (SINR, Cole et al. 2023): a row is a place where one class was recorded, its ``background``
the logits at a random place. With photographs, other images drawn at random serve as backgrounds.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import Setting, is_positive

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
    positive_weight: Setting = 2048.0,
    maximise_entropy: bool = False,
    epsilon: Setting = 0.0,
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
    positive = labels == POSITIVE
    here = _surprise(torch.where(positive, logits, -logits), epsilon)
    if maximise_entropy:
        here = torch.where(labels == UNKNOWN, _absent(logits, epsilon, maximise_entropy), here)
    weighted = torch.where(positive, positive_weight * here, here)
    return weighted + _absent(background, epsilon, maximise_entropy)


@LOSSES.register("sinr-ssdl", **_SINR, certainty="A", differs=_EXACT + _RECORDS)
def sinr_ssdl(
    logits: Tensor, labels: Tensor, background: Tensor, *, maximise_entropy: bool = False, epsilon: Setting = 0.0
) -> Tensor:
    """Same species, different location (AN-SSDL): a recorded class is present here and absent at the background.

    Other unknown cells weigh nothing. The mean is over the records. [*H, B, L].

    Inputs:
        background: logits at random places, [*H, B, L].

    Settings:
        maximise_entropy: ME-SSDL; assumed absences are pushed to be undecided, not to 0.
        epsilon: added to the probability inside every logarithm.
    """
    record = _surprise(logits, epsilon) + _absent(background, epsilon, maximise_entropy)
    return _per_record(_known(record, _surprise(-logits, epsilon), labels), labels)


@LOSSES.register(
    "sinr-slds",
    **_SINR,
    certainty="B",
    differs=_EXACT + _RECORDS + "; the mean over all other classes of the row, where the code draws one of them",
)
def sinr_slds(logits: Tensor, labels: Tensor, *, maximise_entropy: bool = False, epsilon: Setting = 0.0) -> Tensor:
    """Same location, different species (AN-SLDS): a recorded class is present here, another one is absent.

    The authors draw the other class at random; here it is the mean over all unknown ones, which is what theirs is on
    average. The mean is over the records. [*H, B, L].

    Settings:
        maximise_entropy: ME-SLDS; assumed absences are pushed to be undecided, not to 0.
        epsilon: added to the probability inside every logarithm.
    """
    unknown = (labels == UNKNOWN).to(logits.dtype).expand_as(logits)
    others = unknown.sum(dim=-1, keepdim=True).clamp(min=1.0)
    records = is_positive(labels, logits).sum(dim=-1, keepdim=True)
    known = _known(_surprise(logits, epsilon), _surprise(-logits, epsilon), labels)
    return _per_record(known + unknown * _absent(logits, epsilon, maximise_entropy) * records / others, labels)


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


def _known(positive: Tensor, negative: Tensor, labels: Tensor) -> Tensor:
    """The one at known positives, the other at known negatives, nothing at unknown cells."""
    kept = positive.masked_fill(labels != POSITIVE, 0.0)
    return kept + negative.masked_fill(labels != NEGATIVE, 0.0)


def _per_record(matrix: Tensor, labels: Tensor) -> Tensor:
    """Scaled so that the mean over the cells is the sum divided by the number of known positives."""
    records = (labels == POSITIVE).expand_as(matrix).sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    return matrix * (matrix.shape[-2] * matrix.shape[-1] / records.to(matrix.dtype))
