"""Labels that exist already, in any format that is read, into the log of answers."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.folding_columns import Names, Numbers
from spml_annotate.formats import FORMATS
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.images import IMAGE_SUFFIXES, clean_id, rows_by_id
from spml_annotate.formats.telling import tell_format
from spml_annotate.labels import NEGATIVE, POSITIVE, Codes, Rows
from spml_annotate.taxonomy import with_spellings
from spml_annotate.workspace import Workspace

Missing = Literal["unknown", "negative"]
EXAMPLES = 3
_TEXTS = frozenset({"classes", "root", "config"})
"""Settings of readers that are paths, and have no default of the type that a command line's text is to be taken for."""
_NOTHING: Mapping[str, object] = MappingProxyType({})


class Cell(NamedTuple):
    """One label of a folder, by names; its text is part of what answers are known by, and stays as it is."""

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
    """Labels of a file by row: M of them, on images and of classes that are places in the names of the file.

    ``annotators`` are places in ``people``; ``split`` has one code per image.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    split: NDArray[np.int8]
    rows: Rows
    labels: Rows
    values: Codes
    annotators: Numbers
    times: NDArray[np.float64]
    people: tuple[str, ...]
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
    strip: str = "",
    settings: Mapping[str, object] = _NOTHING,
) -> Imported:
    r"""Add the labels of a file as answers with the source ``import:<file name>``; they cost no seconds.

    Importing the same file again changes nothing, and completes an import of millions that was interrupted: the id of
    each answer follows from the file's content.

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
        strip: a folder to take off the front of image names that begin with it, such as ``C:\data\pictures``.
        settings: of the format's reader.

    Raises:
        DataError: for a file that cannot be read, or that names images or classes which the project lacks; with their
            number and the first of them. Nothing is added then. SettingError: for an unknown format or setting.
    """
    path = Path(path)
    kind = tell_format(path, format)
    content = _read(path, kind, annotator, missing, settings)
    with workspace.writing("import-labels"):
        names, rows = _matched(workspace, content, prefix, strip)
        columns = _columns(workspace, path, content, names, rows, skip_unknown, kind)
        inside = rows[content.rows] >= 0
        kept = slice(None) if inside.all() else np.flatnonzero(inside)  # a slice copies nothing
        cells = rows[content.rows[kept]], columns[content.labels[kept]], content.values[kept]
        added = workspace.log.append_cells(
            *cells,
            content.annotators[kept],
            content.times[kept],
            names=content.people,
            source=f"import:{path.name}",
            event=f"import:{_digest(path, content, names, kept)}",
        )
        moved = _move(workspace, content, rows) if splits else 0
    return Imported(
        file=str(path),
        labels=len(cells[0]),
        new=added,
        images=len(np.unique(cells[0])),
        positives=int((cells[2] == POSITIVE).sum()),
        negatives=int((cells[2] == NEGATIVE).sum()),
        left_out=len(content.rows) - len(cells[0]),
        moved=moved,
        format=kind,
        proposals=content.proposals,
    )


def _read(path: Path, kind: str, annotator: str, missing: Missing, settings: Mapping[str, object]) -> _Content:
    entry = FORMATS[kind]
    texts = {name: found for name, found in settings.items() if name in _TEXTS and name in entry.settings}
    checked = entry.checked({name: found for name, found in settings.items() if name not in texts})
    options = {name: checked[name] for name in settings if name not in texts} | texts
    completes = missing == "negative" and "complete" in entry.settings  # the reader knows what its format leaves open
    if completes:
        options["complete"] = True
    found = entry.function(path, **options)
    if isinstance(found, LabelTable):
        if missing == "negative" and not completes:
            raise DataError(f"{path}: {kind} says of every label what it is; leave --map-missing out")
        return _of_table(found, annotator)
    return _of_dataset(found, annotator, missing)


def _matched(workspace: Workspace, content: _Content, prefix: str, strip: str) -> tuple[list[str], Rows]:
    r"""Names of the file's images as they are here, with the prefix and ``/`` for ``\``; their rows, -1 for none.

    A whole path is also found if it is that of the image's file; a name without the ending of a picture, as Open Images
    and others have, if only one picture is called so.
    """
    rows = rows_by_id(workspace.images.ids())
    start = clean_id(strip).rstrip("/") + "/"
    names = [clean_id(name).removeprefix(start) if strip else name for name in content.images]
    names = [prefix + name for name in names]
    names = [name if name in rows else clean_id(name) for name in names]
    found = np.array([rows.get(name, -1) for name in names], dtype=np.int64)
    whole = [place for place in np.flatnonzero(found < 0).tolist() if Path(names[place]).is_absolute()]
    if whole:
        files = rows_by_id(clean_id(os.path.abspath(path)) for path in workspace.image_paths())
        found[whole] = [files.get(clean_id(os.path.abspath(names[place])), -1) for place in whole]
    bare = [place for place in np.flatnonzero(found < 0).tolist() if not _is_picture(names[place])]
    if bare:
        stems = _stems(workspace.images.ids())
        found[bare] = [stems.get(names[place], -1) for place in bare]
    return names, found


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _stems(ids: Sequence[str]) -> dict[str, int]:
    """Id without its ending → row, -1 where several have it."""
    found: dict[str, int] = {}
    for row, name in enumerate(ids):
        if _is_picture(name):
            stem = name.removesuffix(PurePosixPath(name).suffix)
            found[stem] = -1 if stem in found else row
    return with_spellings(found)


def _of_dataset(dataset: Dataset, annotator: str, missing: Missing) -> _Content:
    rows, labels, values = (dataset.with_missing_negative() if missing == "negative" else dataset).labels.cells()
    return _Content(
        images=dataset.image_ids,
        classes=dataset.taxonomy.names,
        split=dataset.split,
        rows=rows,
        labels=labels,
        values=values,
        annotators=np.broadcast_to(np.int32(0), rows.shape),
        times=np.broadcast_to(0.0, rows.shape),
        people=(annotator,),
    )


def _of_table(table: LabelTable, annotator: str) -> _Content:
    human = np.flatnonzero(table.sources == HUMAN)
    people = Names()
    annotators = people.numbers([name or annotator for name in table.annotators[human].tolist()])
    return _Content(
        images=table.image_ids,
        classes=table.taxonomy.names,
        split=table.split,
        rows=table.rows[human],
        labels=table.labels[human],
        values=table.values[human],
        annotators=annotators,
        times=table.times[human],
        people=people.texts(),
        proposals=len(table) - len(human),
    )


def _columns(
    workspace: Workspace, path: Path, content: _Content, names: Sequence[str], rows: Rows, skip_unknown: bool, kind: str
) -> Rows:
    """The project's column of each class of the file, -1 for those it has no label of."""
    labelled = np.unique(content.rows)
    strange = list(dict.fromkeys(names[row] for row in labelled[rows[labelled] < 0].tolist()))
    if strange and not skip_unknown:
        total = len({names[row] for row in labelled.tolist()})
        raise DataError(
            f"{path}: {len(strange)} of {total} images are not in the project, such as {_some(strange)}; "
            f"{_way_out(strange, workspace.images.ids(), kind)}"
        )
    used = np.unique(content.labels[rows[content.rows] >= 0]).tolist()
    lacking = sorted(content.classes[label] for label in used if content.classes[label] not in workspace.taxonomy)
    if lacking:
        raise DataError(
            f"{path}: {len(lacking)} of {len(used)} classes are not in the project, such as {_some(lacking)}"
            f"{_meant(lacking[0], workspace.taxonomy.names)}; use `spml-annotate classes add NAME`, or `classes alias "
            "NAME OTHER` for another spelling"
        )
    columns = np.full(len(content.classes), -1, dtype=np.int64)
    columns[used] = [workspace.taxonomy.column(content.classes[label]) for label in used]
    return columns


def _way_out(strange: Sequence[str], known: Sequence[str], kind: str) -> str:
    """What to do about names that are not known: take off or put on a folder, if that makes all of them known."""
    rows = rows_by_id(known)
    parts = strange[0].split("/")
    for count in range(1, len(parts)):
        start = "/".join(parts[:count]) + "/"
        if start != "/" and all(name.startswith(start) and name.removeprefix(start) in rows for name in strange):
            return f"without {start!r} all of them are: if these are the same images, use --strip {start!r}"
    folders = {name.rpartition("/" + strange[0])[0] for name in known if name.endswith("/" + strange[0])}
    for folder in sorted(folders)[:EXAMPLES]:
        if all(f"{folder}/{name}" in rows for name in strange):
            return f"with {folder + '/'!r} before them all of them are: use --prefix {folder + '/'!r}"
    if kind == "label-studio":
        return "name the folder that was added, to look there: --set label-studio.root=FOLDER; or use --skip-unknown"
    return "names are paths relative to the folder that was added: add the images, or use --skip-unknown"


def _meant(name: str, known: Sequence[str]) -> str:
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:EXAMPLES]))


def _digest(path: Path, content: _Content, names: Sequence[str], kept: Rows | slice) -> str:
    """Hash of a file's bytes; of a folder's labels, for it may hold pictures, too."""
    from spml_annotate.formats.parquet import LABELS

    path = path / LABELS if (path / LABELS).is_file() else path
    if path.is_dir():
        cells = sorted(
            Cell(names[row], content.classes[label], value, content.people[who], time)
            for row, label, value, who, time in zip(
                *(
                    column[kept].tolist()
                    for column in (content.rows, content.labels, content.values, content.annotators, content.times)
                ),
                strict=True,
            )
        )
        return hashlib.sha256(repr(cells).encode()).hexdigest()[:16]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _move(workspace: Workspace, content: _Content, rows: Rows) -> int:
    """Put images into the splits that the file gives; returns how many changed theirs, copies included."""
    before = workspace.images.splits()
    for split in np.unique(content.split).tolist():
        workspace.images.set_split(rows[(content.split == split) & (rows >= 0)], split)
    return int((workspace.images.splits() != before).sum())
