"""The read-only picture of a project that proposers and acquisition values see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import MismatchError
from spml_annotate.labels import UNKNOWN, Codes, LabelMatrix

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known and believed about N images and L classes.

    Args:
        features: [N, D] embeddings.
        labels: known cells of the same N images.
        scores: [N, L] EMA scores of a trained model, in [0, 1].
        priors: [L] share of images that carry each class, as far as known.
        seed: drives everything random (k-means starts, tie breaking).
        closed: [N, L] cells not to be asked although nothing is known of them: a question about them is open already,
            or the person who will be asked could not tell. None closes nothing.
    """

    features: NDArray[np.floating]
    labels: LabelMatrix
    scores: NDArray[np.floating]
    priors: NDArray[np.float64]
    seed: int = 0
    closed: NDArray[np.bool_] | None = None
    _kept: dict[object, object] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        count, classes = self.labels.shape
        if self.features.shape[0] != count or self.scores.shape != (count, classes) or self.priors.shape != (classes,):
            raise MismatchError(
                f"evidence does not fit together: features {self.features.shape}, labels {self.labels.shape}, "
                f"scores {self.scores.shape}, priors {self.priors.shape}"
            )
        if self.closed is not None and self.closed.shape != (count, classes):
            raise MismatchError(f"evidence does not fit: labels {self.labels.shape}, closed cells {self.closed.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """(N, L)."""
        return self.labels.shape

    @cached_property
    def codes(self) -> Codes:
        """Dense codes int8 [N, L]."""
        return self.labels.dense()

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """Cells nobody has answered yet and that may be asked, [N, L]."""
        unknown = np.asarray(self.codes == UNKNOWN)
        return unknown if self.closed is None else unknown & ~self.closed

    @property
    def expected_positives(self) -> float:
        """Expected number of positives per image: the sum of the class priors (k in the papers)."""
        return float(self.priors.sum())

    def keep(self, key: object, make: Callable[[], T]) -> T:
        """What ``make`` returned the first time for ``key``: things built once and asked in blocks of rows.

        The key must name the type and every setting that the result depends on.
        """
        if key not in self._kept:
            self._kept[key] = make()
        return cast(T, self._kept[key])
