"""Embeddings and labels in one NumPy archive, for people who have features already.

Arrays: ``features`` [N, D]; ``labels`` integers [N, L], 1 positive, 0 negative, -1 unknown; and, if present,
``label_names`` [L], ``split`` [N] (0 train, 1 validation, 2 test; all train by default) and ``image_ids`` [N].
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.dataset import SPLITS, TRAIN, Dataset
from spml_annotate.formats.folder import attach_pictures
from spml_annotate.formats.text import check_text, unreadable
from spml_annotate.labels import CODES, UNKNOWN, Codes, LabelMatrix
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.taxonomy import Taxonomy

_BLOCK = 8192
_ARRAYS = ("features", "labels", "label_names", "split", "image_ids")
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, KeyError, RuntimeError, OverflowError),
    *(MemoryError, SyntaxError, TypeError),
)
"""What numpy and zipfile raise for an archive whose bytes were changed (found by changing each of them)."""


def save_features(path: str | Path, dataset: Dataset) -> None:
    """Write a data set with embeddings; class keys, aliases and prompts have no place in this format.

    Raises:
        DataError: if the data set has no features.
    """
    if dataset.features is None:
        raise DataError(f"{path}: {dataset.name} has no features to save; embed its pictures first")
    features = dataset.features
    for what, texts in (("image id", dataset.image_ids), ("class name", dataset.taxonomy.names)):
        for text in texts:
            check_text(text, what)

    def write(file: BinaryIO) -> None:
        np.savez(
            file,
            features=features,
            labels=dataset.truth,
            label_names=np.array(dataset.taxonomy.names, dtype=np.str_),
            split=dataset.split.astype(np.uint8),
            image_ids=np.array(dataset.image_ids, dtype=np.str_),
        )

    write_atomically(Path(path), write)


@FORMATS.register(
    "features",
    loads="dataset",
    saves=None,
    suffixes=(".npz",),
    is_folder=False,
    can=frozenset({"several", "negatives", "unknown", "splits"}),
    notes="A matrix: 1 positive, 0 negative, -1 unknown; holds embeddings, which `save_features` writes.",
)
def load_features(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
) -> Dataset:
    """A data set with embeddings from an ``.npz`` file.

    Args:
        path: the file; objects that would need unpickling are refused.
        classes: the classes and their order; by default those of the file. Where it names none, their number has to be
            that of its columns.
        root: the folder that the image ids are relative to; every image must be there. Without it the data set has no
            pictures.
        name: short name for tables and figures; the file's by default.

    Raises:
        DataError: for a missing or damaged file, a missing array, a wrong code or split, a repeated id, or features
            that are not finite. MismatchError: for arrays that do not fit together.
    """
    path = Path(path)
    arrays = _read(path)
    features = _features(path, arrays["features"])
    codes = codes_from_npz(path, arrays["labels"])
    count, classes_there = codes.shape
    if len(features) != count:
        raise MismatchError(f"{path}: features has {len(features)} rows but labels has {count}; save them together")
    names = _names(path, arrays.get("label_names"), "label_names", classes_there)
    ids = _names(path, arrays.get("image_ids"), "image_ids", count)
    try:
        taxonomy = Taxonomy(names or tuple(f"class {column}" for column in range(classes_there)))
        if classes is not None:
            taxonomy, codes = _arranged(as_taxonomy(classes), names, codes)
        dataset = Dataset(
            name=name or path.stem,
            taxonomy=taxonomy,
            image_ids=ids or tuple(map(str, range(count))),
            labels=LabelMatrix.from_dense(codes),
            split=_split(path, arrays.get("split"), count),
            features=features,
        )
        return dataset if root is None else attach_pictures(dataset, root)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _arranged(given: Taxonomy, names: tuple[str, ...], codes: Codes) -> tuple[Taxonomy, Codes]:
    """The classes of a list and the columns in its order; a class without a column is unknown everywhere."""
    if not names and len(given) != codes.shape[1]:
        raise DataError(
            f"it has {codes.shape[1]} classes without names, the class list {len(given)}; give its own list"
        )
    columns = [given.column(name) for name in names] if names else list(range(len(given)))
    if len(set(columns)) < len(columns):
        raise DataError("two of its columns are the same class of the list; remove one")
    table = np.full((len(codes), len(given)), UNKNOWN, dtype=np.int8)
    table[:, columns] = codes
    return given, table


def codes_from_npz(path: Path, labels: NDArray[Any]) -> Codes:
    """Integers or booleans [N, L] in our codes → int8 codes.

    Raises:
        DataError: for another rank or type, no images or classes, or a value that is not a code.
    """
    if labels.ndim != 2:
        raise DataError(f"{path}: labels has the shape {labels.shape}; it must be a table [images, classes]")
    if not labels.size:
        raise DataError(f"{path}: labels has the shape {labels.shape}; there must be images and classes")
    if labels.dtype.kind not in "iub":
        raise DataError(f"{path}: labels holds {labels.dtype}, not integers; save it as int8 with 1, 0 and -1")
    for start in range(0, len(labels), _BLOCK):
        wrong = np.argwhere(~np.isin(labels[start : start + _BLOCK], CODES))
        if len(wrong):
            row, column = start + int(wrong[0, 0]), int(wrong[0, 1])
            value = labels[row, column]
            raise DataError(f"{path}: labels[{row}, {column}] is {value}; write 1 positive, 0 negative, -1 unknown")
    return labels.astype(np.int8)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            return _arrays(path, file)
    except OSError as error:
        raise unreadable(path, error) from None


def _arrays(path: Path, file: BinaryIO) -> dict[str, NDArray[Any]]:
    try:
        archive = np.load(file, allow_pickle=False)
    except _DAMAGED:
        raise DataError(f"{path}: this is not an .npz file, or it is damaged; write it with numpy.savez") from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path}: this is one array, not an .npz file of several; write it with numpy.savez")
    with archive:
        for key in ("features", "labels"):
            if key not in archive:
                found = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path}: there is no array {key!r}, only {found}; save it under this name")
        return {key: _array(path, archive, key) for key in _ARRAYS if key in archive}


def _array(path: Path, archive: Mapping[str, NDArray[Any]], key: str) -> NDArray[Any]:
    try:
        return np.asarray(archive[key])
    except _DAMAGED as error:
        if "allow_pickle" in str(error):
            message = f"{path}: {key} holds Python objects; save it as plain numbers or with dtype=str"
            raise DataError(message) from None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: {key} is damaged ({reason}); copy or write the file again") from None


def _features(path: Path, features: NDArray[Any]) -> NDArray[np.float32]:
    if features.ndim != 2 or not features.size:
        raise DataError(f"{path}: features has the shape {features.shape}; it must be a table [images, numbers]")
    if features.dtype.kind not in "fiu":
        raise DataError(f"{path}: features holds {features.dtype}, not numbers; save it as float32 or float16")
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(features, dtype=np.float32)
    for start in range(0, len(table), _BLOCK):
        wrong = np.argwhere(~np.isfinite(table[start : start + _BLOCK]))
        if len(wrong):
            row, column = start + int(wrong[0, 0]), int(wrong[0, 1])
            value = features[row, column]
            raise DataError(f"{path}: features[{row}, {column}] is {value}; every feature must be a finite number")
    return table


def _names(path: Path, names: NDArray[Any] | None, what: str, count: int) -> tuple[str, ...]:
    if names is None:
        return ()
    if names.shape != (count,):
        raise MismatchError(f"{path}: {what} has the shape {names.shape} but labels asks for ({count},)")
    if names.dtype.kind not in "Uiu":
        raise DataError(f"{path}: {what} holds {names.dtype}, not text; save it with dtype=str")
    texts = tuple(str(name) for name in names.tolist())
    for position, text in enumerate(texts):
        check_text(text, f"{path}: {what}[{position}]")
    return texts


def _split(path: Path, split: NDArray[Any] | None, count: int) -> NDArray[np.int8]:
    if split is None:
        return np.full(count, TRAIN, dtype=np.int8)
    if split.shape != (count,):
        raise MismatchError(f"{path}: split has the shape {split.shape} but labels asks for ({count},)")
    wrong = np.flatnonzero(~np.isin(split, tuple(SPLITS.values()))) if split.dtype.kind in "iu" else np.array([0])
    if wrong.size:
        value = split[wrong[0]]
        raise DataError(f"{path}: split[{wrong[0]}] is {value!s}; write 0 train, 1 validation, 2 test")
    return split.astype(np.int8)
