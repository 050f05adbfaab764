"""How right the exported proposals are, estimated on the checked sample, class by class and with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes
from spml_annotate.project.crossfit import propose_on_sample
from spml_annotate.project.exporting.labels import confidence
from spml_annotate.project.proposing import Proposed
from spml_annotate.project.sample import LEAST, REMEDY, Sample, checked_sample
from spml_annotate.project.scoring import require_model
from spml_annotate.propose.estimating import student, wilson
from spml_annotate.propose.thresholds import Thresholds
from spml_annotate.workspace import Workspace


@dataclass(frozen=True)
class Share:
    """``right`` of ``count`` cells and its 95 % interval; ``value`` is None where nothing could be counted."""

    right: int
    count: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Judged:
    """Precision and recall of expected positives and of expected negatives of a class (or of all)."""

    positive_precision: Share
    positive_recall: Share
    negative_precision: Share
    negative_recall: Share


@dataclass(frozen=True)
class Quality:
    """Estimates on ``images`` checked images by thresholds that are ``basis``; ``classes`` in their order.

    ``drawn`` of the images are known to be drawn at random, ``named`` had labels before their check (those are not
    judged), and ``trained`` were drawn after the model had been trained, which may have seen those labels.
    """

    images: int
    basis: str
    overall: Judged
    classes: tuple[Judged, ...]
    drawn: int = 0
    named: int = 0
    trained: int = 0


def quality_of(workspace: Workspace, suggested: Proposed, least: float | None = None) -> Quality | None:
    """Judge proposals made like the suggested ones on the checked sample; None if it is too small to judge by.

    Thresholds that the sample calibrated are calibrated anew on one half to judge the other; stated ones are used as
    they are. Nothing is judged of what was known before the check, as nothing is proposed there, nor of classes that
    came after the proposals.

    Args:
        workspace: the project.
        suggested: what is exported.
        least: confidence below which proposals are left out.
    """
    sample = checked_sample(workspace)
    if not sample.enough:
        return None
    values, belief, basis = propose_on_sample(
        workspace,
        sample,
        precision=suggested.precision,
        proposer=suggested.proposals.proposer,
        limits=None if suggested.sample else _padded(suggested.thresholds, sample),
    )
    if least is not None:
        values = np.where(confidence(values, belief) >= np.float32(least), values, np.int8(UNKNOWN))
    values[:, len(suggested.thresholds.positive) :] = UNKNOWN
    return replace(
        judge(values, sample.found, basis),
        drawn=int(sample.drawn.sum()),
        named=int((sample.found != sample.codes).any(axis=1).sum()),
        trained=_trained_on(workspace, sample),
    )


def _trained_on(workspace: Workspace, sample: Sample) -> int:
    """Images that were drawn for the sample when the current model had been trained: it may know them."""
    since = float(require_model(workspace).settings["time"])
    drawn: dict[int, float] = {}
    for asked in workspace.questions:
        if asked.purpose == "validation":
            drawn.setdefault(asked.query.row, asked.time)
    return sum(drawn.get(row, 0.0) > since for row in sample.rows.tolist())


def require_sample(workspace: Workspace) -> None:
    """Raise DataError if a wanted precision could not be reached knowingly: too few images are checked."""
    sample = checked_sample(workspace)
    if not sample.enough:
        raise DataError(
            f"--min-precision: {len(sample)} checked images are too few to tell a precision by ({LEAST} are needed); "
            + REMEDY
        )


def judge(values: Codes, codes: Codes, basis: str) -> Quality:
    """Compare values [V, L] (UNKNOWN: nothing proposed) with the answers [V, L]."""
    sides = []
    for code in (POSITIVE, NEGATIVE):
        proposed, there = (values == code) & (codes != UNKNOWN), codes == code
        sides += [(proposed & there, proposed), (proposed & there, there)]
    by_class = [_by_class(right, counted) for right, counted in sides]
    overall = Judged(*(_overall(right, counted) for right, counted in sides))
    return Quality(len(codes), basis, overall, tuple(Judged(*shares) for shares in zip(*by_class, strict=True)))


def _padded(limits: Thresholds, sample: Sample) -> Thresholds:
    """Thresholds by which nothing is proposed of classes that came later."""
    missing = sample.codes.shape[1] - len(limits.positive)
    fillers = {"positive": np.inf, "negative": -np.inf}
    return Thresholds(
        **{
            name: np.append(column, np.full(missing, fillers.get(name, 0), dtype=column.dtype))
            for name, column in vars(limits).items()
        }
    )


def _by_class(right: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Sequence[Share]:
    hits, total = right.sum(axis=0), counted.sum(axis=0)
    low, high = wilson(hits, total)
    return [
        _share(int(hit), int(count), float(a), float(b))
        for hit, count, a, b in zip(hits, total, low, high, strict=True)
    ]


def _overall(right: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Share:
    """The wider of two intervals: cells of one image are no independent draws, and few errors vary more than seen."""
    hits, total = right.sum(axis=1), counted.sum(axis=1)
    hit, count, images = int(hits.sum()), int(total.sum()), len(hits)
    low, high = (float(end[0]) for end in wilson(np.array([hit]), np.array([count])))
    if count and images > 1:
        rest = hits - hit / count * total
        spread = student(images - 1) * float(np.sqrt(images / (images - 1) * (rest**2).sum())) / count
        low, high = max(min(low, hit / count - spread), 0.0), min(max(high, hit / count + spread), 1.0)
    return _share(hit, count, low, high)


def _share(hit: int, count: int, low: float, high: float) -> Share:
    return Share(hit, count, hit / count, low, high) if count else Share(0, 0, None, None, None)
