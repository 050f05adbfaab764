"""Who labelled the exported images, how long it took, and what may have bent their answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import POSITIVE, LabelMatrix
from spml_annotate.project.reporting import image_kinds
from spml_annotate.project.sample import checked_sample
from spml_annotate.propose.estimating import wilson
from spml_annotate.workspace import Workspace

IMPORT = "import:"
SHOWN = 5
"""Classes that are named as examples."""


@dataclass(frozen=True)
class People:
    """Standing answers about the exported images.

    ``annotators`` are (name, answers), most answers first; ``imported`` the same by file. ``shown`` of ``told`` answers
    yes or no were given while a proposal for the cell was shown. ``newest`` is the Unix time of the newest answer that
    has one. ``hours`` include answers that were changed or taken back.
    """

    annotators: tuple[tuple[str, int], ...]
    imported: tuple[tuple[str, int], ...]
    hours: float
    told: int
    shown: int
    unsure: int
    newest: float

    @property
    def day(self) -> str:
        """Date of the newest answer (UTC), empty if no answer has a time."""
        return datetime.fromtimestamp(self.newest, UTC).strftime("%Y-%m-%d") if self.newest > 0 else ""


def people_of(workspace: Workspace, rows: NDArray[np.int64]) -> People:
    """Count who said what of the images in ``rows``."""
    inside = np.zeros(len(workspace.images), dtype=bool)
    inside[rows] = True
    folded = workspace.folded()
    log, told = folded.log, folded.told()
    standing = folded.standing[inside[log.rows[folded.standing]]]
    told = told[inside[log.rows[told]]]
    files = np.array([name.startswith(IMPORT) for name in log.source_names], dtype=bool)
    by_file = files[log.sources[standing]]
    names = [name.removeprefix(IMPORT) for name in log.source_names]
    return People(
        annotators=_ordered(_counted(log.annotators[standing[~by_file]], log.annotator_names)),
        imported=_ordered(_counted(log.sources[standing[by_file]], names)),
        hours=float(log.seconds[inside[log.rows]].sum()) / 3600.0,
        told=len(told),
        shown=int(log.shown[told].sum()),
        unsure=len(standing) - len(told),
        newest=max(0.0, float(log.times[standing].max(initial=0.0))),
    )


def biases(workspace: Workspace, rows: NDArray[np.int64], people: People, conflicts: int) -> Iterator[str]:
    """What is known to bend the labels, one sentence each."""
    yield _of_shown(people)
    cells = workspace.folded().matrix
    matrix = LabelMatrix.from_dense(cells.dense(rows)) if len(rows) else cells
    kinds = image_kinds(matrix) if len(rows) else {"SPL": 0}
    if kinds["SPL"]:
        yield (
            f"First-label bias: of {kinds['SPL']} of {len(rows)} images only one positive is known. People name the "
            "largest, most central or most nameable thing first, so that classes which stand out are over-represented "
            "there; a class that is not named is unknown, not absent."
        )
        yield from _named_first(workspace, matrix)
    said = np.zeros(len(workspace.images), dtype=bool)
    folded = workspace.folded()
    said[folded.log.rows[folded.standing]] = True
    unseen = int((~said[rows]).sum())
    if unseen:
        yield f"Nobody has looked at {unseen} of {len(rows)} images."
    if people.unsure:
        times = f"{people.unsure} times"
        yield f"Annotators could not tell ({times}); such cells are unknown not by chance, but because they are hard."
    if conflicts:
        policy = workspace.settings.policy
        yield f"Annotators disagree (cells: {conflicts}); the policy `{policy}` has settled them or left them unknown."
    elif len(people.annotators) == 1 and not people.imported:
        yield "One annotator gave all the answers: nothing tells of mistakes that this person makes."


def _of_shown(people: People) -> str:
    if not people.told:
        return "There are no answers of people."
    percent = 100 * people.shown / people.told
    if not people.shown:
        return f"No answer of {people.told} was given while a proposal was shown."
    return (
        f"{people.shown} of {people.told} answers ({percent:.1f} %) were given while a proposal for the class was "
        "shown; people tend to agree with what they are shown."
    )


def _named_first(workspace: Workspace, matrix: LabelMatrix) -> Iterator[str]:
    """Classes whose share of the positives named alone lies clearly off their share of a checked sample's positives."""
    sample = checked_sample(workspace)
    if not sample.enough:
        return
    rows, labels, values = matrix.cells()
    single = np.bincount(rows, minlength=matrix.shape[0]) == 1
    named = np.bincount(labels[(values == POSITIVE) & single[rows]], minlength=matrix.shape[1])
    there = (sample.codes == POSITIVE).sum(axis=0)
    of_named, of_there = np.full_like(named, named.sum()), np.full_like(there, there.sum())
    (named_low, named_high), (low, high) = wilson(named, of_named), wilson(there, of_there)
    for words, distance in (("more", named_low - high), ("less", low - named_high)):
        far = [label for label in np.argsort(-distance, kind="stable")[:SHOWN].tolist() if distance[label] > 0]
        if far:
            parts = (f"{plain(workspace.taxonomy.names[c])} ({named[c]} against {there[c]})" for c in far)
            yield (
                f"Named alone {words} often than a checked sample shows them (of {named.sum()} such labels, against "
                f"{there.sum()} checked positives): {', '.join(parts)}."
            )


def plain(text: str) -> str:
    """A name that cannot break a table or a line of Markdown, and looks as it is written."""
    for sign in "\\|`*_<>[]#~&$":
        text = text.replace(sign, "\\" + sign)
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", " ".join(text.split()))  # no list inside a list


def _counted(numbers: NDArray[np.int32], names: Sequence[str]) -> Counter[str]:
    counts = np.bincount(numbers, minlength=len(names)).tolist()
    return Counter({name: count for name, count in zip(names, counts, strict=True) if count})


def _ordered(counter: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
