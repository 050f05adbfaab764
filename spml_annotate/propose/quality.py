"""How good proposals are, where the truth is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spml_annotate.errors import MismatchError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, LabelMatrix, Rows
from spml_annotate.propose.proposals import Proposals


class Quality(NamedTuple):
    """Proposals against the truth; a precision or recall without anything to divide by is NaN.

    Recall counts the cells that were unknown and that the truth calls positive (negative).
    """

    positives: int
    true_positives: int
    positive_precision: float
    positive_recall: float
    negatives: int
    true_negatives: int
    negative_precision: float
    negative_recall: float


def proposal_quality(
    proposals: Proposals, truth: Codes, labels: LabelMatrix, rows: Rows | None = None, *, block: int = 4096
) -> Quality:
    """Precision and recall of proposals.

    Args:
        proposals: made while ``labels`` was known.
        truth: int8 [N, L]; cells that are UNKNOWN here are left out altogether.
        labels: what was known when the proposals were made.
        rows: the images that were asked about, each once; all by default.
        block: images looked at together.

    Raises:
        MismatchError: if truth and labels have different shapes.
    """
    if truth.shape != labels.shape:
        raise MismatchError(f"truth has shape {truth.shape}, the labels have shape {labels.shape}")
    actual = truth[proposals.rows, proposals.labels]
    asked = np.arange(labels.shape[0]) if rows is None else np.asarray(rows, dtype=np.int64)
    sides: list[int | float] = []
    for value in (POSITIVE, NEGATIVE):
        mine = (proposals.values == value) & (actual != UNKNOWN)
        made, right, possible = int(mine.sum()), int((mine & (actual == value)).sum()), 0
        for start in range(0, len(asked), block):
            chosen = asked[start : start + block]
            possible += int(((labels.dense(chosen) == UNKNOWN) & (truth[chosen] == value)).sum())
        sides += [made, right, right / made if made else float("nan"), right / possible if possible else float("nan")]
    return Quality(*sides)  # type: ignore[arg-type]  # counts and shares alternate in the order of the fields
