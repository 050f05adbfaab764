"""Belief from prototypes: the known positives that an image resembles vote for what else is on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import SettingError
from spml_annotate.labels import POSITIVE, UNKNOWN, Rows
from spml_annotate.propose import PROPOSERS
from spml_annotate.propose.answered import answered_images
from spml_annotate.propose.bank import Bank, prototype_bank
from spml_annotate.propose.evidence import Evidence
from spml_annotate.propose.space import Vectors

SCALE_ROWS = 512
"""So many images, drawn by content, tell how large votes must be for their sum to be the expected positives."""

BLOCK = 512


def silent_classes(evidence: Evidence) -> NDArray[np.bool_]:
    """Classes about which prototypes have nothing to say because nobody named a positive of them, [L]."""
    return np.asarray(evidence.labels.count(POSITIVE) == 0)


@PROPOSERS.register("prototypes", silent=silent_classes)
def prototypes(
    evidence: Evidence,
    rows: Rows,
    *,
    per_class: int = 8,
    neighbours: int = 100,
    temperature: float = 1.0,
    size_power: float = 0.5,
    prior_weight: float = 0.1,
    reach: float = 1.0,
    exact_limit: int = 50_000,
) -> NDArray[np.float32]:
    """The nearest prototypes vote for the classes that they are of; answered images nearby confirm or object.

    A prototype of similarity s that stands for m positives has weight m^size_power · exp(s / (temperature · spread)),
    spread being the standard deviation of similarities. The shares of the vote sum to 1 over the classes and are
    multiplied by the expected number of positives (k), and by one factor that makes the unknown cells of all images
    sum to the positives still expected there. Where images with known negatives are near, their yes and no answers
    outweigh that belief as if it rested on ``prior_weight`` answers.

    Args:
        evidence: what is known of N images.
        rows: R of them.
        per_class: prototypes of a class at most; a class with fewer positives uses their features.
        neighbours: prototypes that vote, and answered images that speak.
        temperature: in spreads of the similarity.
        size_power: 0 counts a large cluster like a small one, 1 counts its members.
        prior_weight: answers that the vote is worth against answered neighbours.
        reach: how near an answered image must be to count, in spreads of the similarity.
        exact_limit: number of vectors from which an approximate index is used.

    Returns:
        Belief float32 [R, L] in [0, 1]; 0 for classes without a known positive, about which there is nothing to say.

    Raises:
        SettingError: for a setting out of range.
    """
    for name, value in (("per_class", per_class), ("neighbours", neighbours), ("exact_limit", exact_limit)):
        if value < 1:
            raise SettingError(f"prototypes.{name} is {value}; it must be at least 1")
    for name, number in (("temperature", temperature), ("prior_weight", prior_weight), ("reach", reach)):
        if not number > 0:
            raise SettingError(f"prototypes.{name} is {number}; it must be greater than 0")
    bank = prototype_bank(evidence, per_class=per_class, exact_limit=exact_limit)
    poll = Poll(bank, neighbours, temperature, size_power, prior_weight, reach, exact_limit)
    scale = evidence.keep(("scale", per_class, *poll[1:]), lambda: _scale(poll))
    rows = np.asarray(rows, dtype=np.int64)
    belief = np.zeros((len(rows), evidence.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        belief[block] = np.minimum(scale * _heard(poll, rows[block]), 1.0)
    return belief


class Poll(NamedTuple):
    """A bank and how it is asked."""

    bank: Bank
    neighbours: int
    temperature: float
    size_power: float
    prior_weight: float
    reach: float
    exact_limit: int


def _heard(poll: Poll, rows: Rows) -> NDArray[np.float64]:
    """Belief before scaling, float64 [R, L]: the vote, or its mean with the answers nearby."""
    evidence = poll.bank.space.evidence
    vectors = poll.bank.space.vectors(rows)
    chance = np.minimum(evidence.expected_positives * _votes(poll, rows, vectors), 1.0)
    answered = answered_images(evidence, exact_limit=poll.exact_limit)
    if answered is None:
        return chance
    yes, no = answered.weigh(rows, vectors, poll.neighbours, poll.reach * poll.bank.spread)
    return np.where(silent_classes(evidence), 0.0, (poll.prior_weight * chance + yes) / (poll.prior_weight + yes + no))


def _votes(poll: Poll, rows: Rows, vectors: Vectors) -> NDArray[np.float64]:
    """Vote shares float64 [R, L], summing to 1 over the classes (0 where there is no prototype)."""
    bank = poll.bank
    shares = np.zeros((len(rows), bank.space.evidence.shape[1]))
    similarity, position = bank.nearest(rows, vectors, poll.neighbours)
    if not similarity.size:
        return shares
    spoken = position >= 0
    best = similarity.max(axis=1, keepdims=True, initial=-1.0, where=spoken)
    weight = np.exp(np.minimum(similarity - best, 0.0) / (poll.temperature * bank.spread)) * spoken
    weight *= bank.counts[position] ** poll.size_power
    np.add.at(shares, (np.arange(len(rows))[:, None], bank.labels[position]), weight)
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=shares, where=total > 0))


def _scale(poll: Poll) -> float:
    """What beliefs are multiplied by: positives still expected on unknown cells, over what is believed there."""
    evidence = poll.bank.space.evidence
    rows = poll.bank.space.sample(np.arange(evidence.shape[0]), SCALE_ROWS)
    codes = evidence.labels.dense(rows)
    open_rows = (codes == UNKNOWN).any(axis=1)
    rows, codes = rows[open_rows], codes[open_rows]
    expected = evidence.expected_positives * len(rows)
    # Late in a project more positives may be known than were expected; a tenth is always held possible.
    remaining = max(expected - float((codes == POSITIVE).sum()), 0.1 * expected)
    believed = float((_heard(poll, rows) * (codes == UNKNOWN)).sum())
    return remaining / believed if believed > 0 else 1.0
