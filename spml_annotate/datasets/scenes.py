"""The built-in data: scenes of real handwritten digits, with complete truth and each object's box.

The digits are the 1797 images of 8 x 8 pixels that ship with scikit-learn (from the UCI optical recognition set).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spml_annotate.datasets.scene_drawing import COLOURS, Scene, draw_scene
from spml_annotate.embed.pictures import ArrayPictures
from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.dataset import SPLITS, Boxes, Dataset
from spml_annotate.labels import NEGATIVE, POSITIVE, LabelMatrix
from spml_annotate.progress import progress
from spml_annotate.stores.atomic import write_atomically, write_text
from spml_annotate.taxonomy import Taxonomy

if TYPE_CHECKING:
    from PIL.Image import Image

Pool = Literal["train", "validation", "test", "extractor"]
POOLS: tuple[str, ...] = get_args(Pool)

_POOL_SHARES = (0.34, 0.10, 0.24, 0.32)
_POOL_SEED = 20_240_601
"""Fixed, not the user's seed: the extractor must not have seen the digits of any test scenes, whatever their seed."""
_SKEW = 0.6
"""The class of popularity rank r is drawn in proportion to r to the power of minus this."""


def class_names() -> tuple[str, ...]:
    """The 80 classes in column order, digit by digit: "red 0", "orange 0", ..."""
    return tuple(f"{colour} {digit}" for digit in range(10) for colour in COLOURS)


def class_weights() -> NDArray[np.float64]:
    """Chance that an object is of each class, [80], skewed; the same for every seed and split."""
    ranks = np.random.default_rng(_POOL_SEED).permutation(10 * len(COLOURS)) + 1.0
    weights = ranks**-_SKEW
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=1)
def digit_pools() -> dict[str, tuple[NDArray[np.int64], ...]]:
    """Which digit images each pool owns: pool → per digit 0..9 the indices into scikit-learn's set; all disjoint."""
    from sklearn.datasets import load_digits

    target = load_digits().target
    random = np.random.default_rng(_POOL_SEED)
    pools: dict[str, list[NDArray[np.int64]]] = {pool: [] for pool in POOLS}
    for digit in range(10):
        images = random.permutation(np.flatnonzero(target == digit))
        cuts = np.rint(np.cumsum(_POOL_SHARES)[:-1] * len(images)).astype(int)
        for pool, part in zip(POOLS, np.split(images, cuts), strict=True):
            pools[pool].append(np.sort(part))
    return {pool: tuple(parts) for pool, parts in pools.items()}


def draw_scenes(pool: Pool, count: int, *, seed: int = 0, size: int = 96) -> Iterator[Scene]:
    """Scenes made of the digit images of one pool; scene n depends on (pool, seed, n, size) only."""
    from sklearn.datasets import load_digits

    images = (load_digits().images / 16.0).astype(np.float32)
    digits = [images[part] for part in digit_pools()[pool]]
    weights = class_weights()
    for number in range(count):
        random = np.random.default_rng([seed, POOLS.index(pool), number])
        yield draw_scene(random, digits, weights, size=size)


def load_scenes(*, seed: int = 0, train: int = 1500, validation: int = 300, test: int = 800, size: int = 96) -> Dataset:
    """Draw the built-in data set: 80 classes ("red 3"), 1 to 6 objects per picture, complete truth and boxes.

    Args:
        seed: the same seed gives the same bytes.
        train: pictures of the training split; ``validation`` and ``test`` likewise. The three are made of disjoint
            digit images, and a split's first pictures do not depend on how many follow.
        validation: see above.
        test: see above.
        size: side of the pictures in pixels, at least 48.

    Raises:
        SettingError: for a negative seed or count, no picture at all, or pictures too small.
    """
    counts: dict[Pool, int] = {"train": train, "validation": validation, "test": test}
    _check(seed, counts, size)
    total = sum(counts.values())
    pictures = np.empty((total, size, size, 3), dtype=np.uint8)
    truth = np.full((total, 10 * len(COLOURS)), NEGATIVE, dtype=np.int8)
    rows: list[int] = []
    labels: list[int] = []
    corners: list[NDArray[np.float32]] = []
    row = 0
    for pool, count in counts.items():
        for scene in progress(draw_scenes(pool, count, seed=seed, size=size), total=count, what=f"drawing {pool}"):
            pictures[row] = scene.picture
            truth[row, list(scene.labels)] = POSITIVE
            rows.extend([row] * len(scene.labels))
            labels.extend(scene.labels)
            corners.append(scene.corners / np.float32(size))
            row += 1
    split = np.repeat([SPLITS[name] for name in counts], list(counts.values())).astype(np.int8)
    ids = tuple(f"{name}/{number:05d}.png" for name, count in counts.items() for number in range(count))
    boxes = Boxes(np.asarray(rows, np.int64), np.asarray(labels, np.int64), np.concatenate(corners))
    return Dataset(
        name="scenes",
        taxonomy=Taxonomy(class_names()),
        image_ids=ids,
        labels=LabelMatrix.from_dense(truth),
        split=split,
        pictures=ArrayPictures(pictures),
        boxes=boxes,
        notes={"seed": str(seed), "digits": "scikit-learn load_digits (UCI optical recognition of handwritten digits)"},
    )


def _check(seed: int, counts: Mapping[Pool, int], size: int) -> None:
    if seed < 0:
        raise SettingError(f"scenes: seed {seed} must not be negative")
    if size < 48:
        raise SettingError(f"scenes: pictures of {size} pixels are too small to read the digits; use at least 48")
    for name, count in counts.items():
        if count < 0:
            raise SettingError(f"scenes: {count} {name} pictures cannot be drawn; give 0 or more")
    if not any(counts.values()):
        raise SettingError("scenes: no pictures asked for; give a count for at least one split")


def write_scenes(folder: str | Path, dataset: Dataset) -> Path:
    """Write a data set's pictures as PNG files, and beside them ``labels.csv`` and ``classes.txt``.

    ``labels.csv`` is long (image,label,value,split) and holds the positives only; the image column is the path
    relative to ``folder/pictures``, where the files lie by split.

    Returns:
        The folder of the pictures.

    Raises:
        DataError: if the data set has no pictures or the folder cannot be written.
    """
    if dataset.pictures is None:
        raise DataError(f"{dataset.name}: there are no pictures to write, only features")
    base = Path(folder)
    root = base / "pictures"
    for row, image_id in enumerate(progress(dataset.image_ids, total=len(dataset), what="writing pictures")):
        path = root / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, partial(_save_png, dataset.pictures.read(row)))
    names = {code: name for name, code in SPLITS.items()}
    lines = ["image,label,value,split"]
    for row, label, value in zip(*dataset.labels.cells(), strict=True):
        if value == POSITIVE:
            lines.append(f"{dataset.image_ids[row]},{dataset.taxonomy.names[label]},1,{names[int(dataset.split[row])]}")
    write_text(base / "labels.csv", "\n".join(lines) + "\n")
    write_text(base / "classes.txt", "\n".join(dataset.taxonomy.names) + "\n")
    return root


def _save_png(picture: Image, file: BinaryIO) -> None:
    picture.save(file, "PNG")
