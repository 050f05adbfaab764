"""Writes labels as a Pascal VOC folder: a list per class and split, an XML file per image, and the pictures."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import IMAGE_SUFFIXES
from spml_annotate.formats.picture_files import picture_files, picture_size, put_picture
from spml_annotate.labels import NEGATIVE, POSITIVE, Codes
from spml_annotate.progress import progress
from spml_annotate.stores.folders import check_folder, write_folder

HOME = Path("VOCdevkit") / "VOC2007"
LISTS = Path("ImageSets") / "Main"
NAMES, NAMES_FORMAT = "spml-annotate.json", "spml-annotate names of a VOC folder"
SETS: Mapping[str, tuple[int, ...]] = {
    "train": (TRAIN,),
    "val": (VALIDATION,),
    "trainval": (TRAIN, VALIDATION),
    "test": (TEST,),
}
WHOLE_IMAGE = "whole_image"
"""Mark of objects whose box is the picture itself, since nobody drew one."""
CODES = {POSITIVE: 1, NEGATIVE: -1}
"""Ours → theirs; unknown is 0, which in VOC stands for nothing but difficult objects and is left out of the score."""

_LONGEST = 100
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def save_voc(
    path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None, link: bool = False
) -> None:
    """Write the folder ``VOCdevkit/VOC2007`` below ``path``, as torchvision's ``VOCDetection(path, "2007")`` reads it.

    ``ImageSets/Main`` has the lists of images per split, and per class and split those with 1 positive, -1 negative and
    0 unknown. ``Annotations`` has one object per positive. File names are made of letters, digits, ``.``, ``-`` and
    ``_``; ``spml-annotate.json`` says which image or class is meant.

    Args:
        path: the folder to make.
        table: what to write; of a cell with several labels the one that `LabelTable.standing` names.
        pictures: image id → file, of every image. They are put into ``JPEGImages`` byte by byte under names that end
            in ``.jpg``, which readers expect whatever the file is; XML files get a size, and objects a box of the whole
            picture. Without them there are neither pictures nor sizes nor boxes.
        link: give the pictures a further name instead of copying them, where the file system can.

    Raises:
        DataError: for a picture that is missing or cannot be opened, or if the folder holds other files or cannot be
            written.
    """
    check_folder(path)
    files = None if pictures is None else picture_files(path, table.image_ids, pictures, "voc")
    images = plain_names([_without_suffix(name) for name in table.image_ids], "image")
    classes = plain_names(table.taxonomy.names, "class")

    def write(folder: Path) -> None:
        home = folder / HOME
        (home / LISTS).mkdir(parents=True)
        (home / "Annotations").mkdir()
        _write_lists(home / LISTS, table, images, classes)
        for row, objects in progress(_positives(table, classes), what="writing XML", total=len(images)):
            size = None
            if files is not None:
                size = picture_size(files[row])
                put_picture(files[row], home / "JPEGImages" / f"{images[row]}.jpg", link=link)
            text = _annotation(images[row], objects, size)
            (home / "Annotations" / f"{images[row]}.xml").write_bytes(text.encode())
        (home / NAMES).write_bytes(_names(table, images, classes).encode())

    write_folder(path, write)


def plain_names(texts: Iterable[str], otherwise: str) -> list[str]:
    """File names for texts, all different also where upper and lower case are one; plain texts stay as they are.

    Args:
        texts: names of any kind.
        otherwise: the name of a text without any letter or digit of ASCII.
    """
    texts = list(texts)
    taken = {text.lower() for text in texts if _plain(text) == text}
    kept: set[str] = set()
    tried: Counter[str] = Counter()
    found = []
    for text in texts:
        base = _plain(text) or otherwise
        if base == text and base.lower() not in kept:
            kept.add(base.lower())
            found.append(base)
            continue
        name = base
        while name.lower() in taken:
            tried[base.lower()] += 1
            name = f"{base}_{tried[base.lower()] + 1}"
        taken.add(name.lower())
        found.append(name)
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip(".")[:_LONGEST]


def _without_suffix(name: str) -> str:
    suffix = Path(name).suffix
    return name[: -len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else name


def _write_lists(folder: Path, table: LabelTable, images: Sequence[str], classes: Sequence[str]) -> None:
    members = {name: np.flatnonzero(np.isin(table.split, codes)).tolist() for name, codes in SETS.items()}
    for name, rows in members.items():
        (folder / f"{name}.txt").write_bytes("".join(f"{images[row]}\n" for row in rows).encode())
    for label, codes in enumerate(_columns(table)):
        for name, rows in members.items():
            lines = "".join(f"{images[row]} {codes[row]:2d}\n" for row in rows)
            (folder / f"{classes[label]}_{name}.txt").write_bytes(lines.encode())


def _columns(table: LabelTable) -> Iterator[Codes]:
    """Codes of VOC, int8 [N], class by class."""
    rows, labels, values = table.matrix().cells()
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(table.taxonomy) + 1)).tolist()
    for label in range(len(table.taxonomy)):
        cells = order[bounds[label] : bounds[label + 1]]
        codes = np.zeros(len(table.image_ids), dtype=np.int8)
        codes[rows[cells]] = np.where(values[cells] == POSITIVE, CODES[POSITIVE], CODES[NEGATIVE])
        yield codes


def _positives(table: LabelTable, classes: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(row, names of the classes that are there) of every image; the name of its file where XML cannot hold a name."""
    names = [
        classes[label] if _NOT_XML.search(name) or name != " ".join(name.split()) else name
        for label, name in enumerate(table.taxonomy.names)
    ]
    rows, labels, values = table.matrix().cells()
    rows, labels = rows[values == POSITIVE], labels[values == POSITIVE]
    bounds = np.searchsorted(rows, np.arange(len(table.image_ids) + 1)).tolist()
    for row in range(len(table.image_ids)):
        yield row, [names[label] for label in labels[bounds[row] : bounds[row + 1]].tolist()]


def _annotation(image: str, objects: Sequence[str], size: tuple[int, int] | None) -> str:
    lines = ["<annotation>", " <folder>VOC2007</folder>", f" <filename>{image}.jpg</filename>"]
    lines.append(" <source><database>spml-annotate</database></source>")
    box = ""
    if size is not None:
        width, height = size
        lines.append(f" <size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
        box = f"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{width}</xmax><ymax>{height}</ymax></bndbox>"
    lines.append(" <segmented>0</segmented>")
    facts = f"<pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><{WHOLE_IMAGE}>1</{WHOLE_IMAGE}>"
    lines += [f" <object><name>{escape(name)}</name>{facts}{box}</object>" for name in objects]
    return "\n".join([*lines, "</annotation>", ""])


def _names(table: LabelTable, images: Sequence[str], classes: Sequence[str]) -> str:
    content = {
        "format": NAMES_FORMAT,
        "classes": [[file, name] for file, name in zip(classes, table.taxonomy.names, strict=True)],
        "images": [[file, name] for file, name in zip(images, table.image_ids, strict=True)],
    }
    return json.dumps(content, ensure_ascii=False, indent=0) + "\n"
