"""A belief and the sources that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import Rows
from spml_annotate.propose import PROPOSERS
from spml_annotate.propose.evidence import Evidence


class Explained(NamedTuple):
    """``belief`` float32 [R, L], and each source's own belief [R, L], NaN where it has nothing to say."""

    belief: NDArray[np.float32]
    sources: Mapping[str, NDArray[np.float32]]


def explain(evidence: Evidence, rows: Rows, proposer: str, settings: Mapping[str, object]) -> Explained:
    """The belief of a registered proposer with its sources; a proposer without parts is its own only source.

    A proposer made of several registers ``explain=``, a function of the same signature that returns `Explained`.

    Raises:
        SettingError: for a proposer or setting that does not exist.
    """
    entry = PROPOSERS[proposer]
    checked = entry.checked(settings)
    if "explain" in entry.facts:
        explained: Explained = entry.facts["explain"](evidence, rows, **checked)
        return explained
    belief = entry.function(evidence, rows, **checked)
    silent = entry.facts.get("silent")
    heard = belief if silent is None else np.where(silent(evidence), np.float32(np.nan), belief)
    return Explained(belief, {proposer: heard})
