"""What answered images nearby say: the side of the evidence on which known negatives count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, Rows
from spml_annotate.propose.evidence import Evidence
from spml_annotate.propose.space import Index, Vectors, build_index, space_of

LIMIT = 4096
"""At most so many answered images are kept, drawn by content."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Images that somebody said no about: ``rows`` int64 [A] and their codes int8 [A, L].

    Every no counts. A yes counts only on an image of which at least half the classes are known (``checked`` [A]): a
    class named on other images was named BECAUSE it is there, so that its yes has no no to be weighed against.
    """

    index: Index
    rows: Rows
    codes: Codes
    checked: NDArray[np.bool_]

    def weigh(
        self, rows: Rows, vectors: Vectors, neighbours: int, reach: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight of the yes and of the no answers near each image, float64 [R, L] each.

        A neighbour of similarity s weighs exp((s - 1) / reach): 1 for an equal image; the image itself does not speak.
        """
        similarity, position = self.index.search(vectors, neighbours + 1)
        weight = np.exp((similarity.astype(np.float64) - 1.0) / reach)
        weight[(position < 0) | (self.rows[position] == rows[:, None])] = 0.0
        yes = np.zeros((len(rows), self.codes.shape[1]))
        no = np.zeros_like(yes)
        for column in range(weight.shape[1]):
            said = self.codes[position[:, column]]
            yes += (weight[:, column] * self.checked[position[:, column]])[:, None] * (said == POSITIVE)
            no += weight[:, column, None] * (said == NEGATIVE)
        return yes, no


def answered_images(evidence: Evidence, *, exact_limit: int) -> Answered | None:
    """The answered images of an evidence, built once; None while nobody has said no to anything."""
    return evidence.keep(("answered", exact_limit), lambda: _build(evidence, exact_limit))


def _build(evidence: Evidence, exact_limit: int) -> Answered | None:
    rows, _, values = evidence.labels.cells()
    said_no = np.unique(rows[values == NEGATIVE])
    if not len(said_no):
        return None
    space = space_of(evidence)
    chosen = space.sample(said_no, LIMIT)
    index = build_index(space.vectors(chosen), exact_limit=exact_limit, seed=evidence.seed)
    codes = evidence.labels.dense(chosen)
    return Answered(index, chosen, codes, (codes != UNKNOWN).mean(axis=1) >= 0.5)
