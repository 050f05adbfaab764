"""Suggestions: cells that nobody has answered, with a value, a score and who spoke for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, Rows
from spml_annotate.propose.evidence import Evidence
from spml_annotate.propose.explained import explain
from spml_annotate.propose.thresholds import Thresholds, default_thresholds

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Proposal(NamedTuple):
    """A suggestion about one cell; never a fact.

    ``value`` is POSITIVE or NEGATIVE (expected), ``score`` the belief in [0, 1] that the class is ON the image (low
    for an expected negative), ``sources`` the belief of each source that had something to say.
    """

    row: int
    label: int
    value: int
    score: float
    sources: Mapping[str, float]
    proposer: str


@dataclass(frozen=True, eq=False)
class Proposals:
    """M proposals by column, ordered by place in the rows asked for, then label; iterating yields `Proposal`.

    Args:
        rows: int64 [M]; labels: int64 [M]; values: int8 [M]; scores: float32 [M].
        sources: source → float32 [M], NaN where it had nothing to say.
        proposer: name of the proposer.
    """

    rows: Rows
    labels: Rows
    values: Codes
    scores: NDArray[np.float32]
    sources: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    proposer: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Proposal]:
        return (self.at(number) for number in range(len(self)))

    def at(self, number: int) -> Proposal:
        """One proposal as an object."""
        spoken = {
            name: float(column[number]) for name, column in self.sources.items() if column[number] == column[number]
        }
        return Proposal(
            int(self.rows[number]),
            int(self.labels[number]),
            int(self.values[number]),
            float(self.scores[number]),
            spoken,
            self.proposer,
        )

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Proposals:
        """The proposals under a mask [M] or at some places, in that order."""
        return Proposals(
            self.rows[chosen],
            self.labels[chosen],
            self.values[chosen],
            self.scores[chosen],
            {name: column[chosen] for name, column in self.sources.items()},
            self.proposer,
        )

    @property
    def positives(self) -> Proposals:
        """Expected positives only."""
        return self.select(self.values == POSITIVE)

    @property
    def negatives(self) -> Proposals:
        """Expected negatives only."""
        return self.select(self.values == NEGATIVE)


def propose(
    evidence: Evidence,
    rows: Rows | None = None,
    *,
    proposer: str = "combined",
    settings: Mapping[str, object] = _NOTHING,
    thresholds: Thresholds | None = None,
    block: int = 4096,
) -> Proposals:
    """Expected positives and expected negatives among the unknown cells of some images.

    Memory beyond the result is a few tables of ``block`` x L; where the result itself is too large, see
    `propose_blocks`.

    Args:
        evidence: what is known and believed.
        rows: images, each once; all by default.
        proposer: name in `PROPOSERS`.
        settings: settings of the proposer.
        thresholds: per class; `default_thresholds` if None.
        block: images looked at together.

    Raises:
        SettingError: for an unknown proposer or setting. DataError: for a row that is not there.
        MismatchError: for thresholds of another number of classes.
    """
    parts = propose_blocks(evidence, rows, proposer=proposer, settings=settings, thresholds=thresholds, block=block)
    return _joined(list(parts), proposer)


def propose_blocks(
    evidence: Evidence,
    rows: Rows | None = None,
    *,
    proposer: str = "combined",
    settings: Mapping[str, object] = _NOTHING,
    thresholds: Thresholds | None = None,
    block: int = 4096,
) -> Iterator[Proposals]:
    """`propose`, one block of images after the other; at least one block, be it empty."""
    count, classes = evidence.shape
    wanted = np.arange(count) if rows is None else np.asarray(rows, dtype=np.int64)
    limits = default_thresholds(classes) if thresholds is None else thresholds
    if limits.positive.shape != (classes,):
        raise MismatchError(f"thresholds are for {len(limits.positive)} classes, the evidence has {classes}")
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < count:
        raise DataError(f"proposals were asked for row {wanted.max()}; there are {count} images")
    if block < 1:
        raise SettingError(f"block is {block}; it must be at least 1")
    return _blocks(evidence, wanted, proposer, settings, limits, block)


def _blocks(
    evidence: Evidence, rows: Rows, proposer: str, settings: Mapping[str, object], limits: Thresholds, block: int
) -> Iterator[Proposals]:
    for start in range(0, max(len(rows), 1), block):
        chosen = rows[start : start + block]
        belief, sources = explain(evidence, chosen, proposer, settings)
        unknown = evidence.labels.dense(chosen) == UNKNOWN
        heard = np.zeros(belief.shape, dtype=bool)
        for column in sources.values():
            heard |= ~np.isnan(column)
        values = np.full(belief.shape, UNKNOWN, dtype=np.int8)
        values[belief <= limits.negative] = NEGATIVE
        values[belief >= limits.positive] = POSITIVE
        place, label = np.nonzero((values != UNKNOWN) & unknown & heard)
        yield Proposals(
            chosen[place],
            label.astype(np.int64),
            values[place, label],
            belief[place, label],
            {name: column[place, label] for name, column in sources.items()},
            proposer,
        )


def _joined(parts: Iterable[Proposals], proposer: str) -> Proposals:
    parts = list(parts)
    return Proposals(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.scores for part in parts]),
        {name: np.concatenate([part.sources[name] for part in parts]) for name in parts[0].sources},
        proposer,
    )
