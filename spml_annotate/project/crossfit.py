"""What would be proposed on the checked sample, by thresholds that the images judged did not help to find."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes
from spml_annotate.project.evidence import evidence_of
from spml_annotate.project.proposing import PROPOSER
from spml_annotate.project.sample import Sample
from spml_annotate.project.scoring import require_model
from spml_annotate.propose import PROPOSERS
from spml_annotate.propose.thresholds import Thresholds, calibrate_thresholds, default_thresholds
from spml_annotate.workspace import Workspace


def propose_on_sample(
    workspace: Workspace,
    sample: Sample,
    *,
    precision: float,
    proposer: str = PROPOSER,
    seed: int = 0,
    limits: Thresholds | None = None,
) -> tuple[Codes, NDArray[np.floating], str]:
    """Values int8 [V, L] that would be proposed (UNKNOWN: none), beliefs [V, L], and what the thresholds rest on.

    Args:
        workspace: the project, with a trained model.
        sample: the checked images; the proposer sees none of their answers.
        precision: wanted precision of expected positives. Thresholds are calibrated on one half of the sample and used
            on the other, and the other way round.
        proposer: name in `PROPOSERS`.
        seed: cuts the sample into the two halves.
        limits: thresholds that do not rest on the sample, to be used instead.
    """
    evidence = evidence_of(workspace, require_model(workspace), sample, seed=seed)
    belief = PROPOSERS[proposer].function(evidence, sample.rows)
    if limits is None and not sample.enough:
        limits = default_thresholds(sample.codes.shape[1])
    if limits is not None:
        return _decided(belief, limits), belief, "defaults"
    values = np.full(sample.codes.shape, UNKNOWN, dtype=np.int8)
    order = np.random.default_rng(seed).permutation(len(sample))
    for judged, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        found = calibrate_thresholds(belief[other], sample.found[other], positive_precision=precision)
        values[judged] = _decided(belief[judged], found)
    return values, belief, "calibrated on the other half of the sample"


def _decided(belief: NDArray[np.floating], limits: Thresholds) -> Codes:
    values = np.full(belief.shape, UNKNOWN, dtype=np.int8)
    values[belief <= limits.negative] = NEGATIVE
    values[belief >= limits.positive] = POSITIVE
    return values
