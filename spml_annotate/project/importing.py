"""Labels that exist already, in any format that is read, into the log of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.images import clean_id, rows_by_id
from spml_annotate.formats.telling import tell_format
from spml_annotate.labels import NEGATIVE, POSITIVE, Answer, Observation
from spml_annotate.workspace import Workspace

Missing = Literal["unknown", "negative"]
EXAMPLES = 3
_NOTHING: Mapping[str, object] = MappingProxyType({})


class Cell(NamedTuple):
    """One label of a file, by names."""

    image: str
    label: str
    value: int
    annotator: str
    time: float


@dataclass(frozen=True)
class Imported:
    """What `import_labels` did: labels in the file, how many were new, images that they are on, what was left out.

    ``proposals`` counts labels that nobody gave; they are never imported as answers.
    """

    file: str
    labels: int
    new: int
    images: int
    positives: int
    negatives: int
    left_out: int
    moved: int
    format: str = ""
    proposals: int = 0


@dataclass(frozen=True)
class _Content:
    cells: list[Cell]
    splits: dict[str, int]
    proposals: int = 0


def import_labels(
    workspace: Workspace,
    path: str | Path,
    *,
    annotator: str = "import",
    missing: Missing = "unknown",
    skip_unknown: bool = False,
    splits: bool = False,
    format: str | None = None,
    prefix: str = "",
    settings: Mapping[str, object] = _NOTHING,
) -> Imported:
    """Add the labels of a file as answers with the source ``import:<file name>``; they cost no seconds.

    Importing the same file again changes nothing: the id of each answer follows from the file's content.

    Args:
        workspace: the project.
        path: a file or folder in a format that is read; of formats that say who gave a label, people's labels only.
        annotator: who gave the labels, where the file does not say.
        missing: what a cell means that the file says nothing of; ``negative`` is right only for files that name every
            positive of their images.
        skip_unknown: leave out images that the project lacks instead of refusing the file.
        splits: take the images' splits from the file, too.
        format: name in `FORMATS`; told by the file's name and content if None.
        prefix: put before every image name of the file, for images that were added with it or from a folder above.
        settings: of the format's reader.

    Raises:
        DataError: for a file that cannot be read, or that names images or classes which the project lacks; with their
            number and the first of them. Nothing is added then. SettingError: for an unknown format or setting.
    """
    path = Path(path)
    kind = tell_format(path, format)
    content = _read(path, kind, annotator, missing, settings)
    with workspace.writing("import-labels"):
        rows = rows_by_id(workspace.images.ids())
        content = _matched(content, rows, prefix)
        left_out = _check(workspace, path, content, rows, skip_unknown)
        kept = [cell for cell in content.cells if cell.image in rows]
        added = workspace.log.append(_observations(workspace, path, kept, rows))
        moved = _move(workspace, content.splits, rows) if splits else 0
    values = np.array([cell.value for cell in kept], dtype=np.int8)
    return Imported(
        file=str(path),
        labels=len(kept),
        new=added,
        images=len({cell.image for cell in kept}),
        positives=int((values == POSITIVE).sum()),
        negatives=int((values == NEGATIVE).sum()),
        left_out=left_out,
        moved=moved,
        format=kind,
        proposals=content.proposals,
    )


def _read(path: Path, kind: str, annotator: str, missing: Missing, settings: Mapping[str, object]) -> _Content:
    entry = FORMATS[kind]
    checked = entry.checked(settings)
    options = {name: checked[name] for name in settings}
    completes = missing == "negative" and "complete" in entry.settings  # the reader knows what its format leaves open
    if completes:
        options["complete"] = True
    found = entry.function(path, **options)
    if isinstance(found, LabelTable):
        if missing == "negative" and not completes:
            raise DataError(f"{path}: {kind} says of every label what it is; leave --map-missing out")
        return _of_table(found, annotator)
    return _of_dataset(found, annotator, missing)


def _matched(content: _Content, rows: dict[str, int], prefix: str) -> _Content:
    r"""The same labels by the names that the images have here: with the prefix, and with ``/`` for ``\``."""

    def here(name: str) -> str:
        name = prefix + name
        return name if name in rows else clean_id(name)

    cells = [cell._replace(image=here(cell.image)) for cell in content.cells]
    return replace(content, cells=cells, splits={here(name): code for name, code in content.splits.items()})


def _of_dataset(dataset: Dataset, annotator: str, missing: Missing) -> _Content:
    labels = (dataset.with_missing_negative() if missing == "negative" else dataset).labels
    names = dataset.taxonomy.names
    cells = [
        Cell(dataset.image_ids[row], names[label], int(value), annotator, 0.0)
        for row, label, value in zip(*(column.tolist() for column in labels.cells()), strict=True)
    ]
    return _Content(cells, dict(zip(dataset.image_ids, dataset.split.tolist(), strict=True)))


def _of_table(table: LabelTable, annotator: str) -> _Content:
    cells = [
        Cell(label.image, label.label, label.value, label.annotator or annotator, label.time)
        for label in table
        if label.source == HUMAN
    ]
    splits = dict(zip(table.image_ids, table.split.tolist(), strict=True))
    return _Content(cells, splits, len(table) - len(cells))


def _check(workspace: Workspace, path: Path, content: _Content, rows: dict[str, int], skip_unknown: bool) -> int:
    """Number of labels that are left out."""
    strange = [cell.image for cell in content.cells if cell.image not in rows]
    if strange and not skip_unknown:
        named, total = list(dict.fromkeys(strange)), len({cell.image for cell in content.cells})
        raise DataError(
            f"{path}: {len(named)} of {total} images are not in the project, such as {_some(named)}; names are paths "
            "relative to the folder that was added: add the images, or use --skip-unknown"
        )
    classes = {cell.label for cell in content.cells if cell.image in rows}
    lacking = sorted(name for name in classes if not _known(workspace, name))
    if lacking:
        raise DataError(
            f"{path}: {len(lacking)} of {len(classes)} classes are not in the project, such as {_some(lacking)}; use "
            "`spml-annotate classes add NAME`, or `classes alias NAME OTHER` for another spelling"
        )
    return len(strange)


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:EXAMPLES]))


def _known(workspace: Workspace, name: str) -> bool:
    try:
        workspace.taxonomy.column(name)
    except DataError:
        return False
    return True


def _observations(
    workspace: Workspace, path: Path, cells: Iterable[Cell], rows: dict[str, int]
) -> Iterator[Observation]:
    cells = list(cells)
    digest = _digest(path, cells)
    for image, label, value, annotator, time in cells:
        row, column = rows[image], workspace.taxonomy.column(label)
        answer: Answer = "yes" if value == POSITIVE else "no"
        event = f"import:{digest}:{row}:{column}:{answer}:{annotator}"
        yield Observation(row, column, answer, annotator, f"import:{path.name}", time=time, event=event)


def _digest(path: Path, cells: Iterable[Cell]) -> str:
    """Hash of a file's bytes; of a folder's labels, for it may hold pictures, too."""
    from spml_annotate.formats.parquet import LABELS

    path = path / LABELS if (path / LABELS).is_file() else path
    if path.is_dir():
        return hashlib.sha256(repr(sorted(cells)).encode()).hexdigest()[:16]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _move(workspace: Workspace, splits: dict[str, int], rows: dict[str, int]) -> int:
    """Put images into the splits that the file gives; returns how many changed theirs, copies included."""
    before = workspace.images.splits()
    for split in sorted(set(splits.values())):
        workspace.images.set_split(
            [rows[name] for name, code in splits.items() if code == split and name in rows], split
        )
    return int((workspace.images.splits() != before).sum())
