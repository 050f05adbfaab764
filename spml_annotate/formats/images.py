"""Image ids at the rim: how paths become ids, how names of splits are read, and how ids are matched to rows."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.dataset import SPLITS, TEST, TRAIN, VALIDATION
from spml_annotate.formats.text import check_text, unreadable
from spml_annotate.taxonomy import with_spellings

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"}
)
OTHER_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".eps", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf"}
)
"""Pictures that are not read; whoever has them should hear of it."""
SPLIT_NAMES = {code: name for name, code in SPLITS.items()}
_SPELLINGS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}


def clean_id(text: str) -> str:
    r"""An image id from a path as people write it: ``.\dogs\1.jpg`` → ``dogs/1.jpg``."""
    name = text.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def check_ids(ids: Iterable[str]) -> None:
    """Raise DataError for an id that would come back from a CSV file as another one."""
    for name in ids:
        check_text(name, "image id")
        if clean_id(name) != name:
            raise DataError(f"image id {name!r} would be read back as {clean_id(name)!r}; rename the image")


def split_code(text: str) -> int:
    """0, 1 or 2 for a split's name, whatever its case; ``val`` and ``valid`` are validation.

    Raises:
        DataError: for any other text.
    """
    code = _SPELLINGS.get(text.strip().lower())
    if code is None:
        what = f"{text!r} is not a split" if text.strip() else "the split is empty"
        raise DataError(f"{what}; write train, validation or test")
    return code


def list_images(root: str | Path) -> list[str]:
    """Ids of all images below a folder: relative paths with ``/``, sorted; hidden files and folders are left out.

    Links to folders are followed, each folder once; not those to a folder that this one lies in, which are loops.

    Raises:
        DataError: if the folder is missing, not a folder, or holds no image.
    """
    root = Path(root)
    found = _walk(root)
    if not found:
        others = other_pictures(root)
        hint = f"; convert {others[0]} and the like to JPEG or PNG" if others else ""
        raise DataError(f"{root}: there is no image in this folder; images end in .jpg, .png, .webp and the like{hint}")
    for name in found:
        check_text(name, f"{root}: file name")
    return sorted(found)


def other_pictures(root: Path) -> list[str]:
    """Pictures below a folder that are of kinds that are not read, as relative paths, sorted."""
    return sorted(_walk(root, OTHER_SUFFIXES))


def _walk(root: Path, suffixes: Container[str] = IMAGE_SUFFIXES) -> list[str]:
    if not root.is_dir():
        what = "this is not a folder" if root.exists() else "there is no such folder"
        raise DataError(f"{root}: {what}; check the path")
    found: list[str] = []
    seen = {root.resolve(), *root.resolve().parents}
    for folder, subfolders, files in os.walk(root, onerror=_raise, followlinks=True):
        here = Path(folder)
        subfolders[:] = [name for name in sorted(subfolders) if not name.startswith(".") and _first(here / name, seen)]
        found.extend((here / name).relative_to(root).as_posix() for name in files if _ends(name, suffixes))
    return found


def image_paths(root: str | Path, ids: Sequence[str]) -> list[Path]:
    """The file of every id.

    Raises:
        DataError: for an id that is not a file below ``root``, with a similar one if there is any.
    """
    root = Path(root)
    paths = []
    for name in ids:
        path = next((found for found in _forms(root, name) if found.is_file()), root / name)
        if name.startswith("/") or ".." in name.split("/") or not path.is_file():
            raise DataError(f"image {name!r} is not in the folder {root}{_similar(name, sorted(_walk(root)))}")
        paths.append(path)
    return paths


def rows_by_id(ids: Iterable[str]) -> dict[str, int]:
    """Id → row; ids are also found by their composed and decomposed Unicode forms, which file systems mix."""
    return with_spellings({name: row for row, name in enumerate(ids)})


def match_rows(ids: Iterable[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Row in ``known`` of each id, int64 [R].

    Raises:
        DataError: for an id that is not known, with a similar one if there is any.
    """
    rows = rows_by_id(known)
    found = []
    for name in ids:
        if name not in rows:
            raise DataError(f"image {name!r} is not among the {len(known)} images{_similar(name, known)}")
        found.append(rows[name])
    return np.array(found, dtype=np.int64)


def _forms(root: Path, name: str) -> Iterator[Path]:
    yield root / name
    if not name.isascii():
        yield from (root / unicodedata.normalize(form, name) for form in ("NFC", "NFD"))


def _similar(name: str, known: Sequence[str]) -> str:
    """Same file elsewhere first (a wrong root is the usual mistake), then similar spelling among a bounded number."""
    tail = name.rsplit("/", 1)[-1]
    same = next((other for other in known if other.rsplit("/", 1)[-1] == tail), None)
    close = [same] if same is not None else difflib.get_close_matches(name, known[:20_000], n=1)
    return f"; did you mean {close[0]!r}?" if close else "; check the names and the folder"


def _ends(name: str, suffixes: Container[str]) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in suffixes


def _first(folder: Path, seen: set[Path]) -> bool:
    real = folder.resolve()
    if real in seen:
        return False
    seen.add(real)
    return True


def _raise(error: OSError) -> None:
    raise unreadable(Path(error.filename or "."), error) from None
