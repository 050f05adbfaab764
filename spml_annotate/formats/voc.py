"""Pascal VOC: lists of -1, 0 and 1 per class and split, and an XML file with the objects of each image.

Where a class has lists they are believed: 1 positive, -1 negative, 0 nothing but difficult objects. Elsewhere the XML
files say what is there; what they do not name is unknown, unless ``complete`` says that annotators looked for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.dataset import TRAIN, Boxes, Dataset
from spml_annotate.formats.folder import attach_pictures
from spml_annotate.formats.images import IMAGE_SUFFIXES
from spml_annotate.formats.voc_lists import (
    Lists,
    Names,
    called_as_listed,
    find_home,
    picture_files,
    read_lists,
    read_names,
    xml_files,
)
from spml_annotate.formats.voc_write import save_voc
from spml_annotate.formats.voc_xml import Corners, Described, Thing, read_xml
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, LabelMatrix
from spml_annotate.progress import progress
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_voc", "save_voc"]

_DIFFICULT = {"unknown": UNKNOWN, "positive": POSITIVE, "negative": NEGATIVE}


@FORMATS.register(
    "voc",
    loads="dataset",
    saves=save_voc,
    suffixes=(),
    is_folder=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "pictures"}),
    notes="Lists per class with 1 positive, -1 negative and 0 unknown (which VOC says of difficult objects, and leaves "
    "out of the score), and an XML object of the whole picture per positive.",
)
def load_voc(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    difficult: str = "unknown",
    complete: bool = False,
) -> Dataset:
    """Labels and boxes of a VOC folder.

    Args:
        path: the folder with ``Annotations`` and ``ImageSets/Main``, either of which may be missing, or one above it;
            XML files may lie in folders below ``Annotations``, and are images of such folders then; or a folder with an
            XML file beside each picture, as labelling programs make it.
        classes: the classes and their order; by default those of the folder, sorted. Others are refused.
        root: the folder that the image ids are relative to; by default ``JPEGImages`` if every picture is there.
        name: short name for tables and figures; the folder's by default.
        difficult: "unknown", "positive" or "negative": what a class is whose objects are all marked as difficult.
        complete: read classes that have no list and no object in the XML file of an image as negative.

    Raises:
        DataError: for a missing folder or a malformed file; it names the line or the object.
        SettingError: for another value of ``difficult``.
    """
    if difficult not in _DIFFICULT:
        raise SettingError(f"difficult={difficult!r}: choose from {', '.join(_DIFFICULT)}")
    home = find_home(Path(path))
    names = read_names(home)
    lists = read_lists(home, names)
    described = _described(called_as_listed(xml_files(home), lists.split))
    things = _things(described, names)
    files = [*lists.split, *(image for image in things if image not in lists.split)]
    if not files:
        raise DataError(f"{home}: no image is named in ImageSets/Main, and Annotations is empty")
    pictures = picture_files(home)
    rows = {image: row for row, image in enumerate(_in_order(files, names))}
    try:
        taxonomy = _taxonomy(classes, names, lists, things)
        columns = {label: taxonomy.column(label) for label in _used(lists, things)}
    except DataError as error:
        raise DataError(f"{home}: {error}") from None
    table = _table((len(rows), len(taxonomy)), rows, columns, lists, things, _DIFFICULT[difficult], complete=complete)
    found = {image: picture for image in rows if (picture := pictures.of(image)) is not None}
    dataset = Dataset(
        name=name or home.resolve().name,
        taxonomy=taxonomy,
        image_ids=tuple(_id(image, names, found, described) for image in rows),
        labels=LabelMatrix.from_dense(table),
        split=np.array([lists.split.get(image, TRAIN) for image in rows], dtype=np.int8),
        boxes=_boxes(rows, columns, things),
    )
    if root is not None:
        return attach_pictures(dataset, root)
    return _with_own_pictures(dataset, [found[image][1] if image in found else None for image in rows])


def _described(files: Mapping[str, Path]) -> dict[str, Described]:
    """Image → what its XML file says."""
    every = progress(files.items(), what="reading XML files", total=len(files))
    return {image: read_xml(file) for image, file in every}


def _things(described: Mapping[str, Described], names: Names) -> dict[str, list[Thing]]:
    """Image → objects."""
    return {
        image: [thing._replace(name=names.classes.get(thing.name, thing.name)) for thing in found.things]
        for image, found in described.items()
    }


def _in_order(files: Iterable[str], names: Names) -> list[str]:
    """The order that the list of names has, then that of the files."""
    known = set(files)
    return [*(image for image in names.images if image in known), *(i for i in files if i not in names.images)]


def _used(lists: Lists, things: Mapping[str, list[Thing]]) -> set[str]:
    return {*lists.codes, *(thing.name for found in things.values() for thing in found)}


def _taxonomy(classes: Classes | None, names: Names, lists: Lists, things: Mapping[str, list[Thing]]) -> Taxonomy:
    if classes is not None:
        return as_taxonomy(classes)
    first = list(names.classes.values())
    further = sorted(_used(lists, things) - set(first))
    if not first and not further:
        raise DataError("no class is named in the lists or the XML files; give a class list")
    return Taxonomy((*first, *further))


def _table(
    shape: tuple[int, int],
    rows: Mapping[str, int],
    columns: Mapping[str, int],
    lists: Lists,
    things: Mapping[str, list[Thing]],
    difficult: int,
    *,
    complete: bool,
) -> Codes:
    """Codes int8 [N, L]: what the XML files say, then the lists on top."""
    table = np.full(shape, UNKNOWN, dtype=np.int8)
    for image, found in things.items():
        row = rows[image]
        if complete:
            table[row] = NEGATIVE
        hard = [columns[thing.name] for thing in found if thing.difficult]
        table[row, hard] = difficult
        table[row, [columns[thing.name] for thing in found if not thing.difficult]] = POSITIVE
    for label, codes in lists.codes.items():
        for image, code in codes.items():
            table[rows[image], columns[label]] = difficult if code is None else code
    return table


def _boxes(rows: Mapping[str, int], columns: Mapping[str, int], things: Mapping[str, list[Thing]]) -> Boxes | None:
    found: list[tuple[int, int, Corners]] = [
        (rows[image], columns[thing.name], thing.corners)
        for image in rows
        for thing in things.get(image, ())
        if thing.corners is not None
    ]
    if not found:
        return None
    at, labels, corners = zip(*found, strict=True)
    return Boxes(np.array(at, dtype=np.int64), np.array(labels, dtype=np.int64), np.array(corners, dtype=np.float32))


def _id(image: str, names: Names, found: Mapping[str, tuple[str, Path]], described: Mapping[str, Described]) -> str:
    """The name of the picture: as it lies there, else as the XML file states it, else with the suffix that VOC has."""
    if image in names.images:
        return names.images[image]
    if image in found:
        return found[image][0]
    suffix = Path(described[image].picture).suffix if image in described else ""
    return image + (suffix if suffix.lower() in IMAGE_SUFFIXES else ".jpg")


def _with_own_pictures(dataset: Dataset, files: list[Path | None]) -> Dataset:
    from spml_annotate.embed.pictures import FilePictures

    there = [file for file in files if file is not None]
    return replace(dataset, pictures=FilePictures(there)) if len(there) == len(files) else dataset
