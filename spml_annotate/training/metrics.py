"""How good scores and proposals are: average precision, F1, precision and recall. NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN

Floats = NDArray[np.floating]


class MeanAveragePrecision(NamedTuple):
    """Mean over the classes that have a positive; ``left_out`` counts those that have none."""

    value: float
    classes: int
    left_out: int


def average_precision(scores: Floats, codes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Average precision of every class, NaN for a class without positives.

    Equal scores count as one threshold, as in scikit-learn; unknown cells do not take part.

    Args:
        scores: [*, V, L]. codes: int8 [V, L] in our codes.

    Returns:
        [*, L].
    """
    flat = scores.reshape(-1, *scores.shape[-2:])
    known = np.where(codes == UNKNOWN, -np.inf, flat)
    order = np.argsort(-known, axis=-2, kind="stable")
    ranked = np.take_along_axis(known, order, axis=-2)
    hits = np.take_along_axis(np.broadcast_to(codes == POSITIVE, known.shape), order, axis=-2)
    found = np.cumsum(hits, axis=-2)
    images = codes.shape[0]
    # Every member of a group of equal scores is judged at the group's last rank.
    ends = np.full(ranked.shape, images - 1, dtype=np.int64)
    ends[:, :-1] = np.where(ranked[:, 1:] != ranked[:, :-1], np.arange(images - 1)[:, None], images - 1)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=-2)[:, ::-1]
    precision = np.take_along_axis(found, ends, axis=-2) / (ends + 1.0)
    positives = (codes == POSITIVE).sum(axis=0)
    total = np.where(hits, precision, 0.0).sum(axis=-2)
    result = np.where(positives > 0, total / np.maximum(positives, 1), np.nan)
    return np.asarray(result.reshape(*scores.shape[:-2], codes.shape[1]))


def mean_average_precision(scores: Floats, codes: NDArray[np.int8]) -> MeanAveragePrecision:
    """Mean average precision of one model, scores [V, L]; classes without positives are left out and counted.

    The value is NaN if no class has a positive.
    """
    per_class = average_precision(scores, codes)
    counted = per_class[~np.isnan(per_class)]
    value = float(counted.mean()) if counted.size else float("nan")
    return MeanAveragePrecision(value, int(counted.size), int(per_class.size - counted.size))


class F1(NamedTuple):
    """Thresholded quality: per-class mean (C) and overall (O) precision, recall and F1."""

    class_precision: float
    class_recall: float
    class_f1: float
    overall_precision: float
    overall_recall: float
    overall_f1: float
    left_out: int


def f1(scores: Floats, codes: NDArray[np.int8], threshold: float | Floats = 0.5) -> F1:
    """CF1 and OF1 at a threshold (or one per class); classes without positives are left out and counted.

    CF1 is the harmonic mean of the per-class means of precision and recall, as published tables have it; a class for
    which nothing is predicted has precision 0.
    """
    said = (scores >= threshold) & (codes != UNKNOWN)
    true = codes == POSITIVE
    counted = true.any(axis=0)
    said, true = said[:, counted], true[:, counted]
    hits, predicted, positives = (said & true).sum(0), said.sum(0), true.sum(0)
    precision = _ratio(hits, predicted).mean() if counted.any() else float("nan")
    recall = _ratio(hits, positives).mean() if counted.any() else float("nan")
    overall_precision = float(_ratio(hits.sum(), predicted.sum()))
    overall_recall = float(_ratio(hits.sum(), positives.sum()))
    return F1(
        float(precision),
        float(recall),
        _harmonic(float(precision), float(recall)),
        overall_precision,
        overall_recall,
        _harmonic(overall_precision, overall_recall),
        int((~counted).sum()),
    )


class Agreement(NamedTuple):
    """Precision of proposed values against known ones, and the share of all such values that were proposed."""

    precision: float
    recall: float
    proposed: int


def agreement(values: NDArray[np.int8], truth: NDArray[np.int8], code: int) -> Agreement:
    """Quality of proposed codes [R, L] (UNKNOWN where nothing is proposed) for one code, POSITIVE or NEGATIVE.

    Cells whose truth is unknown do not count. Precision is NaN when nothing was proposed.
    """
    if code not in (POSITIVE, NEGATIVE):
        raise ValueError("code is POSITIVE or NEGATIVE")
    proposed = (values == code) & (truth != UNKNOWN)
    right = int((proposed & (truth == code)).sum())
    count, all_such = int(proposed.sum()), int((truth == code).sum())
    return Agreement(right / count if count else float("nan"), right / all_such if all_such else float("nan"), count)


def _ratio(part: NDArray[np.integer] | np.integer, whole: NDArray[np.integer] | np.integer) -> NDArray[np.float64]:
    return np.asarray(part / np.maximum(whole, 1), dtype=np.float64)


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b > 0 else 0.0
