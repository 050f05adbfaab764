"""Handing the labelled data set out: what people said, what is proposed, and where people disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.dataset import SPLITS
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.losing import lost, save_side
from spml_annotate.project.exporting.card import Told, card_of
from spml_annotate.project.exporting.choices import (
    Choices,
    Images,
    Labels,
    Unknown,
    as_splits,
    format_of,
    measures_pictures,
    saver_settings,
    written,
)
from spml_annotate.project.exporting.labels import Content, content_of
from spml_annotate.project.exporting.quality import Quality, quality_of, require_sample
from spml_annotate.project.exporting.report import ClassCount, count_classes, save_classes, save_conflicts
from spml_annotate.project.exporting.writing import CARD, beside, check_place, write_aside
from spml_annotate.project.proposing import Proposed, make_proposals, stored_proposals
from spml_annotate.project.scoring import require_model
from spml_annotate.stores.atomic import write_text
from spml_annotate.stores.folders import note_files
from spml_annotate.workspace import Workspace

_NOTHING: Mapping[str, object] = MappingProxyType({})

__all__ = ["Choices", "ClassCount", "Exported", "Images", "Labels", "Quality", "Unknown", "export", "written"]


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: where, and how many labels of people and others.

    ``disagreements`` cells about which annotators disagree are in ``conflicts``, counts per class in ``report`` and
    ``classes``, the data card in ``card``. ``lost`` says what the format does not hold; all of that is in ``side``,
    which is empty if nothing is lost. ``left_out`` counts images by why they are not in the export. ``quality`` judges
    the proposals on the checked sample, None if there are none or no sample. ``unproposed`` is the version of the
    current model if proposals were welcome and none were made with it yet.
    """

    path: str
    format: str
    images: int
    human: int
    proposals: int
    disagreements: int
    conflicts: str
    report: str
    card: str
    lost: tuple[str, ...]
    side: str
    left_out: dict[str, int]
    quality: Quality | None
    classes: tuple[ClassCount, ...]
    unproposed: str = ""


def export(
    workspace: Workspace,
    out: str | Path,
    *,
    format: str | None = None,
    labels: Labels | None = None,
    min_confidence: float | None = None,
    min_precision: float | None = None,
    soft: bool = False,
    unknown: Unknown = "keep",
    splits: str | Sequence[str] = tuple(SPLITS),
    images: Images | None = None,
    licence: str = "",
    names: bool = False,
    notes: Sequence[str] = (),
    settings: Mapping[str, object] = _NOTHING,
) -> Exported:
    """Write the labels in any format that is written, with a data card and counts per class beside them.

    People's labels of a cell are written where they agree with what the project's policy made of it; all words about
    cells on which annotators disagree are listed in a CSV beside the export. What was there is replaced when everything
    is complete.

    Args:
        workspace: the project.
        out: a file, or a folder for formats that are one.
        format: name in `FORMATS`; by default told by the ending of ``out``: none is Parquet in a folder, ``.csv`` one
            long CSV in the style of Open Images.
        labels: ``human`` for people's labels only, ``all`` for what `propose` kept, too; by default if there is some.
        min_confidence: leave out proposals that are less sure: belief for expected positives, 1 - belief for negatives.
        min_precision: propose anew with this wanted precision of expected positives instead of what was kept.
        soft: give every cell that nobody answered and nothing proposes the model's probability.
        unknown: ``keep`` unknown cells unknown, call them ``negative`` (images of which nothing is known are left out),
            or ``drop-images`` that have any.
        splits: names of the splits to write, or such names separated by commas.
        images: for formats that hold pictures: ``copy`` them (the default), ``link`` them where the file system can, or
            ``none``.
        licence: of the data set, for its card.
        names: name annotators in the card, who are numbered otherwise.
        notes: further known biases for the card, one sentence each.
        settings: of the format's saver, such as ``shard_images``.

    Raises:
        SettingError: for choices that do not go together, or that the format cannot hold. DataError: if proposals are
            wanted and there are none, too few images are checked for a wanted precision, or ``out`` cannot be written.
    """
    out = Path(out)
    choices = Choices(labels, min_confidence, min_precision, soft, unknown, as_splits(splits), images)
    kind = format_of(out, format)
    choices.check_format(kind)
    options = saver_settings(kind, settings, link=choices.images == "link")
    workspace.require_images()
    check_place(out, FORMATS[kind].facts["is_folder"], workspace.root)
    suggested = _suggested(workspace, choices)
    content = content_of(workspace, choices, suggested, _usable(workspace, kind, choices))
    told = _told(workspace, kind, content, choices, suggested)
    told = replace(told, names=names, licence=licence, notes=notes, side=beside(out, "lost.csv").name)
    card = card_of(workspace, content, choices, suggested, told)
    if choices.images != "none":
        options["pictures"] = _Pictures(workspace, content)
    _write(workspace, out, content, told, card, options)
    return _exported(workspace, out, content, choices, suggested, told)


def _suggested(workspace: Workspace, choices: Choices) -> Proposed | None:
    if choices.labels == "human":
        return None
    if choices.min_precision is not None:
        current = require_model(workspace)
        require_sample(workspace)
        made = make_proposals(workspace, current, precision=choices.min_precision)
        return replace(made, time=float(current.settings["time"]))  # so that the same project gives the same bytes
    model = workspace.models.current()
    kept = stored_proposals(workspace, model) if model is not None else None
    if kept is None and (choices.labels == "all" or choices.min_confidence is not None):
        raise DataError("there are no proposals of the current model; run `spml-annotate propose`, or export without")
    return kept


def _usable(workspace: Workspace, kind: str, choices: Choices) -> NDArray[np.bool_] | None:
    """Images [N] whose pictures a format that holds or measures them can use; None for other formats."""
    if choices.images == "none" or not ("pictures" in FORMATS[kind].facts["can"] or measures_pictures(kind)):
        return None
    usable = np.ones(len(workspace.images), dtype=bool)
    usable[list(workspace.images.errors())] = False
    return usable


def _told(workspace: Workspace, kind: str, content: Content, choices: Choices, suggested: Proposed | None) -> Told:
    quality = quality_of(workspace, suggested, choices.min_confidence) if suggested is not None else None
    return Told(kind, count_classes(content.table), quality, lost=lost(kind, content.table))


def _write(
    workspace: Workspace, out: Path, content: Content, told: Told, card: str, options: Mapping[str, Any]
) -> None:
    facts = FORMATS[told.format].facts

    def write(path: Path) -> None:
        facts["saves"](path, content.table, **options)
        write_text(path / CARD if facts["is_folder"] else beside(path, CARD), card)
        if facts["is_folder"]:
            note_files(path, [CARD])
        save_classes(beside(path, "classes.csv"), told.counts, content.table.taxonomy)
        save_conflicts(beside(path, "conflicts.csv"), workspace, content.disagreeing)
        if told.lost:
            save_side(path, content.table)

    write_aside(out, facts["is_folder"], write)


class _Pictures(Mapping[str, Path]):
    """Image ids → files; a million paths are made only for a format that asks for them."""

    def __init__(self, workspace: Workspace, content: Content) -> None:
        self._workspace, self._content = workspace, content

    @cached_property
    def _paths(self) -> dict[str, Path]:
        paths = self._workspace.image_paths()
        ids, rows = self._content.table.image_ids, self._content.rows.tolist()
        return {name: paths[row] for name, row in zip(ids, rows, strict=True)}

    def __getitem__(self, name: str) -> Path:
        return self._paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content.table.image_ids)

    def __len__(self) -> int:
        return len(self._content.table.image_ids)


def _exported(
    workspace: Workspace, out: Path, content: Content, choices: Choices, suggested: Proposed | None, told: Told
) -> Exported:
    table: LabelTable = content.table
    model = workspace.models.current() if suggested is None and choices.labels is None else None
    return Exported(
        path=str(out),
        format=told.format,
        images=len(table.image_ids),
        human=int((table.sources == HUMAN).sum()),
        proposals=int((table.sources != HUMAN).sum()),
        disagreements=len({(said.row, said.label) for said in content.disagreeing}),
        conflicts=str(beside(out, "conflicts.csv")),
        report=str(beside(out, "classes.csv")),
        card=str(out / CARD if FORMATS[told.format].facts["is_folder"] else beside(out, CARD)),
        lost=tuple(told.lost),
        side=str(beside(out, "lost.csv")) if told.lost else "",
        left_out={why: count for why, count in content.left_out.items() if count},
        quality=told.quality,
        classes=told.counts,
        unproposed=model.name if model is not None else "",
    )
