"""Which one positive does a hurried annotator name?

Label bias as in Arroyo, Perona & Cole, "Understanding Label Bias in Single Positive Multi-Label Learning", ICLR tiny
papers 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.dataset import Boxes
from spml_annotate.labels import POSITIVE, Codes

Bias = Literal["uniform", "frequency", "size", "location"]
BIASES: tuple[str, ...] = get_args(Bias)

CENTRE_FLOOR = 0.0005
"""Distance from the middle of the picture below which a box counts as being there (the published constant)."""

_BLOCK = 4096
_Floats = NDArray[np.float64]


def single_positives(
    truth: Codes,
    rows: Sequence[int] | NDArray[np.int64],
    *,
    seed: int,
    bias: Bias = "uniform",
    boxes: Boxes | None = None,
) -> NDArray[np.int64]:
    """One positive class per row, int64 [R]; -1 for a row without positives.

    A row's pick depends on the seed and the row alone, not on which other rows are asked for.

    Args:
        truth: int8 [N, L]; only POSITIVE cells can be picked.
        rows: rows of ``truth`` asked for.
        seed: any integer.
        bias: weight of a class among the positives of a row: ``uniform`` 1; ``frequency`` the number of rows of
            ``truth`` that carry the class; ``size`` its share of the row's box area; ``location`` the sum over its
            boxes of 1 / distance of the box's middle to the picture's, in shares of width and height, at least 0.0005.
            Where all positives of a row weigh nothing (no boxes), all weigh the same.
        boxes: needed for ``size`` and ``location``.

    Raises:
        SettingError: for an unknown bias. DataError: if the bias needs boxes and there are none.
    """
    if bias not in BIASES:
        raise SettingError(f"there is no label bias {bias!r}; choose from: {', '.join(BIASES)}")
    rows = np.asarray(rows, dtype=np.int64)
    weigh = _weights(truth, bias, boxes)
    chance = _chance(seed, rows)
    picks = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        picks[part] = _pick(truth[rows[part]] == POSITIVE, weigh(rows[part]), chance[part])
    return picks


def _pick(positive: NDArray[np.bool_], weights: _Floats, chance: _Floats) -> NDArray[np.int64]:
    """Position of ``chance`` in the cumulated weights of each row's positives."""
    weights = np.where(positive, weights, 0.0)
    weightless = weights.sum(1) == 0.0
    weights[weightless] = positive[weightless]
    total = np.cumsum(weights, axis=1)
    # rounding could put the target on the last step itself, where no class is left: it stays just below
    target = np.minimum(chance * total[:, -1], np.nextafter(total[:, -1], 0.0))
    picks = (total <= target[:, None]).sum(1)
    return np.where(positive.any(1), picks, -1)


def _weights(truth: Codes, bias: Bias, boxes: Boxes | None) -> Callable[[NDArray[np.int64]], _Floats]:
    """Rows → weights [R, L]."""
    classes = truth.shape[1]
    if bias in ("uniform", "frequency"):
        frequency = (truth == POSITIVE).sum(0).astype(np.float64)
        weights = frequency if bias == "frequency" else np.ones(classes)
        return lambda rows: np.broadcast_to(weights, (len(rows), classes))
    if boxes is None:
        raise DataError(f"label bias {bias!r} needs the objects' boxes, which this data set lacks; use 'uniform'")
    order = np.argsort(boxes.rows, kind="stable")
    owners, labels = boxes.rows[order], boxes.labels[order]
    weight = (_areas if bias == "size" else _nearness)(boxes.corners[order].astype(np.float64))

    def of_boxes(rows: NDArray[np.int64]) -> _Floats:
        first, last = np.searchsorted(owners, rows, "left"), np.searchsorted(owners, rows, "right")
        counts = last - first
        place = np.repeat(np.arange(len(rows)), counts)
        box = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        table = np.zeros((len(rows), classes))
        np.add.at(table, (place, labels[box]), weight[box])
        return table

    return of_boxes


def _areas(corners: _Floats) -> _Floats:
    """Box areas; the row's total, by which the share would divide, is the same for all its classes."""
    return np.asarray(np.maximum(corners[:, 2:] - corners[:, :2], 0.0).prod(axis=1))


def _nearness(corners: _Floats) -> _Floats:
    middle = (corners[:, :2] + corners[:, 2:]) / 2.0 - 0.5
    return np.asarray(1.0 / np.maximum(np.hypot(middle[:, 0], middle[:, 1]), CENTRE_FLOOR))


def _chance(seed: int, rows: NDArray[np.int64]) -> _Floats:
    """A number in [0, 1) for each (seed, row): splitmix64 (Steele, Lea & Flood 2014) as a hash, 53 bits of it."""
    start = _mix(np.array([seed % 2**64], dtype=np.uint64))
    bits = _mix(start + rows.astype(np.uint64)) >> np.uint64(11)
    return np.asarray(bits.astype(np.float64) * 2.0**-53, dtype=np.float64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
