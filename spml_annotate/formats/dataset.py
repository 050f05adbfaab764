"""What every reader returns: images, classes, what is known about them, and which part each image belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spml_annotate.embed.pictures import Pictures
from spml_annotate.errors import DataError, MismatchError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Boxes:
    """Objects in the pictures: ``rows`` int64 [M], ``labels`` int64 [M], ``corners`` float32 [M, 4].

    Corners are (left, top, right, bottom) as shares of the picture's width and height.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    corners: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled data set: N images, L classes.

    Args:
        name: short name for tables and figures.
        taxonomy: the classes.
        image_ids: N unique ids (relative paths for folders).
        labels: what is known; the complete truth for benchmark sets.
        split: int8 [N], 0 train, 1 validation, 2 test.
        features: float32 [N, D] if the set comes with embeddings.
        pictures: the images if the set comes with them.
        boxes: objects, where known; annotator models with a bias for size or place need them.
    """

    name: str
    taxonomy: Taxonomy
    image_ids: tuple[str, ...]
    labels: LabelMatrix
    split: NDArray[np.int8]
    features: NDArray[np.float32] | None = None
    pictures: Pictures | None = None
    boxes: Boxes | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, classes = self.labels.shape
        if classes != len(self.taxonomy):
            raise MismatchError(f"{self.name}: labels have {classes} classes, the class list {len(self.taxonomy)}")
        for what, length in (("image ids", len(self.image_ids)), ("splits", len(self.split))):
            if length != count:
                raise MismatchError(f"{self.name}: {count} rows of labels but {length} {what}")
        if not np.isin(self.split, (TRAIN, VALIDATION, TEST)).all():
            raise DataError(f"{self.name}: a split is not 0 (train), 1 (validation) or 2 (test)")
        if self.features is not None and len(self.features) != count:
            raise MismatchError(f"{self.name}: {count} rows of labels but {len(self.features)} rows of features")
        if len(set(self.image_ids)) != count:
            seen: set[str] = set()
            twice = next(i for i in self.image_ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise DataError(f"{self.name}: image id {twice!r} appears twice; ids must be unique")

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def truth(self) -> NDArray[np.int8]:
        """Dense codes int8 [N, L]."""
        return self.labels.dense()

    def rows(self, split: int) -> NDArray[np.int64]:
        """Rows of one split, ascending."""
        return np.flatnonzero(self.split == split)

    def at(self, rows: Sequence[int] | NDArray[np.int64]) -> Dataset:
        """The images of some rows, in that order; without pictures, which are attached by `folder.attach_pictures`."""
        kept = np.asarray(rows, dtype=np.int64)
        place = np.full(len(self), -1, dtype=np.int64)
        place[kept] = np.arange(len(kept))
        boxes = self.boxes
        if boxes is not None:
            inside = place[boxes.rows] >= 0
            boxes = Boxes(place[boxes.rows[inside]], boxes.labels[inside], boxes.corners[inside])
        return replace(
            self,
            image_ids=tuple(self.image_ids[row] for row in kept.tolist()),
            labels=LabelMatrix.from_dense(self.labels.dense(kept)),
            split=self.split[kept],
            features=None if self.features is None else self.features[kept],
            pictures=None,
            boxes=boxes,
        )

    def require_splits(self, *splits: int) -> None:
        """Raise DataError unless every split named has at least one image."""
        names = {code: name for name, code in SPLITS.items()}
        for code in splits:
            if not (self.split == code).any():
                raise DataError(
                    f"{self.name}: the {names[code]} split is empty; give at least one image of it (the split of "
                    "an image is named in the column or array `split`)"
                )

    def positives_per_image(self, split: int) -> float:
        """Mean number of positives of the images of a split."""
        return float((self.truth[self.rows(split)] == POSITIVE).sum(1).mean())

    def with_missing_negative(self) -> Dataset:
        """The same set with every unknown cell negative: right for labels that name every positive of their images."""
        codes = self.labels.dense()
        codes[codes == UNKNOWN] = NEGATIVE
        return replace(self, labels=LabelMatrix.from_dense(codes))

    def with_features(self, features: NDArray[np.float32]) -> Dataset:
        """The same set with embeddings [N, D]."""
        return replace(self, features=features)
