"""Expected positives per image (k) and class priors from a checked sample or from scores, with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes

if TYPE_CHECKING:
    from torch import Tensor

Shares = NDArray[np.float64]

Z = 1.959964
"""Normal quantile of 95 % intervals."""
_T = (12.7062, 4.3027, 3.1824)
"""Student's quantiles for 1, 2 and 3 degrees of freedom."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """k with its 95 % interval from one source, and the class priors that it is the sum of.

    ``low``, ``high`` float, ``prior_low``, ``prior_high`` float64 [L]: NaN where chance is not what is doubtful.
    ``if_no`` and ``if_yes``: k if every unknown cell were a no, or a yes; equal to k where nothing is unknown.
    ``unseen`` classes could not be estimated and count as 0.
    """

    expected_positives: float
    low: float
    high: float
    if_no: float
    if_yes: float
    images: int
    priors: Shares
    prior_low: Shares
    prior_high: Shares
    unseen: int


def from_sample(codes: Codes) -> Estimate:
    """Class priors and their sum k from randomly drawn, checked images.

    A class's prior is the share of positives among the images where it is known, with Wilson's interval; k is the sum.
    The images are the units of chance, for classes that come together make counts vary more than single cells would:
    k's interval is Student's for the mean of the counts (linearised where cells are unknown), which needs no random
    draws and, the count being a sum over classes, keeps its 95 % from some ten images on.

    Args:
        codes: int8 [V, L]; unknown cells are taken to be like the known ones of their class.

    Raises:
        DataError: if nothing is known of any image.
    """
    codes = np.asarray(codes)
    known, positive = codes != UNKNOWN, codes == POSITIVE
    images, counted = len(codes), known.sum(axis=0)
    if not counted.any():
        raise DataError("nothing is known of the checked sample; answer some full checks first")
    shares = positive.sum(axis=0) / np.maximum(counted, 1)
    k = float(shares.sum())
    influence = (known * (positive - shares) * (images / np.maximum(counted, 1))).sum(axis=1)
    half = student(images - 1) * float(influence.std(ddof=1)) / math.sqrt(images) if images > 1 else math.inf
    low, high = wilson(positive.sum(axis=0), counted)
    certain = float(positive.sum()) / images
    return Estimate(
        expected_positives=k,
        low=max(k - half, 0.0),
        high=min(k + half, float(codes.shape[1])),
        if_no=certain,
        if_yes=certain + float((~known).sum()) / images,
        images=images,
        priors=shares,
        prior_low=low,
        prior_high=high,
        unseen=int((counted == 0).sum()),
    )


def from_scores(scores: NDArray[np.floating] | Tensor, codes: Codes) -> Estimate:
    """Class priors and their sum k from scores and the positives known (CRISP), without any checked image.

    Each class's prior is bounded by what is known: at least its known positives, at most all but its known negatives.
    Classes without a known positive get no more than that. No interval: see `docs/results.md` for how far it is off.

    Args:
        scores: [n, L], whatever ranks images within each class.
        codes: int8 [n, L]; the known positives should be a random draw from all positives of their class.

    Raises:
        DataError: without a known positive. MismatchError: if the shapes differ.
    """
    import torch

    from spml_annotate.states.class_priors import estimate_class_priors

    codes = np.asarray(codes)
    if scores.shape != codes.shape:
        raise MismatchError(f"scores are {tuple(scores.shape)}, labels {codes.shape}; both need one row per image")
    positive = codes == POSITIVE
    if not positive.any():
        raise DataError("no positive is known; run `spml-annotate import-labels FILE`, or `spml-annotate ask --pick`")
    table = torch.as_tensor(np.asarray(scores)) if not isinstance(scores, torch.Tensor) else scores
    found = estimate_class_priors(table, torch.from_numpy(np.ascontiguousarray(codes))).cpu().numpy()
    least, most = positive.mean(axis=0), 1.0 - (codes == NEGATIVE).mean(axis=0)
    priors = np.clip(found, least, most)
    nothing: Shares = np.full(len(priors), np.nan)
    k = float(priors.sum())
    return Estimate(
        expected_positives=k,
        low=math.nan,
        high=math.nan,
        if_no=float(least.sum()),
        if_yes=float(most.sum()),
        images=len(codes),
        priors=priors,
        prior_low=nothing,
        prior_high=nothing,
        unseen=int((~positive.any(axis=0)).sum()),
    )


def wilson(hits: NDArray[np.integer], counted: NDArray[np.integer]) -> tuple[Shares, Shares]:
    """95 % intervals of shares [L] (Wilson 1927); the whole range where nothing was counted."""
    number = np.maximum(counted, 1).astype(np.float64)
    share = hits / number
    middle = share + Z**2 / (2 * number)
    half = Z * np.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    width = 1 + Z**2 / number
    low = np.where(hits > 0, (middle - half) / width, 0.0)
    high = np.where(hits < counted, (middle + half) / width, 1.0)
    return np.where(counted > 0, low, 0.0), np.where(counted > 0, high, 1.0)


def student(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t (from four degrees of freedom on within 0.3 %); infinite for none."""
    if freedom < 1:
        return math.inf
    if freedom <= len(_T):
        return _T[freedom - 1]
    terms = (  # Cornish and Fisher's expansion about the normal quantile
        Z,
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))
