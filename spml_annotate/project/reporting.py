"""Where a project stands, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.labels import ANSWERS, NEGATIVE, POSITIVE, LabelMatrix
from spml_annotate.project.asking import expected_seconds, open_questions
from spml_annotate.project.evidence import priors_of, training_labels
from spml_annotate.project.sample import LEAST, checked_sample
from spml_annotate.workspace import Workspace

USUAL = 200
"""Images of a checked sample that are worth their time in a project of some size."""


@dataclass(frozen=True)
class Status:
    """Everything that `status` shows.

    ``kinds`` counts images by how much is known: none, SPL (one positive), PPL (some positives), PAL (both signs),
    FAL (everything). ``answers`` counts the log by answer, ``hours`` adds up its seconds. ``expected_positives`` is the
    k that the next training uses.
    """

    name: str
    folder: str
    images: int
    splits: dict[str, int]
    duplicates: int
    unreadable: int
    embedded: int
    features: str | None
    classes: int
    answers: dict[str, int]
    annotators: dict[str, int]
    hours: float
    positives: int
    negatives: int
    known_share: float
    kinds: dict[str, int]
    conflicts: int
    checked: int
    waiting_checks: int
    expected_positives: float
    expected_positives_from: str
    model: str | None
    metrics: dict[str, Any] | None
    answers_since_model: int
    open_questions: int
    open_seconds: float
    next: str


def status(workspace: Workspace) -> Status:
    """Where the project stands."""
    folded, splits = workspace.folded(), workspace.images.splits()
    log = folded.log
    model = workspace.models.current()
    sample = checked_sample(workspace)
    waiting = open_questions(workspace)
    matrix = folded.matrix
    prior = priors_of(workspace, training_labels(workspace, len(workspace.images)), sample)
    facts: dict[str, Any] = {
        "name": workspace.settings.name,
        "folder": str(workspace.root.resolve()),
        "images": len(workspace.images),
        "splits": {name: int((splits == code).sum()) for code, name in SPLIT_NAMES.items()},
        "duplicates": len(workspace.images.duplicates()),
        "unreadable": len(workspace.images.errors()),
        "embedded": workspace.embedded(),
        "features": workspace.settings.features.key if workspace.settings.features else None,
        "classes": len(workspace.taxonomy),
        "answers": _counted(log.answers, ANSWERS),
        "annotators": _counted(log.annotators, log.annotator_names),
        "hours": float(log.seconds.sum()) / 3600.0,
        "positives": int(matrix.count(POSITIVE).sum()),
        "negatives": int(matrix.count(NEGATIVE).sum()),
        "known_share": matrix.known_share if len(workspace.images) else 0.0,
        "kinds": image_kinds(matrix),
        "conflicts": len(folded.conflicts()),
        "checked": len(sample),
        "waiting_checks": sample.waiting,
        "expected_positives": prior.expected_positives,
        "expected_positives_from": prior.source,
        "model": model.name if model else None,
        "metrics": model.metrics if model else None,
        "answers_since_model": len(workspace.log) - int(model.settings["answers"]) if model else len(workspace.log),
        "open_questions": len(waiting),
        "open_seconds": expected_seconds(waiting, workspace.settings.prices),
    }
    return Status(**facts, next=next_step(facts))


def _counted(numbers: NDArray[np.integer], names: Sequence[str]) -> dict[str, int]:
    """How often each name occurs, in the order of the alphabet."""
    counts = np.bincount(numbers, minlength=len(names)).tolist()
    return {name: count for name, count in sorted(zip(names, counts, strict=True)) if count}


def image_kinds(matrix: LabelMatrix) -> dict[str, int]:
    """Number of images by how much is known of them."""
    rows, _, values = matrix.cells()
    count, classes = matrix.shape
    positives = np.bincount(rows[values == POSITIVE], minlength=count)
    known = matrix.known_per_row()
    full = (known == classes) & (known > 0)
    mixed = ~full & (known > positives)
    single = ~full & ~mixed & (known == 1)
    return {
        "none": int((known == 0).sum()),
        "SPL": int(single.sum()),
        "PPL": int((~full & ~mixed & (known > 1)).sum()),
        "PAL": int(mixed.sum()),
        "FAL": int(full.sum()),
    }


def next_step(facts: dict[str, Any]) -> str:
    """The command that makes most sense next, from the facts of a `Status`."""
    sample = min(USUAL, facts["images"] // 3)  # some must be left to train on
    steps = (
        (not facts["images"], "spml-annotate images add FOLDER"),
        (
            not facts["positives"] and not facts["open_questions"],
            "spml-annotate import-labels FILE, or spml-annotate ask --pick",
        ),
        (not facts["positives"], "spml-annotate answer"),
        (facts["embedded"] < facts["images"], "spml-annotate embed"),
        (facts["model"] is None and facts["open_questions"] > 0, "spml-annotate answer, then spml-annotate train"),
        (facts["model"] is None, "spml-annotate train"),
        (facts["checked"] + facts["waiting_checks"] < min(LEAST, sample), f"spml-annotate ask --validation {sample}"),
        (facts["open_questions"] > 0, "spml-annotate answer"),
        (facts["answers_since_model"] > 0, "spml-annotate train"),
        (
            facts["kinds"]["FAL"] >= facts["images"] - facts["unreadable"],
            "spml-annotate export OUT: everything is known",
        ),
    )
    return next((command for applies, command in steps if applies), "spml-annotate propose, then spml-annotate ask")
