"""From which belief on a class is proposed, and below which it is proposed to be absent."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes

# On single positives of 1942 VOC and 256 COCO images (three ways of training) a `combined` belief of at
# least 0.5 was right in 53-100 % and one of at most 0.02 in 99.3-99.8 % of the cells, depending on data and loss.
DEFAULT_POSITIVE = 0.5
DEFAULT_NEGATIVE = 0.02
POSITIVE_PRECISION = 0.9
NEGATIVE_PRECISION = 0.98


class Basis(enum.IntEnum):
    """What a threshold rests on: a stated default, known labels of several classes together, or of its own class."""

    DEFAULT = 0
    POOLED = 1
    OWN = 2


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Per class: propose as positive where belief >= ``positive``, as negative where belief <= ``negative``.

    Args:
        positive: float64 [L]; +inf where no threshold is precise enough, so that nothing is proposed.
        negative: float64 [L], below ``positive``; -inf likewise.
        positive_basis: int8 [L] of `Basis`; negative_basis: likewise.
        known_positives: int64 [L] known positives that were looked at, known_negatives: likewise.
    """

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]
    positive_basis: NDArray[np.int8]
    negative_basis: NDArray[np.int8]
    known_positives: NDArray[np.int64]
    known_negatives: NDArray[np.int64]

    def describe(self, label: int) -> str:
        """One line about a class: its thresholds and what each rests on."""
        sides = []
        for side, value, basis in (
            (">=", self.positive[label], self.positive_basis[label]),
            ("<=", self.negative[label], self.negative_basis[label]),
        ):
            words = {
                Basis.OWN: f"calibrated on {self.known_positives[label]} positives and {self.known_negatives[label]} "
                "negatives of the class",
                Basis.POOLED: "calibrated on the known labels of all classes that have few",
                Basis.DEFAULT: "default",
            }[Basis(int(basis))]
            sides.append(f"{side} {value:.4g} ({words})" if np.isfinite(value) else f"{side} never ({words})")
        return f"positive {sides[0]}; negative {sides[1]}"


def default_thresholds(
    classes: int, *, positive: float = DEFAULT_POSITIVE, negative: float = DEFAULT_NEGATIVE
) -> Thresholds:
    """The stated defaults for every one of L classes.

    Raises:
        SettingError: unless 0 <= negative < positive <= 1.
    """
    if not 0.0 <= negative < positive <= 1.0:
        raise SettingError(f"thresholds: negative {negative} must be below positive {positive}, both between 0 and 1")
    return Thresholds(
        np.full(classes, positive),
        np.full(classes, negative),
        np.full(classes, Basis.DEFAULT, dtype=np.int8),
        np.full(classes, Basis.DEFAULT, dtype=np.int8),
        np.zeros(classes, dtype=np.int64),
        np.zeros(classes, dtype=np.int64),
    )


def calibrate_thresholds(
    belief: NDArray[np.floating],
    codes: Codes,
    *,
    positive_precision: float = POSITIVE_PRECISION,
    negative_precision: float = NEGATIVE_PRECISION,
    least_positives: int = 10,
    least_negatives: int = 50,
    denied: float = 0.1,
    deviations: float = 1.0,
    default_positive: float = DEFAULT_POSITIVE,
    default_negative: float = DEFAULT_NEGATIVE,
) -> Thresholds:
    """Thresholds that keep the wanted precision on known labels, careful where labels are few.

    For each side the threshold that proposes most is taken among those whose precision has a lower Wilson bound of at
    least the wanted one. A class with enough known labels is calibrated on its own; the others together, if together
    they have enough; else the defaults stand. Enough is ``least_positives`` AND ``least_negatives``. The best of many
    thresholds is picked, which flatters; the bound is there to pay for that.

    Args:
        belief: [V, L] beliefs about cells whose answers were NOT shown to the proposer.
        codes: int8 [V, L] the answers; unknown cells are left out.
        positive_precision: wanted share of true positives among proposed positives.
        negative_precision: wanted share of true negatives among proposed negatives.
        least_positives: known positives that make enough.
        least_negatives: known negatives that make enough.
        denied: share of the known positives that may be proposed as negatives; of a class that one image in a hundred
            shows, calling every image negative is 99 % precise and says nothing.
        deviations: of the Wilson bound; 1 is a one-sided confidence of about 84 %.
        default_positive: for classes that cannot be calibrated.
        default_negative: for classes that cannot be calibrated.

    Raises:
        MismatchError: if the tables have different shapes. SettingError: for a precision outside (0, 1).
    """
    belief = np.asarray(belief, dtype=np.float64)
    if belief.shape != codes.shape or belief.ndim != 2:
        raise MismatchError(f"thresholds: beliefs {belief.shape} and codes {codes.shape} are not of one table")
    for name, value in (("positive", positive_precision), ("negative", negative_precision)):
        if not 0.0 < value < 1.0:
            raise SettingError(f"wanted precision of {name} proposals is {value}; it must lie between 0 and 1")
    found = default_thresholds(codes.shape[1], positive=default_positive, negative=default_negative)
    positives, negatives = (codes == POSITIVE).sum(axis=0), (codes == NEGATIVE).sum(axis=0)
    found.known_positives[:], found.known_negatives[:] = positives, negatives
    own = (positives >= least_positives) & (negatives >= least_negatives)
    groups = [(np.array([label]), Basis.OWN) for label in np.flatnonzero(own)]
    few = np.flatnonzero(~own)
    if positives[few].sum() >= least_positives and negatives[few].sum() >= least_negatives:
        groups.append((few, Basis.POOLED))
    for group, basis in groups:
        known = codes[:, group] != UNKNOWN
        believed, truth = belief[:, group][known], codes[:, group][known] == POSITIVE
        allowed = int(denied * truth.sum())
        found.positive[group] = _lowest(believed, truth, positive_precision, deviations, len(truth))
        found.negative[group] = -_lowest(-believed, ~truth, negative_precision, deviations, allowed)
        found.positive_basis[group] = found.negative_basis[group] = basis
    crossed = found.negative >= found.positive
    found.negative[crossed] = np.nextafter(found.positive[crossed], -np.inf)
    return found


def wilson_lower(right: NDArray[np.int64], total: NDArray[np.int64], deviations: float) -> NDArray[np.float64]:
    """Lower Wilson bound of a share, ``deviations`` standard deviations down; 0 for a total of 0 (Wilson 1927)."""
    count = np.maximum(np.asarray(total, dtype=np.float64), 1e-12)
    share, z = right / count, deviations
    centre = share + z * z / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return np.asarray(np.where(total > 0, (centre - spread) / (1 + z * z / count), 0.0))


def _lowest(
    score: NDArray[np.float64], right: NDArray[np.bool_], wanted: float, deviations: float, wrong: int
) -> float:
    """The lowest score from which on enough are right and at most ``wrong`` are not; +inf if there is none.

    Equal scores stand or fall together.
    """
    order = np.argsort(-score, kind="stable")
    score, right = score[order], right[order]
    total = np.arange(1, len(score) + 1)
    bound = wilson_lower(np.cumsum(right), total, deviations)
    last_of_equal = np.append(score[1:] != score[:-1], True)
    good = np.flatnonzero((bound >= wanted) & (np.cumsum(~right) <= wrong) & last_of_equal)
    return float(score[good[-1]]) if len(good) else float("inf")
