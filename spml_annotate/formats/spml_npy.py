"""The NumPy files of research on single positives: what Cole et al. (2021) and those after them train on.

A folder with, per phase ("train", "val"), three arrays: ``formatted_<phase>_labels.npy`` [N, L], the full truth, 1
positive and 0 negative; ``formatted_<phase>_labels_obs.npy`` [N, L], what is observed, 1 positive, 0 UNKNOWN and -1
NEGATIVE; and ``formatted_<phase>_images.npy`` [N], file names. The codes of what is observed clash with ours: their
1, 0, -1 are our 1, -1, 0.

That code splits "train" into training and validation by itself and uses "val" as its test set. Thus "val" is test here,
and both training and validation images are written to "train"; ``formatted_<phase>_split.npy``, which is ours and which
others do not open, has the splits, and ``classes.json`` the names of the classes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy, save_classes
from spml_annotate.formats.dataset import SPLITS, TEST, TRAIN, Dataset
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.folder import CLASS_FILES, attach_pictures
from spml_annotate.formats.images import check_ids, clean_id
from spml_annotate.formats.text import check_text, unreadable
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Codes, LabelMatrix
from spml_annotate.stores.folders import write_folder
from spml_annotate.taxonomy import Taxonomy

PHASES = {"train": TRAIN, "val": TEST}
OBSERVED: Mapping[int, int] = {1: POSITIVE, 0: UNKNOWN, -1: NEGATIVE}
FULL: Mapping[int, int] = {1: POSITIVE, 0: NEGATIVE}
"""Their codes → ours."""
_USES = ("auto", "observed", "full")
_BLOCK = 8192


def save_spml_npy(path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None) -> None:
    """Write the three arrays of both phases, the splits and the class names into a folder.

    ``labels_obs`` has what is known. In ``labels``, which must be complete, unknown cells are 0, negative: a number
    computed against them is one against the labels known so far. Images keep their order within a phase; the pictures
    have no place in it.

    Raises:
        DataError: for image ids that would come back as others, or if the folder holds other files or cannot be
            written.
    """
    check_ids(table.image_ids)
    matrix = table.matrix()
    names = np.array(table.image_ids, dtype=np.str_)

    def write(folder: Path) -> None:
        for phase, code in PHASES.items():
            rows = np.flatnonzero((table.split == TEST) == (code == TEST))
            codes = matrix.dense(rows)
            parts = {
                "labels": (codes == POSITIVE).astype(np.float64),
                "labels_obs": _theirs(codes),
                "images": names[rows],
                "split": table.split[rows],
            }
            for part, array in parts.items():
                np.save(folder / f"formatted_{phase}_{part}.npy", array, allow_pickle=False)
        save_classes(folder / "classes.json", table.taxonomy)

    write_folder(path, write)


@FORMATS.register(
    "spml-npy",
    loads="dataset",
    saves=save_spml_npy,
    suffixes=(),
    is_folder=True,
    can=frozenset({"several", "negatives", "unknown", "splits"}),
    notes="labels_obs: 1 positive, -1 negative, 0 unknown; labels, which must be complete there: 1 positive, 0 the "
    "rest.",
)
def load_spml_npy(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    use: str = "auto",
    bias: str = "",
) -> Dataset:
    """Labels of a folder with ``formatted_train_*.npy`` and ``formatted_val_*.npy``, or one of the two.

    Args:
        path: the folder.
        classes: the classes, one per column; by default ``classes.json`` or ``classes.txt`` in the folder, else they
            are called "class 0" and so on.
        root: the folder that the file names are relative to; without it the data set has no pictures.
        name: short name for tables and figures; the folder's by default.
        use: "observed" reads ``labels_obs``, "full" ``labels``; "auto" what is observed if it is there.
        bias: which ``formatted_<phase>_<bias>_labels_obs.npy`` to read where there are several, such as "uniform".

    Raises:
        DataError: for a missing or damaged file or a code that is none; it names the file and the cell.
        MismatchError: for files of different lengths. SettingError: for another value of ``use``.
    """
    if use not in _USES:
        raise SettingError(f"use={use!r}: choose from {', '.join(_USES)}")
    folder = Path(path)
    if not folder.is_dir():
        what = "this is a file; name its folder" if folder.exists() else "there is no such folder; check the path"
        raise DataError(f"{folder}: {what}")
    parts = [_phase(folder, phase, use, bias) for phase in PHASES if _array_path(folder, phase, "images").is_file()]
    if not parts:
        raise DataError(f"{folder}: there is no formatted_train_images.npy in it; check the folder")
    widths = {part.codes.shape[1] for part in parts}
    if len(widths) > 1:
        raise MismatchError(f"{folder}: the files are of {' and '.join(map(str, sorted(widths)))} classes")
    ids = tuple(clean_id(image) for part in parts for image in part.images)
    for image in ids:
        check_text(image, f"{folder}: image name")
    dataset = Dataset(
        name=name or folder.resolve().name,
        taxonomy=_taxonomy(folder, classes, widths.pop()),
        image_ids=ids,
        labels=LabelMatrix.from_dense(np.concatenate([part.codes for part in parts])),
        split=np.concatenate([part.split for part in parts]),
    )
    return dataset if root is None else attach_pictures(dataset, root)


class _Phase(NamedTuple):
    images: list[str]
    codes: Codes
    split: NDArray[np.int8]


def _phase(folder: Path, phase: str, use: str, bias: str) -> _Phase:
    path = _array_path(folder, phase, "images")
    images = _read(path)
    if images.ndim == 1 and images.dtype.kind == "S":
        images = _decoded(images, path)
    if images.ndim != 1 or images.dtype.kind != "U":
        raise DataError(f"{path}: this is {images.dtype} {list(images.shape)}, not a list of file names")
    if not _is_unicode(images):
        raise DataError(f"{path}: a file name has characters that there are not; the file is damaged, make it again")
    source, meaning = _labels_path(folder, phase, use, bias)
    codes = _ours(source, meaning)
    split_path = _array_path(folder, phase, "split")
    split = _read(split_path) if split_path.is_file() else np.full(len(images), PHASES[phase], dtype=np.int8)
    if split.dtype.kind not in "iu" or not np.isin(split, tuple(SPLITS.values())).all():
        raise DataError(f"{split_path}: a split is not 0 (train), 1 (validation) or 2 (test)")
    for file, length in ((source, len(codes)), (split_path, len(split))):
        if length != len(images):
            raise MismatchError(f"{file}: {length} rows, but {path.name} has {len(images)} images")
    return _Phase(images.tolist(), codes, split.astype(np.int8))


def _decoded(texts: NDArray[np.generic], path: Path) -> NDArray[np.str_]:
    try:
        return np.array([text.decode() for text in texts.tolist()], dtype=np.str_)
    except UnicodeDecodeError:
        raise DataError(f"{path}: a file name is not UTF-8; save the names as text") from None


def _is_unicode(texts: NDArray[np.generic]) -> bool:
    """NumPy makes strings of any four bytes, and Python fails on some of them without a proper error."""
    if not texts.size or not texts.dtype.itemsize:
        return True
    points = np.ascontiguousarray(texts).view(np.dtype(np.uint32).newbyteorder(texts.dtype.byteorder))
    return bool(points.max() <= sys.maxunicode)


def _labels_path(folder: Path, phase: str, use: str, bias: str) -> tuple[Path, Mapping[int, int]]:
    """The file of labels, and what its codes mean."""
    full = _array_path(folder, phase, "labels")
    plain = _array_path(folder, phase, f"{bias}_labels_obs" if bias else "labels_obs")
    biased = [] if bias else sorted(folder.glob(f"formatted_{phase}_*_labels_obs.npy"))
    if use == "full" or (use == "auto" and not bias and not plain.is_file() and not biased):
        return full, FULL
    if plain.is_file() or not biased:
        return plain, OBSERVED
    if len(biased) > 1:
        kinds = ", ".join(file.name.removeprefix(f"formatted_{phase}_").split("_labels")[0] for file in biased)
        raise DataError(f"{folder}: there are several observed labels of {phase!r}; choose a bias: {kinds}")
    return biased[0], OBSERVED


def _array_path(folder: Path, phase: str, part: str) -> Path:
    return folder / f"formatted_{phase}_{part}.npy"


def _read(path: Path) -> NDArray[np.generic]:
    """Mapped, not read: the matrices of large sets are 8 bytes a cell."""
    try:
        found: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, TokenError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "Python objects" in reason:  # opening them would run what the file says
            raise DataError(
                f"{path}: these are Python objects, which are not opened; save it as text or numbers, "
                "np.save(path, array.astype(str))"
            ) from None
        raise DataError(f"{path}: this is not a NumPy array, or it is damaged ({reason}); make it again") from None
    return found


def _ours(path: Path, meaning: Mapping[int, int]) -> Codes:
    """Their matrix in our codes, int8 [N, L]."""
    given = _read(path)
    if given.ndim != 2 or given.dtype.kind not in "iufb":
        raise DataError(f"{path}: this is {given.dtype} {list(given.shape)}, not a matrix of codes")
    codes = np.full(given.shape, UNKNOWN, dtype=np.int8)
    for start in range(0, len(given), _BLOCK):
        block = np.asarray(given[start : start + _BLOCK])
        known = np.zeros(block.shape, dtype=bool)
        for theirs, ours in meaning.items():
            codes[start : start + _BLOCK][block == theirs] = ours
            known |= block == theirs
        if not known.all():
            row, column = (int(place[0]) for place in np.nonzero(~known))
            expected = "1 positive, 0 unknown, -1 negative" if -1 in meaning else "1 positive, 0 negative"
            raise DataError(f"{path}: [{start + row}, {column}] is {block[row, column]}; the codes are {expected}")
    return codes


def _theirs(codes: Codes) -> NDArray[np.float64]:
    theirs = np.zeros(codes.shape, dtype=np.float64)
    for code, ours in OBSERVED.items():
        theirs[codes == ours] = code
    return theirs


def _taxonomy(folder: Path, classes: Classes | None, columns: int) -> Taxonomy:
    listed = [folder / name for name in reversed(CLASS_FILES) if (folder / name).is_file()]
    if classes is None and not listed:
        return Taxonomy(tuple(f"class {column}" for column in range(columns)))
    taxonomy = as_taxonomy(classes if classes is not None else listed[0])
    if len(taxonomy) != columns:
        raise MismatchError(f"{folder}: the matrices have {columns} columns, the class list {len(taxonomy)} names")
    return taxonomy
