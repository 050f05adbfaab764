"""How common each class is: the class priors and their sum, the expected number of positives per image (k)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import POSITIVE, UNKNOWN, Codes, LabelMatrix

DEFAULT_EXPECTED_POSITIVES = 1.5
"""Used when neither the user nor a validation sample says better; about what PASCAL VOC has."""


class Prior(NamedTuple):
    """Shares of images that carry each class, float64 [L]; their sum k; and where the figures come from."""

    priors: NDArray[np.float64]
    expected_positives: float
    source: str


def estimate_priors(
    labels: LabelMatrix, *, validation: Codes | None = None, expected_positives: float | None = None
) -> Prior:
    """Class priors from a checked sample, else from the counts of observed positives.

    With a sample, its shares are smoothed by one positive and one negative per class, then scaled to the sample's own
    positives per image (or the user's), so that smoothing many rare classes does not inflate k. Without one, the
    observed counts plus one are scaled to k: they keep the annotators' preferences, which nothing here can correct.

    Args:
        labels: known cells of the N images.
        validation: codes int8 [V, L] of randomly drawn, checked images.
        expected_positives: k, if the user knows it; it goes before every estimate.

    Raises:
        SettingError: for a k outside (0, L]. DataError: for a validation sample in which nothing is known.
        MismatchError: for a validation sample with another number of classes.
    """
    classes = labels.shape[1]
    if expected_positives is not None and not 0.0 < expected_positives <= max(classes, 1):
        raise SettingError(
            f"expected positives per image is {expected_positives}; it must be above 0 and at most {classes}, "
            "the number of classes"
        )
    if validation is not None:
        return _from_sample(validation, classes, expected_positives)
    observed = labels.count(POSITIVE)
    annotated = int((labels.known_per_row() > 0).sum())
    per_image = float(observed.sum()) / annotated if annotated else 0.0
    if expected_positives is not None:
        k, source = float(expected_positives), "observed counts scaled to the given number of positives per image"
    elif per_image > DEFAULT_EXPECTED_POSITIVES:
        k, source = per_image, f"observed counts; {per_image:.2f} positives per annotated image are known already"
    else:
        k = float(min(DEFAULT_EXPECTED_POSITIVES, classes))
        source = f"observed counts scaled to the default of {k:g} positives per image"
    return Prior(_scaled(observed + 1.0, k), k, source)


def _from_sample(validation: Codes, classes: int, expected_positives: float | None) -> Prior:
    validation = np.asarray(validation)
    if validation.ndim != 2 or validation.shape[1] != classes:
        raise MismatchError(f"the validation sample has shape {validation.shape}; there are {classes} classes")
    known = (validation != UNKNOWN).sum(axis=0)
    positive = (validation == POSITIVE).sum(axis=0)
    if not known.any():
        raise DataError("nothing is known of the validation sample; answer some full checks first")
    k = float(np.divide(positive, known, out=np.zeros(classes), where=known > 0).sum())
    source = f"{len(validation)} checked images"
    if expected_positives is not None:
        k, source = float(expected_positives), f"{source}, scaled to the given number of positives per image"
    return Prior(_scaled((positive + 1.0) / (known + 2.0), k), k, source)


def _scaled(shares: NDArray[np.floating], total: float) -> NDArray[np.float64]:
    """Shares in proportion to those given, summing to ``total``, none above 1."""
    full = np.zeros(len(shares), dtype=bool)
    while True:
        rest = shares[~full].sum()
        scaled = np.asarray(np.where(full, 1.0, shares * ((total - full.sum()) / rest) if rest > 0 else 0.0))
        over = scaled > 1.0
        if not over.any():
            return scaled
        full |= over
