"""Belief from the model and the prototypes together, and who of them spoke how strongly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import SettingError
from spml_annotate.labels import Rows
from spml_annotate.propose import PROPOSERS
from spml_annotate.propose.ema import ema
from spml_annotate.propose.evidence import Evidence
from spml_annotate.propose.explained import Explained
from spml_annotate.propose.prototypes import prototypes, silent_classes

FLOOR = 1e-3
"""Beliefs are held this far from 0 and 1 before their log-odds are averaged, so that no source has a veto."""


def explain_combined(
    evidence: Evidence, rows: Rows, *, prototype_weight: float = 0.75, per_class: int = 8, neighbours: int = 100
) -> Explained:
    """`combined`, with the belief of each source; NaN where a source has nothing to say."""
    if not 0.0 <= prototype_weight <= 1.0:
        raise SettingError(f"combined.prototype_weight is {prototype_weight}; it must lie between 0 and 1")
    scores = ema(evidence, rows)
    votes = prototypes(evidence, rows, per_class=per_class, neighbours=neighbours)
    silent = silent_classes(evidence)
    together = (1.0 - prototype_weight) * _log_odds(scores) + prototype_weight * _log_odds(votes)
    belief = np.where(silent, scores, 1.0 / (1.0 + np.exp(-together))).astype(np.float32)
    return Explained(belief, {"ema": scores, "prototypes": np.where(silent, np.float32(np.nan), votes)})


@PROPOSERS.register("combined", explain=explain_combined)
def combined(
    evidence: Evidence, rows: Rows, *, prototype_weight: float = 0.75, per_class: int = 8, neighbours: int = 100
) -> NDArray[np.float32]:
    """Weighted mean of the log-odds of model scores and prototype votes; the model alone for classes without positives.

    Args:
        evidence: what is known of N images.
        rows: R of them.
        prototype_weight: 0 is `ema` (held off 0 and 1), 1 is `prototypes`.
        per_class: see `prototypes`.
        neighbours: see `prototypes`.

    Returns:
        Belief float32 [R, L] in [0, 1].
    """
    return explain_combined(
        evidence, rows, prototype_weight=prototype_weight, per_class=per_class, neighbours=neighbours
    ).belief


def _log_odds(belief: NDArray[np.float32]) -> NDArray[np.float64]:
    held = np.clip(belief.astype(np.float64), FLOOR, 1.0 - FLOOR)
    return np.asarray(np.log(held) - np.log1p(-held))
