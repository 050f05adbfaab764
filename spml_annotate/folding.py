"""From a log of answers to one value per cell: the last word of each annotator, then a policy between annotators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
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


def standing_words(log: Iterable[Observation]) -> dict[tuple[int, int, str], list[Word]]:
    """(row, label, annotator) → everything that the annotator said of the cell and has not taken back, oldest first.

    A retract that names a question takes back that question's last word and, when there is none left, nothing: undone
    twice is undone once. A retract that names no question takes back the annotator's last word.
    """
    stacks: dict[tuple[int, int, str], list[Word]] = {}
    for position, observation in enumerate(log):
        stack = stacks.setdefault((observation.row, observation.label, observation.annotator), [])
        if observation.answer != "retract":
            stack.append(Word(position, observation))
        else:
            _take_back(stack, observation.question)
    return stacks


def _take_back(stack: list[Word], question: str) -> None:
    for place in reversed(range(len(stack))):
        if not question or stack[place].observation.question == question:
            del stack[place]
            return


def retractions(log: Iterable[Observation], question: str, *, time: float = 0.0) -> list[Observation]:
    """The retract observations that take back every standing answer to a question, in the order of the answers.

    Appending them undoes the question. Their event ids follow from the answers', so undoing it twice (two processes,
    a redelivery) is undoing it once.
    """
    standing = sorted(
        word for stack in standing_words(log).values() for word in stack if word.observation.question == question
    )
    return [
        said._replace(answer="retract", seconds=0.0, time=time, event=f"retract:{said.event}") for _, said in standing
    ]


def last_words(log: Iterable[Observation]) -> dict[tuple[int, int], tuple[Word, ...]]:
    """What each annotator last said of each cell (any answer but retract); a retract restores the word before it."""
    words: dict[tuple[int, int], list[Word]] = {}
    for (row, label, _), stack in standing_words(log).items():
        if stack:
            words.setdefault((row, label), []).append(stack[-1])
    return {cell: tuple(sorted(said)) for cell, said in words.items()}


def fold(log: Iterable[Observation], shape: tuple[int, int], policy: Policy = "unanimous") -> Folded:
    """Fold a log into a `LabelMatrix` of the given shape (N, L).

    ``unanimous``: annotators who disagree give UNKNOWN; ``majority``: the larger side, UNKNOWN on a tie; ``last``: the
    latest word; ``dawid-skene``: where annotators disagree, the likelier value under each annotator's error rates,
    UNKNOWN between 0.4 and 0.6. The rates are estimated from all cells with several annotators (Dawid & Skene 1979,
    binary; every annotator starts with the credit of four right answers in five, for positives and for negatives).
    A single answer is no evidence of its annotator's errors and keeps its value, as everything unanimous does.

    Raises:
        SettingError: for an unknown policy. DataError: for an observation outside the table.
    """
    if policy not in POLICIES:
        raise SettingError(f"there is no policy {policy!r}; choose from: {', '.join(POLICIES)}")
    words = last_words(log)
    for row, label in words:
        if row >= shape[0] or label >= shape[1]:
            raise DataError(
                f"the log speaks of image {row}, class {label}: outside the table of {shape[0]} images x "
                f"{shape[1]} classes; is it the log of another project?"
            )
    said = {
        cell: answers
        for cell, spoken in words.items()
        if (answers := [w for w in spoken if w.observation.answer in ("yes", "no")])
    }
    values = {cell: _decide(answers, policy) for cell, answers in said.items()}
    if policy == "dawid-skene":
        several = {cell: answers for cell, answers in said.items() if len(answers) > 1}
        estimated = _dawid_skene(several)
        values.update((cell, estimated[cell]) for cell in several if values[cell] == UNKNOWN)
    cells = [(row, label, value) for (row, label), value in values.items() if value != UNKNOWN]
    table = np.array(cells, dtype=np.int64).reshape(-1, 3)
    matrix = LabelMatrix.from_cells(table[:, 0], table[:, 1], table[:, 2].astype(np.int8), shape)
    return Folded(matrix, words)


_CODE = {"yes": POSITIVE, "no": NEGATIVE}


def fold_matrix(log: Iterable[Observation], shape: tuple[int, int], policy: Policy = "unanimous") -> LabelMatrix:
    """The matrix of `fold` alone, several times faster where most cells were answered once (bulk imports, simulation).

    Cells with a single observation need no policy and are read as columns; the others go through `fold`.
    """
    said = list(log)
    cells = np.fromiter((o.row * shape[1] + o.label for o in said), np.int64, len(said))
    outside = any(o.label >= shape[1] for o in said)
    _, place, count = np.unique(cells, return_inverse=True, return_counts=True)
    single = count[place] == 1
    contested = fold(said if outside else [said[i] for i in np.flatnonzero(~single)], shape, policy).matrix
    codes = np.fromiter((_CODE.get(o.answer, UNKNOWN) for o in said), np.int8, len(said))
    plain = single & (codes != UNKNOWN)
    rows, labels, values = contested.cells()
    return LabelMatrix.from_cells(
        np.concatenate((cells[plain] // shape[1], rows)),
        np.concatenate((cells[plain] % shape[1], labels)),
        np.concatenate((codes[plain], values)),
        shape,
    )


def _decide(words: list[Word], policy: Policy) -> int:
    if policy == "last":
        return POSITIVE if words[-1].observation.answer == "yes" else NEGATIVE
    yes = sum(w.observation.answer == "yes" for w in words)
    no = len(words) - yes
    if (policy != "majority" and yes and no) or yes == no:
        return UNKNOWN
    return POSITIVE if yes > no else NEGATIVE


def _dawid_skene(said: dict[tuple[int, int], list[Word]]) -> dict[tuple[int, int], int]:
    cells = list(said)
    names = {w.observation.annotator for words in said.values() for w in words}
    annotators = {name: number for number, name in enumerate(sorted(names))}
    item = np.array([i for i, cell in enumerate(cells) for _ in said[cell]], dtype=np.int64)
    who = np.array([annotators[w.observation.annotator] for cell in cells for w in said[cell]], dtype=np.int64)
    yes = np.array([w.observation.answer == "yes" for cell in cells for w in said[cell]], dtype=np.bool_)
    belief = believed(item, who, yes)
    return {
        cell: POSITIVE if p >= 0.6 else NEGATIVE if p <= 0.4 else UNKNOWN for cell, p in zip(cells, belief, strict=True)
    }


def believed(
    item: NDArray[np.integer], who: NDArray[np.integer], yes: NDArray[np.bool_], rounds: int = 30
) -> NDArray[np.float64]:
    """Probability of yes for each of C cells under the annotators' error rates (Dawid & Skene); see `fold`.

    Args:
        item: number of the cell of each word, from 0 to C-1, each at least once.
        who: number of its annotator.
        yes: whether the word is yes.
        rounds: EM steps.
    """
    if not len(item):
        return np.zeros(0)
    said = yes.astype(np.float64)
    belief = np.asarray(np.bincount(item, said) / np.bincount(item))
    for _ in range(rounds):
        belief = _reestimate(belief, item, who, said, int(who.max()) + 1)
    return belief


def _reestimate(
    belief: NDArray[np.float64],
    item: NDArray[np.integer],
    who: NDArray[np.integer],
    yes: NDArray[np.float64],
    count: int,
) -> NDArray[np.float64]:
    """One EM step: annotators' rates from the beliefs, then the beliefs from the rates."""

    def rate(weight: NDArray[np.float64], credit: float) -> NDArray[np.float64]:
        total = np.bincount(who, weight, count)
        return np.asarray((np.bincount(who, weight * yes, count) + credit) / (total + 5.0))

    hit, false_yes = rate(belief[item], 4.0), rate(1.0 - belief[item], 1.0)
    prior = (belief.sum() + 1.0) / (len(belief) + 2.0)
    ratio = np.where(yes > 0, np.log(hit / false_yes)[who], np.log((1 - hit) / (1 - false_yes))[who])
    odds = np.log(prior / (1 - prior)) + np.bincount(item, ratio, len(belief))
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -50, 50))))
