"""From a log of answers to one value per cell: the last word of each annotator, then a policy between annotators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix, Observation

Policy = Literal["unanimous", "majority", "last", "dawid-skene"]
POLICIES: tuple[str, ...] = get_args(Policy)


class Conflict(NamedTuple):
    """Annotators said both yes and no about one cell."""

    row: int
    label: int
    yes: tuple[str, ...]
    no: tuple[str, ...]


class Word(NamedTuple):
    """The last word of one annotator about one cell, ``position`` being its place in the log."""

    position: int
    observation: Observation


@dataclass(frozen=True)
class Folded:
    """Result of a fold: the matrix, and the words it was made of, cell by cell, in the order of the log."""

    matrix: LabelMatrix
    words: dict[tuple[int, int], tuple[Word, ...]]

    def conflicts(self) -> list[Conflict]:
        """Cells about which annotators disagree, whatever the policy made of them, ordered by row and label."""
        found = []
        for (row, label), words in sorted(self.words.items()):
            yes = tuple(w.observation.annotator for w in words if w.observation.answer == "yes")
            no = tuple(w.observation.annotator for w in words if w.observation.answer == "no")
            if yes and no:
                found.append(Conflict(row, label, yes, no))
        return found


def last_words(log: Iterable[Observation]) -> dict[tuple[int, int], tuple[Word, ...]]:
    """What each annotator last said of each cell (any answer but retract); a retract restores the word before it."""
    stacks: dict[tuple[int, int, str], list[Word]] = {}
    for position, observation in enumerate(log):
        stack = stacks.setdefault((observation.row, observation.label, observation.annotator), [])
        if observation.answer != "retract":
            stack.append(Word(position, observation))
        elif stack:
            stack.pop()
    words: dict[tuple[int, int], list[Word]] = {}
    for (row, label, _), stack in stacks.items():
        if stack:
            words.setdefault((row, label), []).append(stack[-1])
    return {cell: tuple(sorted(said)) for cell, said in words.items()}


def fold(log: Iterable[Observation], shape: tuple[int, int], policy: Policy = "unanimous") -> Folded:
    """Fold a log into a `LabelMatrix` of the given shape (N, L).

    ``unanimous``: annotators who disagree give UNKNOWN; ``majority``: the larger side, UNKNOWN on a tie; ``last``: the
    latest word; ``dawid-skene``: the likelier value under annotator error rates estimated from the whole log
    (Dawid & Skene 1979, binary, with add-one smoothing), UNKNOWN between 0.4 and 0.6.

    Raises:
        SettingError: for an unknown policy. DataError: for an observation outside the table.
    """
    if policy not in POLICIES:
        raise SettingError(f"there is no policy {policy!r}; choose from: {', '.join(POLICIES)}")
    words = last_words(log)
    said = {
        cell: answers
        for cell, spoken in words.items()
        if (answers := [w for w in spoken if w.observation.answer in ("yes", "no")])
    }
    values = _dawid_skene(said) if policy == "dawid-skene" else {c: _decide(s, policy) for c, s in said.items()}
    cells = [(row, label, value) for (row, label), value in values.items() if value != UNKNOWN]
    table = np.array(cells, dtype=np.int64).reshape(-1, 3)
    matrix = LabelMatrix.from_cells(table[:, 0], table[:, 1], table[:, 2].astype(np.int8), shape)
    return Folded(matrix, words)


def _decide(words: list[Word], policy: Policy) -> int:
    if policy == "last":
        return POSITIVE if words[-1].observation.answer == "yes" else NEGATIVE
    yes = sum(w.observation.answer == "yes" for w in words)
    no = len(words) - yes
    if policy == "unanimous" and yes and no:
        return UNKNOWN
    if yes == no:
        return UNKNOWN
    return POSITIVE if yes > no else NEGATIVE


def _dawid_skene(said: dict[tuple[int, int], list[Word]], rounds: int = 30) -> dict[tuple[int, int], int]:
    cells = list(said)
    names = {w.observation.annotator for words in said.values() for w in words}
    annotators = {name: number for number, name in enumerate(sorted(names))}
    item = np.array([i for i, cell in enumerate(cells) for _ in said[cell]], dtype=np.int64)
    who = np.array([annotators[w.observation.annotator] for cell in cells for w in said[cell]], dtype=np.int64)
    yes = np.array([w.observation.answer == "yes" for cell in cells for w in said[cell]], dtype=np.float64)
    if not len(cells):
        return {}
    belief = np.bincount(item, yes, len(cells)) / np.bincount(item, minlength=len(cells))
    for _ in range(rounds):
        belief = _reestimate(belief, item, who, yes, len(annotators))
    return {
        cell: POSITIVE if p >= 0.6 else NEGATIVE if p <= 0.4 else UNKNOWN for cell, p in zip(cells, belief, strict=True)
    }


def _reestimate(
    belief: NDArray[np.float64], item: NDArray[np.int64], who: NDArray[np.int64], yes: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """One EM step: annotators' rates from the beliefs, then the beliefs from the rates."""

    def rate(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(who, weight, count)
        return np.asarray((np.bincount(who, weight * yes, count) + 1.0) / (total + 2.0))

    hit, false_yes = rate(belief[item]), rate(1.0 - belief[item])
    prior = (belief.sum() + 1.0) / (len(belief) + 2.0)
    ratio = np.where(yes > 0, np.log(hit / false_yes)[who], np.log((1 - hit) / (1 - false_yes))[who])
    odds = np.log(prior / (1 - prior)) + np.bincount(item, ratio, len(belief))
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -50, 50))))
