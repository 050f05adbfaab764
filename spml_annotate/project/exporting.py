"""Handing the labelled data set out: what people said, what is proposed, and where people disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.export import HUMAN, PROPOSAL, LabelTable
from spml_annotate.formats.text import csv_line
from spml_annotate.labels import POSITIVE
from spml_annotate.project.proposing import Proposed, make_proposals, stored_proposals
from spml_annotate.project.scoring import require_model
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.workspace import Workspace

Format = Literal["parquet", "open-images"]
FORMATS: tuple[str, ...] = ("parquet", "open-images")


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: where, labels by origin, and cells about which annotators disagree (in ``conflicts``).

    ``unproposed`` is the version of the current model if proposals were welcome and none were made with it yet.
    """

    path: str
    format: str
    images: int
    human: int
    proposals: int
    disagreements: int
    conflicts: str
    unproposed: str = ""


class _Label(NamedTuple):
    row: int
    label: int
    value: int
    source: str
    score: float
    annotator: str
    time: float
    shown: bool


def export(
    workspace: Workspace,
    out: str | Path,
    *,
    format: Format | None = None,
    proposals: bool | None = None,
    min_precision: float | None = None,
) -> Exported:
    """Write every label with its value, source, score, annotator and time.

    People's labels of a cell are written where they agree with what the project's policy made of it; all words about
    cells on which annotators disagree are listed in a CSV beside the export.

    Args:
        workspace: the project.
        out: a folder for Parquet, a file for Open Images' CSV.
        format: ``parquet`` or ``open-images``; by default told by whether ``out`` ends in ``.csv``.
        proposals: whether to write what `propose` kept; by default if there is something.
        min_precision: propose anew with this wanted precision of expected positives instead of what was kept.

    Raises:
        SettingError: for an unknown format. DataError: if proposals are wanted and there are none, or ``out`` cannot
            be written.
    """
    out = Path(out)
    kind = format or ("open-images" if out.suffix.lower() == ".csv" else "parquet")
    if kind not in FORMATS:
        raise SettingError(f"--format {kind!r}: choose from {', '.join(FORMATS)}")
    if kind == "parquet" and out.is_file():
        raise DataError(f"{out}: Parquet needs a folder and this is a file; choose another name")
    suggested = _suggested(workspace, proposals, min_precision)
    model = workspace.models.current() if suggested is None and proposals is None else None
    people, disagreeing = _people(workspace)
    machine = _machine(suggested)
    table = _table(workspace, [*people, *machine], suggested)
    side = out / "conflicts.csv" if kind == "parquet" else out.with_name(f"{out.stem}.conflicts.csv")
    _save(kind, out, table)
    _save_conflicts(workspace, side, disagreeing)
    return Exported(
        path=str(out),
        format=kind,
        images=len(table.image_ids),
        human=len(people),
        proposals=len(machine),
        disagreements=len({(said.row, said.label) for said in disagreeing}),
        conflicts=str(side),
        unproposed=model.name if model is not None else "",
    )


def _suggested(workspace: Workspace, proposals: bool | None, min_precision: float | None) -> Proposed | None:
    if proposals is False:
        return None
    if min_precision is not None:
        return make_proposals(workspace, require_model(workspace), precision=min_precision)
    model = workspace.models.current()
    kept = stored_proposals(workspace, model) if model is not None else None
    if kept is None and proposals:
        raise DataError("there are no proposals of the current model; run `spml-annotate propose`, or export without")
    return kept


def _people(workspace: Workspace) -> tuple[list[_Label], list[_Label]]:
    """Words that agree with the folded value, and all words about cells on which annotators disagree."""
    folded = workspace.folded()
    rows, labels, values = folded.matrix.cells()
    known = dict(zip(zip(rows.tolist(), labels.tolist(), strict=True), values.tolist(), strict=True))
    kept, disagreeing = [], []
    for (row, label), words in sorted(folded.words.items()):
        said = [
            _Label(row, label, int(word.answer == "yes"), HUMAN, float("nan"), word.annotator, word.time, word.shown)
            for _, word in words
            if word.answer in ("yes", "no")
        ]
        if len({item.value for item in said}) > 1:
            disagreeing += said
        kept += [item for item in said if known.get((row, label)) == item.value]
    return kept, disagreeing


def _machine(suggested: Proposed | None) -> list[_Label]:
    if suggested is None:
        return []
    source = PROPOSAL + suggested.proposals.proposer
    return [
        _Label(item.row, item.label, item.value, source, min(max(item.score, 0.0), 1.0), "", suggested.time, False)
        for item in suggested.proposals
    ]


def _table(workspace: Workspace, labels: Sequence[_Label], suggested: Proposed | None) -> LabelTable:
    columns: list[Any] = list(zip(*labels, strict=True)) if labels else [()] * len(_Label._fields)
    rows, classes, values, sources, scores, annotators, times, shown = columns
    metadata = {"project": workspace.settings.name, "policy": workspace.settings.policy}
    if suggested is not None:
        metadata |= {
            "model": suggested.model,
            "wanted_precision": repr(suggested.precision),
            "thresholds": ", ".join(f"{count} {name}" for name, count in suggested.basis().items()),
            "checked_images": str(suggested.sample),
        }
    return LabelTable.of(
        workspace.taxonomy,
        workspace.images.ids(),
        workspace.images.splits(),
        list(rows),
        list(classes),
        list(values),
        sources=list(sources),
        scores=list(scores),
        annotators=list(annotators),
        times=list(times),
        shown=list(shown),
        metadata=metadata,
    )


def _save(kind: str, out: Path, table: LabelTable) -> None:
    if kind == "parquet":
        from spml_annotate.formats.parquet import save_parquet

        save_parquet(out, table)
    else:
        from spml_annotate.formats.open_images import save_open_images

        save_open_images(out, table)


def _save_conflicts(workspace: Workspace, path: Path, said: Sequence[_Label]) -> None:
    ids, names = workspace.images.ids(), workspace.taxonomy.names
    lines = [csv_line(("image", "label", "annotator", "answer", "time"))]
    for item in said:
        answer = "yes" if item.value == POSITIVE else "no"
        lines.append(csv_line((ids[item.row], names[item.label], item.annotator, answer, repr(item.time))))
    write_atomically(path, lambda file: file.writelines(lines))
