"""The checked sample: random images of which every class has been answered, and on which nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import UNKNOWN, Codes, Rows
from spml_annotate.propose.estimating import from_sample
from spml_annotate.stores.images import TEST, TRAIN, VALIDATION
from spml_annotate.workspace import Workspace

LEAST = 10
"""Fewer checked images than this are not enough to choose an epoch, estimate k or calibrate thresholds by."""
REMEDY = "ask for full checks of random images with `spml-annotate ask --validation 200`, then `spml-annotate answer`"


@dataclass(frozen=True, eq=False)
class Sample:
    """Checked images: ``rows`` int64 [V] and their ``codes`` int8 [V, L]; ``waiting`` images of the split are not yet.

    A cell stays UNKNOWN where the annotator could not tell, or where annotators disagree. ``found`` int8 [V, L] are the
    codes of the cells only that a full check was asked about: what had been known before is UNKNOWN there. Proposals
    are of unknown cells and must be judged by such. People name first what is easily seen; judged by all positives of
    an image, proposals of the others look better than they are. An image without a word of a full check has all codes.
    ``drawn`` bool [V] says which images have one.
    """

    rows: Rows
    codes: Codes
    waiting: int
    found: Codes
    drawn: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def enough(self) -> bool:
        """Whether it is large enough to be used at all."""
        return len(self) >= LEAST

    def positives_per_image(self) -> tuple[float, float, float]:
        """Expected positives k with its 95 % interval, see `from_sample`; NaN for an empty sample."""
        if not len(self):
            return float("nan"), float("nan"), float("nan")
        found = from_sample(self.codes)
        return found.expected_positives, found.low, found.high


def checked_sample(workspace: Workspace, split: int = VALIDATION) -> Sample:
    """The checked images of a split among those that have features (all of them before the first embedding).

    A check made before classes were added counts while it covers at least half of today's classes; the new classes
    are unknown there until they are asked about. Copies of an image count once.
    """
    folded = workspace.folded()
    count = workspace.embedded() or len(workspace.images)
    candidates = np.flatnonzero(originals(workspace) & (workspace.images.splits() == split))
    candidates = candidates[candidates < count]
    answered = answered_cells(workspace, candidates)
    classes = len(workspace.taxonomy)
    sizes = [size for size in workspace.settings.batches if 2 * size >= classes]
    whole = np.zeros(len(candidates), dtype=bool)
    for size in sizes:
        whole |= answered[:, :size].all(axis=1)
    codes = folded.matrix.dense(candidates[whole])
    some = (codes != UNKNOWN).any(axis=1)
    rows, codes = candidates[whole][some], codes[some]
    asked = _asked_cells(workspace, rows)
    drawn = np.asarray(asked.any(axis=1))
    found = np.where(asked | ~drawn[:, None], codes, np.int8(UNKNOWN))
    return Sample(rows, codes, int((~whole).sum()), found, drawn)


def _asked_cells(workspace: Workspace, rows: Rows) -> NDArray[np.bool_]:
    """Cells [R, L] with a standing word that answers a full check."""
    checks = {asked.query.id for asked in workspace.questions if asked.purpose == "validation"}
    folded = workspace.folded()
    log, said = folded.log, folded.standing
    answers = np.array([name in checks for name in log.question_names], dtype=bool)
    return _cells(workspace, rows, said[answers[log.questions[said]]] if len(said) else said)


def answered_cells(workspace: Workspace, rows: Rows, annotator: str | None = None) -> NDArray[np.bool_]:
    """Cells [R, L] of which somebody (or one annotator) has a standing word, be it that he could not tell."""
    folded = workspace.folded()
    log, said = folded.log, folded.standing
    if annotator is not None:
        said = said[np.array([name == annotator for name in log.annotator_names], dtype=bool)[log.annotators[said]]]
    return _cells(workspace, rows, said)


def _cells(workspace: Workspace, rows: Rows, said: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cells [R, L] that the words at some places of the log are about."""
    log = workspace.folded().log
    place = np.full(len(workspace.images), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    said = said[place[log.rows[said]] >= 0]
    table = np.zeros((len(rows), len(workspace.taxonomy)), dtype=bool)
    table[place[log.rows[said]], log.labels[said]] = True
    return table


def originals(workspace: Workspace) -> NDArray[np.bool_]:
    """Images [N] that can be read and are not a copy of an earlier one."""
    usable = np.asarray(workspace.images.originals() == np.arange(len(workspace.images)))
    usable[list(workspace.images.errors())] = False
    return usable


def trainable(workspace: Workspace) -> NDArray[np.bool_]:
    """Images [N] that may be trained on and asked about: readable ones of the train split, copies included."""
    usable = np.asarray(workspace.images.splits() == TRAIN)
    usable[list(workspace.images.errors())] = False
    return usable


SPLIT_CODES = {"validation": VALIDATION, "test": TEST}
"""Splits that hold samples to judge by."""
