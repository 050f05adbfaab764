"""The table of labels that an export consists of: what people said, what is proposed, believed or assumed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.folding_columns import YES
from spml_annotate.formats.dataset import SPLITS
from spml_annotate.formats.export import HUMAN, PROPOSAL, LabelTable, order_of_cells
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.project.exporting.choices import Choices
from spml_annotate.project.proposing import Proposed
from spml_annotate.project.scoring import read_scores, require_model
from spml_annotate.propose.proposals import Proposals
from spml_annotate.workspace import Workspace

MODEL = PROPOSAL + "model"
"""Source of soft labels: the probability that the model gives a cell which nobody answered and nothing proposes."""
ASSUMED = PROPOSAL + "assumed-negative"
"""Source of negatives that are only assumed, because nothing is known of the cell."""


class Said(NamedTuple):
    """A person's word on a cell."""

    row: int
    label: int
    value: int
    annotator: str
    time: float
    shown: bool


class Columns(NamedTuple):
    """Labels by column, as in a `LabelTable`."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    values: NDArray[np.int8]
    sources: NDArray[np.object_]
    scores: NDArray[np.float64]
    annotators: NDArray[np.object_]
    times: NDArray[np.float64]
    shown: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Content:
    """What is exported: the table, the project's row of each of its images, and all words that contradict each other.

    ``left_out`` counts images by why they are not in the table, in words.
    """

    table: LabelTable
    rows: NDArray[np.int64]
    disagreeing: tuple[Said, ...]
    left_out: dict[str, int]


def content_of(
    workspace: Workspace, choices: Choices, suggested: Proposed | None, usable: NDArray[np.bool_] | None = None
) -> Content:
    """Gather the labels.

    Args:
        workspace: the project.
        choices: what is wanted.
        suggested: proposals to take from, None for none.
        usable: bool [N], images whose pictures can be read; None if that does not matter.

    Raises:
        DataError: if no image is left, or soft labels are wanted and there is no model.
    """
    parts: list[Columns] = []
    told, disagreeing = words_of_people(workspace)
    parts.append(told)
    del told  # `_table` takes the parts, and they can be large
    if suggested is not None:
        parts.append(_of_proposals(confident(suggested.proposals, choices.min_confidence), suggested.time))
    if choices.soft:
        parts.append(_of_model(workspace, parts))
    kept, left_out = _kept_by_split(workspace, choices), {}
    if usable is not None:
        kept, left_out["cannot be read"] = kept & usable, int((kept & ~usable).sum())
    if choices.unknown == "drop-images":
        full = _known(workspace, parts) == len(workspace.taxonomy)
        kept, left_out["not known completely"] = kept & full, int((kept & ~full).sum())
    if choices.unknown == "negative":
        heard = _known(workspace, parts) > 0
        kept, left_out["of which nothing is known"] = kept & heard, int((kept & ~heard).sum())
        parts.append(_of_nobody(workspace, parts, np.flatnonzero(kept)))
    if not kept.any() and len(kept):
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise DataError(f"no image is left to export{f' ({why})' if why else ''}; choose other --splits or --unknown")
    table, rows = _table(workspace, parts, kept, _facts(workspace, choices, suggested))
    inside = set(rows.tolist())
    return Content(table, rows, tuple(item for item in disagreeing if item.row in inside), left_out)


def words_of_people(workspace: Workspace) -> tuple[Columns, list[Said]]:
    """Words that agree with the folded value, and all words about cells on which annotators disagree."""
    folded = workspace.folded()
    log, told, classes = folded.log, folded.told(), max(len(workspace.taxonomy), 1)
    rows, labels, values = folded.matrix.cells()
    known, said = rows * classes + labels, log.rows[told] * classes + log.labels[told]
    place = np.searchsorted(known, said)
    there = place < len(known)
    there[there] = known[place[there]] == said[there]
    value = np.where(log.answers[told] == YES, POSITIVE, NEGATIVE).astype(np.int8)
    there[there] = values[place[there]] == value[there]
    against = folded.contested(told)
    disagreeing = [
        Said(int(log.rows[at]), int(log.labels[at]), code, log.annotator_names[log.annotators[at]], time, shown)
        for at, code, time, shown in zip(
            *(column[against].tolist() for column in (told, value, log.times[told], log.shown[told])), strict=True
        )
    ]
    told, value = told[there], value[there]
    names = np.array(log.annotator_names, dtype=np.object_)[log.annotators[told]]
    kept = _columns(
        log.rows[told], log.labels[told], value, HUMAN, float("nan"), names, log.times[told], log.shown[told]
    )
    return kept, disagreeing


def confident(proposals: Proposals, least: float | None) -> Proposals:
    """Proposals of at least a confidence: the belief for an expected positive, 1 - belief for an expected negative."""
    if least is None:
        return proposals
    return proposals.select(confidence(proposals.values, proposals.scores) >= np.float32(least))


def confidence(values: NDArray[np.int8], belief: NDArray[np.floating]) -> NDArray[np.float32]:
    """How sure a proposed value is, float32 as beliefs are stored."""
    found = belief.astype(np.float32)
    return np.where(values == POSITIVE, found, np.float32(1.0) - found)


def _of_proposals(found: Proposals, time: float) -> Columns:
    scores = np.clip(found.scores.astype(np.float64), 0.0, 1.0)
    return _columns(found.rows, found.labels, found.values, PROPOSAL + found.proposer, scores, "", time, False)


def _of_model(workspace: Workspace, parts: Iterable[Columns]) -> Columns:
    """The model's probabilities for all cells that have no label, of classes that it knows and images it has seen."""
    model = require_model(workspace)
    scores = read_scores(workspace, model, np.zeros(len(workspace.taxonomy)))[:, : model.classes]
    count, classes = scores.shape
    rows, labels = np.nonzero(_open(workspace, parts)[:count, :classes])
    found = np.clip(scores[rows, labels].astype(np.float64), 0.0, 1.0)
    values = np.where(found >= 0.5, POSITIVE, NEGATIVE)
    return _columns(rows, labels, values, MODEL, found, "", float(model.settings["time"]), False)


def _of_nobody(workspace: Workspace, parts: Iterable[Columns], rows: NDArray[np.int64]) -> Columns:
    """Negatives for all cells of the rows that have no label."""
    open_ = _open(workspace, parts)
    open_[np.setdiff1d(np.arange(len(open_)), rows)] = False
    where, labels = np.nonzero(open_)
    return _columns(where, labels, np.full(len(where), NEGATIVE), ASSUMED, float("nan"), "", 0.0, False)


def _columns(rows: Any, labels: Any, values: Any, *others: Any) -> Columns:  # noqa: ANN401  (lists, arrays or one value)
    count = len(rows)
    types = (np.object_, np.float64, np.object_, np.float64, np.bool_)

    def column(given: Any, dtype: Any) -> NDArray[Any]:  # noqa: ANN401  (a value or many, of several types)
        column = np.asarray(given, dtype=dtype)
        return np.broadcast_to(column, (count,)) if column.ndim == 0 else column  # one value for all takes no memory

    return Columns(
        column(rows, np.int64),
        column(labels, np.int64),
        column(values, np.int8),
        *(column(given, dtype) for given, dtype in zip(others, types, strict=True)),
    )


def _joined(parts: list[Columns], kept: NDArray[np.bool_], classes: int) -> dict[str, NDArray[Any]]:
    """The labels of the kept images, by row and label; empties the list.

    Column by column: tens of millions of labels fit into memory once, and not three times.
    """
    inside = [kept[part.rows] for part in parts]
    pieces = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    made: dict[str, NDArray[Any]] = {}
    for name in Columns._fields:
        made[name] = np.concatenate([piece[mask] for piece, mask in zip(pieces.pop(0), inside, strict=True)])
    order = order_of_cells(made["rows"], made["labels"], classes)
    for name in Columns._fields if order is not None else ():
        made[name] = made[name][order]
    return made


def _open(workspace: Workspace, parts: Iterable[Columns]) -> NDArray[np.bool_]:
    """Which cells have no label, [N, L]."""
    cells = np.ones(workspace.shape, dtype=bool)
    for part in parts:
        cells[part.rows, part.labels] = False
    return cells


def _known(workspace: Workspace, parts: Iterable[Columns]) -> NDArray[np.int64]:
    """Number of labelled cells of every image, [N]."""
    return len(workspace.taxonomy) - np.asarray(_open(workspace, parts).sum(axis=1))


def _kept_by_split(workspace: Workspace, choices: Choices) -> NDArray[np.bool_]:
    splits = workspace.images.splits()
    kept = np.isin(splits, [SPLITS[name] for name in choices.splits])
    if len(splits) and not kept.any():
        raise DataError(f"--splits {','.join(choices.splits)}: there is no such image; see `spml-annotate images list`")
    return np.asarray(kept)


def _table(
    workspace: Workspace, parts: list[Columns], kept: NDArray[np.bool_], facts: dict[str, str]
) -> tuple[LabelTable, NDArray[np.int64]]:
    rows = np.flatnonzero(kept)
    columns = _joined(parts, kept, len(workspace.taxonomy))
    columns["rows"] = (np.cumsum(kept) - 1)[columns["rows"]]
    ids = workspace.images.ids()
    split = workspace.images.splits()[rows]
    return LabelTable(workspace.taxonomy, tuple(ids[row] for row in rows), split, **columns, metadata=facts), rows


def _facts(workspace: Workspace, choices: Choices, suggested: Proposed | None) -> dict[str, str]:
    facts = {"project": workspace.settings.name, "policy": workspace.settings.policy}
    if suggested is not None:
        facts |= {
            "model": suggested.model,
            "wanted_precision": repr(suggested.precision),
            "thresholds": ", ".join(f"{count} {name}" for name, count in suggested.basis().items()),
            "checked_images": str(suggested.sample),
        }
    chosen = {
        "min_confidence": "" if choices.min_confidence is None else repr(choices.min_confidence),
        "soft": "yes" if choices.soft else "",
        "unknown": "" if choices.unknown == "keep" else choices.unknown,
        "splits": "" if len(choices.splits) == len(SPLITS) else ",".join(choices.splits),
    }
    return facts | {name: text for name, text in chosen.items() if text}
