"""How good the current model and its proposals are, on images that were checked and never trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, Codes
from spml_annotate.project.crossfit import propose_on_sample
from spml_annotate.project.proposing import DEFAULT_PRECISION
from spml_annotate.project.sample import REMEDY, SPLIT_CODES, Sample, checked_sample
from spml_annotate.project.scoring import require_model
from spml_annotate.stores.images import VALIDATION
from spml_annotate.workspace import Workspace


@dataclass(frozen=True)
class Evaluated:
    """Quality on ``images`` checked images; what cannot be computed is None.

    ``map`` is the mean over ``classes`` classes, ``left_out`` have no positive in the sample. CF1 and OF1 are at a
    threshold of 0.5. Proposals are judged with ``thresholds`` "calibrated on the other half of the sample" or
    "defaults", so that no image judges thresholds that it helped to find. ``epoch_chosen_here`` says that the model's
    epoch was selected on this very sample, which flatters ``map`` a little.
    """

    model: str
    split: str
    images: int
    waiting: int
    map: float | None
    classes: int
    left_out: int
    class_f1: float | None
    overall_f1: float | None
    expected_positives: float
    expected_positives_low: float
    expected_positives_high: float
    positive_precision: float | None
    positive_recall: float | None
    proposed_positives: int
    negative_precision: float | None
    negative_recall: float | None
    proposed_negatives: int
    thresholds: str
    epoch_chosen_here: bool


def evaluate(
    workspace: Workspace, *, split: str = "validation", precision: float = DEFAULT_PRECISION, seed: int = 0
) -> Evaluated:
    """Judge the current model and the proposals on the checked images of a split.

    Args:
        workspace: the project.
        split: ``validation`` (the sample of `ask_validation`) or ``test``.
        precision: wanted precision of expected positives, see `propose`.
        seed: cuts the sample into the two halves.

    Raises:
        DataError: without a model, or without checked images; it says what to do.
    """
    from spml_annotate.training.metrics import agreement, f1, mean_average_precision

    if split not in SPLIT_CODES:
        raise SettingError(f"--split {split!r}: choose from {', '.join(SPLIT_CODES)}")
    model = require_model(workspace)
    sample = checked_sample(workspace, SPLIT_CODES[split])
    if not len(sample):
        raise DataError(f"no image of the {split} split is fully checked ({sample.waiting} wait); {REMEDY}")
    scores = _predictions(workspace, sample)
    mean = mean_average_precision(scores, sample.codes)
    found = f1(scores, sample.codes)
    values, thresholds = _proposed(workspace, sample, precision, seed)
    positive, negative = (agreement(values, sample.found, code) for code in (POSITIVE, NEGATIVE))
    expected, low, high = sample.positives_per_image()
    return Evaluated(
        model=model.name,
        split=split,
        images=len(sample),
        waiting=sample.waiting,
        map=_number(mean.value),
        classes=mean.classes,
        left_out=mean.left_out,
        class_f1=_number(found.class_f1),
        overall_f1=_number(found.overall_f1),
        expected_positives=expected,
        expected_positives_low=low,
        expected_positives_high=high,
        positive_precision=_number(positive.precision),
        positive_recall=_number(positive.recall),
        proposed_positives=positive.proposed,
        negative_precision=_number(negative.precision),
        negative_recall=_number(negative.recall),
        proposed_negatives=negative.proposed,
        thresholds=thresholds,
        epoch_chosen_here=SPLIT_CODES[split] == VALIDATION and model.metrics["selected_by"] == "validation mAP",
    )


def _predictions(workspace: Workspace, sample: Sample) -> NDArray[np.float32]:
    """Probabilities [V, L]; classes that came after the model are certain to nobody, 0."""
    model = require_model(workspace)
    scores = np.zeros(sample.codes.shape, dtype=np.float32)
    scores[:, : model.classes] = model.head().predict(workspace.read_features()[sample.rows])
    return scores


def _proposed(workspace: Workspace, sample: Sample, precision: float, seed: int) -> tuple[Codes, str]:
    """What would be proposed on the sample, [V, L], and what the thresholds rest on."""
    values, _, basis = propose_on_sample(workspace, sample, precision=precision, seed=seed)
    return values, basis


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
