"""A folder of images and a class list: the start of a labelling project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.dataset import TRAIN, Dataset
from spml_annotate.formats.images import image_paths, list_images
from spml_annotate.labels import LabelMatrix

CLASS_FILES = ("classes.txt", "classes.json")


@FORMATS.register(
    "folder",
    loads="dataset",
    saves=None,
    suffixes=(),
    is_folder=True,
    can=frozenset({"pictures"}),
    notes="Pictures and a class list; every cell is unknown.",
)
def load_folder(
    path: str | Path,
    classes: Classes | None = None,
    *,
    root: str | Path | None = None,
    name: str | None = None,
) -> Dataset:
    """Images below a folder, nothing known about them, all in the train split.

    Ids are relative paths with ``/``, sorted, so equal file names in different subfolders are different images.

    Args:
        path: the folder, read recursively; hidden files are left out.
        classes: a taxonomy, a list of names or the path of a class list; by default ``classes.txt`` or
            ``classes.json`` in the folder.
        root: the folder that image ids are relative to, one above ``path``; by default ``path`` itself.
        name: short name for tables and figures; the folder's by default.

    Raises:
        DataError: if the folder is missing or holds no image, does not lie below ``root``, or there is no class list.
    """
    from spml_annotate.embed.pictures import FilePictures

    path = Path(path)
    ids = list_images(path)
    taxonomy = as_taxonomy(classes if classes is not None else find_classes(path))
    above = _above(path, Path(root)) if root is not None else ""
    return Dataset(
        name=name or path.resolve().name,
        taxonomy=taxonomy,
        image_ids=tuple(above + image for image in ids),
        labels=LabelMatrix.from_cells([], [], [], (len(ids), len(taxonomy))),
        split=np.full(len(ids), TRAIN, dtype=np.int8),
        pictures=FilePictures(image_paths(path, ids)),
    )


def _above(path: Path, root: Path) -> str:
    try:
        below = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise DataError(f"{path} does not lie below {root}; name a folder above it") from None
    return "" if below == "." else f"{below}/"


def attach_pictures(dataset: Dataset, root: str | Path) -> Dataset:
    """The same data set with the pictures below ``root`` that its image ids name.

    Raises:
        DataError: for an image that is not there.
    """
    from spml_annotate.embed.pictures import FilePictures

    return replace(dataset, pictures=FilePictures(image_paths(root, dataset.image_ids)))


def find_classes(root: str | Path) -> Path:
    """The class list that lies in a folder.

    Raises:
        DataError: if there is none.
    """
    for name in CLASS_FILES:
        if (Path(root) / name).is_file():
            return Path(root) / name
    raise DataError(f"{root}: there is no class list; put {CLASS_FILES[0]} there, with one class name per line")
