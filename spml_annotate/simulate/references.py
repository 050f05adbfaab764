"""Which losses can be compared on stored features, and which of them are references: told more than people say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.training.inputs import resolve

ALL_NEGATIVES = "every true negative"
ONE_NEGATIVE = "a true negative per image"


def every_loss() -> tuple[str, ...]:
    """All losses that train on stored features, in the order of the registry."""
    return tuple(name for name in LOSSES if not resolve(name).unsupplied)


def left_out() -> dict[str, tuple[str, ...]]:
    """The other losses, each with the inputs that stored features do not give."""
    missing = {name: resolve(name).unsupplied for name in LOSSES}
    return {name: inputs for name, inputs in missing.items() if inputs}


def told(loss: str) -> str:
    """What a reference is told beyond the answers of people; empty for a method that learns from answers alone."""
    facts = LOSSES[loss].facts
    if facts["oracle"]:
        return ALL_NEGATIVES
    return ONE_NEGATIVE if facts["needs_negatives"] else ""


def drawn_negatives(truth: NDArray[np.int8], seed: int) -> NDArray[np.int64]:
    """One true negative of every image, int64 [N], drawn evenly; -1 for an image that has none.

    Args:
        truth: int8 [N, L], complete.
    """
    chance = np.where(truth == NEGATIVE, np.random.default_rng(seed).random(truth.shape), -1.0)
    return np.where(chance.max(axis=1) >= 0.0, chance.argmax(axis=1), -1)


def with_told(
    loss: str, codes: NDArray[np.int8], truth: NDArray[np.int8], drawn: NDArray[np.int64]
) -> NDArray[np.int8]:
    """What a loss trains on: the codes, and for a reference what it is told about images with a known positive.

    One negative is told of images of which no negative is known yet, so that a reference of that kind can start from
    one positive per image as its paper does.

    Args:
        codes: int8 [N, L], what people said. drawn: `drawn_negatives`.
    """
    what = told(loss)
    if not what:
        return codes
    named = (codes == POSITIVE).any(axis=1)
    if what == ALL_NEGATIVES:
        return np.where((codes == UNKNOWN) & (truth == NEGATIVE) & named[:, None], np.int8(NEGATIVE), codes)
    rows = np.flatnonzero(named & ~(codes == NEGATIVE).any(axis=1) & (drawn >= 0))
    added = codes.copy()
    added[rows, drawn[rows]] = NEGATIVE
    return added
