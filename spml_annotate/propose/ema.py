"""Belief from the trained model: its moving-average scores, as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import Rows
from spml_annotate.propose import PROPOSERS
from spml_annotate.propose.evidence import Evidence


@PROPOSERS.register("ema")
def ema(evidence: Evidence, rows: Rows) -> NDArray[np.float32]:
    """The model's moving-average scores.

    Returns:
        Belief float32 [R, L] in [0, 1].
    """
    return np.clip(np.asarray(evidence.scores[rows], dtype=np.float32), 0.0, 1.0)
