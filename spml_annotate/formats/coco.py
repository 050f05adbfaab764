"""COCO JSON: which categories are present on an image; what is absent, in the manner of LVIS.

Categories with an annotation are positive. Those in the list ``neg_category_ids`` of an image are negative, all others
unknown, unless ``complete`` says that annotators looked for every category; even then those in
``not_exhaustive_category_ids`` stay unknown. Ids of categories may have gaps; classes are in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.coco_write import WHOLE_IMAGE, save_coco
from spml_annotate.formats.dataset import TRAIN, Boxes, Dataset
from spml_annotate.formats.folder import attach_pictures
from spml_annotate.formats.images import clean_id, split_code
from spml_annotate.formats.json_places import Key, Place, as_key, is_number, read_json
from spml_annotate.formats.text import check_text
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_coco", "save_coco"]

_MISSING = ("refuse", "drop")


@FORMATS.register(
    "coco",
    loads="dataset",
    saves=save_coco,
    suffixes=(".json",),
    is_folder=False,
    measures=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores"}),
    notes="One annotation per positive, with a box of the whole picture where its size is known; negatives in the "
    "image's neg_category_ids; in neither: unknown.",
)
def load_coco(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    complete: bool = False,
    crowd: bool = True,
    min_score: float = 0.0,
    missing: str = "refuse",
) -> Dataset:
    """Categories present on each image, from a file such as ``instances_train2017.json`` or one of LVIS.

    Args:
        path: the JSON file with ``images``, ``categories`` and ``annotations``.
        classes: the classes and their order; by default the categories of the file. Categories that are not classes
            are refused if an image names them.
        root: the folder that the file names are relative to; without it the data set has no pictures.
        name: short name for tables and figures; the file's by default.
        complete: read categories without a word as negative; right for COCO itself, wrong for LVIS.
        crowd: whether a crowd region shows that its class is present; if not, it says nothing.
        min_score: annotations with a score below it say nothing.
        missing: "drop" leaves out images that are not below ``root`` and annotations of images that are not listed;
            "refuse" raises.

    Raises:
        DataError: for a missing or malformed file; it names the place, such as ``annotations[7].image_id``.
        SettingError: for another value of ``missing``.
    """
    if missing not in _MISSING:
        raise SettingError(f"missing={missing!r}: choose from {', '.join(_MISSING)}")
    path = Path(path)
    content = read_json(path)
    try:
        if not isinstance(content, dict):
            raise DataError("this is no COCO file of labels, which is an object with images and categories")
        reader = _Reader(classes, complete=complete, crowd=crowd, min_score=min_score, drop=missing == "drop")
        dataset = reader.read(Place(content, ""), name or path.stem)
        return dataset if root is None else _with_pictures(dataset, Path(root), drop=reader.drop)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


@dataclass
class _Reader:
    classes: Classes | None
    complete: bool
    crowd: bool
    min_score: float
    drop: bool
    rows: dict[Key, int] = field(default_factory=dict)
    columns: dict[Key, int] = field(default_factory=dict)
    outside: dict[Key, str] = field(default_factory=dict)
    sizes: list[tuple[float, float] | None] = field(default_factory=list)
    cells: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: {POSITIVE: [], NEGATIVE: [], UNKNOWN: []})
    boxes: list[tuple[int, int, tuple[float, float, float, float]]] = field(default_factory=list)

    def read(self, content: Place, name: str) -> Dataset:
        taxonomy = self._categories(content)
        ids, split = self._images(content)
        for place in content.objects("annotations"):
            for part in _parts(place):
                self._annotation(part)
        return Dataset(
            name=name,
            taxonomy=taxonomy,
            image_ids=tuple(ids),
            labels=self._matrix(ids, taxonomy),
            split=np.array(split, dtype=np.int8),
            boxes=self._boxes(),
        )

    def _categories(self, content: Place) -> Taxonomy:
        names: dict[Key, str] = {}
        for place in content.objects("categories"):
            key, category = place.key("id"), place.text("name")
            if not category:
                raise place.wrong("name", "the category has no name")
            check_text(category, f"{place.where}.name")
            if key in names:
                raise place.wrong("id", f"{key!r} is the id of {names[key]!r} already")
            names[key] = category
        if self.classes is None:
            if not names:
                raise DataError("categories: there is none; give a class list")
            taxonomy = Taxonomy(tuple(names.values()))
            self.columns = {key: column for column, key in enumerate(names)}
            return taxonomy
        taxonomy = as_taxonomy(self.classes)
        for key, category in names.items():
            try:
                self.columns[key] = taxonomy.column(category)
            except DataError as error:
                self.outside[key] = str(error)
        return taxonomy

    def _images(self, content: Place) -> tuple[list[str], list[int]]:
        ids: dict[str, str] = {}
        split: list[int] = []
        for place in content.objects("images"):
            key, name = place.key("id"), _file_name(place)
            if key in self.rows:
                raise place.wrong("id", f"{key!r} is the id of another image already")
            if name in ids:
                raise place.wrong("file_name", f"image {name!r} is {ids[name]} already; keep one")
            row = self.rows[key] = len(ids)
            ids[name] = place.where
            split.append(_split(place))
            self.sizes.append(_size(place))
            for what, value in (("neg_category_ids", NEGATIVE), ("not_exhaustive_category_ids", UNKNOWN)):
                for category in place.list_of(what):
                    self.cells[value].append((row, self._column(as_key(category, place, what), place, what)))
        return list(ids), split

    def _annotation(self, place: Place) -> None:
        image = place.key("image_id")
        if image not in self.rows:
            if self.drop:
                return
            raise place.wrong("image_id", f"there is no image {image!r}; missing=drop leaves such annotations out")
        row, label = self.rows[image], self._column(place.key("category_id"), place, "category_id")
        crowd, score = _flag(place, "iscrowd"), place.number("score")
        box = _box(place, self.sizes[row])
        if (crowd and not self.crowd) or (score is not None and score < self.min_score):
            return
        self.cells[POSITIVE].append((row, label))
        if box is not None and not crowd:
            self.boxes.append((row, label, box))

    def _column(self, category: Key, place: Place, key: str) -> int:
        if category not in self.columns:
            raise place.wrong(key, self.outside.get(category, f"there is no category {category!r}"))
        return self.columns[category]

    def _matrix(self, ids: list[str], taxonomy: Taxonomy) -> LabelMatrix:
        shape = len(ids), len(taxonomy)
        numbers = {value: _numbers(cells, shape[1]) for value, cells in self.cells.items()}
        positive, negative = numbers[POSITIVE], numbers[NEGATIVE]
        both = np.intersect1d(positive, negative)
        if both.size:
            row, label = divmod(int(both[0]), shape[1])
            raise DataError(f"image {ids[row]!r} has {taxonomy.names[label]!r} among its negatives and annotations")
        if self.complete:
            silent = np.setdiff1d(np.arange(shape[0] * shape[1]), positive, assume_unique=True)
            negative = np.union1d(np.setdiff1d(silent, numbers[UNKNOWN], assume_unique=True), negative)
        cells = np.concatenate([positive, negative])
        values = np.repeat(np.array([POSITIVE, NEGATIVE], dtype=np.int8), [len(positive), len(negative)])
        return LabelMatrix.from_cells(cells // shape[1], cells % shape[1], values, shape)

    def _boxes(self) -> Boxes | None:
        if not self.boxes:
            return None
        rows, labels, corners = zip(*self.boxes, strict=True)
        return Boxes(np.array(rows, dtype=np.int64), np.array(labels, dtype=np.int64), np.array(corners, np.float32))


def _parts(place: Place) -> Iterator[Place]:
    """An annotation, or the segments of one that describes a whole picture (panoptic)."""
    if "segments_info" not in place.content or "category_id" in place.content:
        yield place
        return
    about = {"image_id": place.key("image_id")}
    for part in place.objects("segments_info"):
        yield Place({**part.content, **about}, part.where)


def _flag(place: Place, key: str) -> bool:
    """A number, as COCO has it, or true or false."""
    found = place.content.get(key)
    return found if isinstance(found, bool) else bool(place.number(key))


def _numbers(cells: list[tuple[int, int]], columns: int) -> NDArray[np.int64]:
    """Cells as ascending numbers, each once."""
    table = np.array(cells, dtype=np.int64).reshape(-1, 2)
    numbers: NDArray[np.int64] = np.unique(table[:, 0] * columns + table[:, 1])
    return numbers


def _file_name(place: Place) -> str:
    """The file's name, or, as LVIS has it, the last folder and name of its address."""
    given, address = place.text("file_name"), place.text("coco_url")
    if not given and not address:
        raise place.wrong("file_name", "it is missing")
    name = clean_id(given or "/".join((address or "").split("/")[-2:]))
    check_text(name, f"{place.where}.file_name")
    return name


def _split(place: Place) -> int:
    given = place.text("split")
    try:
        return TRAIN if given is None else split_code(given)
    except DataError as error:
        raise place.wrong("split", str(error)) from None


def _size(place: Place) -> tuple[float, float] | None:
    width, height = place.number("width"), place.number("height")
    return None if width is None or height is None or min(width, height) <= 0 else (width, height)


def _box(place: Place, size: tuple[float, float] | None) -> tuple[float, float, float, float] | None:
    """Corners as shares of the picture; None without a box or size, or if it is the whole picture by our word."""
    given = place.list_of("bbox")
    if not given:
        return None
    if len(given) != 4 or not all(map(is_number, given)):
        raise place.wrong("bbox", "a box is four numbers: left, top, width, height")
    if size is None or place.content.get(WHOLE_IMAGE):
        return None
    left, top, width, height = given
    corners = np.array([left, top, left + width, top + height]) / np.array([*size, *size])
    left, top, right, bottom = np.clip(corners, 0.0, 1.0).tolist()
    return left, top, right, bottom


def _with_pictures(dataset: Dataset, root: Path, *, drop: bool) -> Dataset:
    if not drop:
        return attach_pictures(dataset, root)
    kept = [row for row, name in enumerate(dataset.image_ids) if (root / name).is_file()]
    if not kept:
        raise DataError(f"none of the images is in the folder {root}; check the folder")
    return attach_pictures(dataset.at(kept), root)
