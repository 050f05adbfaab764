"""Reads the lists of a Pascal VOC folder (``ImageSets/Main``), and what says which names they use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats.dataset import TRAIN
from spml_annotate.formats.images import IMAGE_SUFFIXES, SPLIT_NAMES
from spml_annotate.formats.json_places import Place, read_json
from spml_annotate.formats.text import at, check_text, read_text
from spml_annotate.formats.voc_write import LISTS, NAMES, NAMES_FORMAT, SETS
from spml_annotate.labels import NEGATIVE, POSITIVE

_CODES = {"1": POSITIVE, "+1": POSITIVE, "-1": NEGATIVE, "0": None}


@dataclass
class Names:
    """File name → name, of images and classes, where the folder was written by `save_voc`; else empty."""

    images: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)


@dataclass
class Lists:
    """What the lists say: image → split in order, and class → image → code (None for 0)."""

    split: dict[str, int]
    codes: dict[str, dict[str, int | None]]


def find_home(path: Path) -> Path:
    """The folder with ``Annotations``, ``ImageSets`` or XML files: ``path`` or the only ``VOC…`` folder in it.

    Raises:
        DataError: if there is none, or several.
    """
    if not path.is_dir():
        what = "this is a file; name its VOC folder" if path.exists() else "there is no such folder; check the path"
        raise DataError(f"{path}: {what}")
    if _is_home(path):
        return path
    for place in (path, path / "VOCdevkit"):
        homes = sorted(folder for folder in place.glob("VOC*") if _is_home(folder))
        if len(homes) == 1:
            return homes[0]
        if homes:
            names = ", ".join(home.name for home in homes)
            raise DataError(f"{path}: there are several VOC folders, {names}; name one after the other: {homes[0]}")
    raise DataError(f"{path}: this is no VOC folder, which has Annotations, {LISTS.as_posix()} or XML files in it")


def xml_files(home: Path) -> dict[str, Path]:
    """Image → XML file of a VOC folder; labelling programs put them beside the pictures, ``annotations`` or ``labels``.

    An image is called as its file is, without the suffix; in folders below, as the path is.
    """
    return _first_with(home, ("Annotations", "annotations", "labels"), lambda file: file.suffix == ".xml")


def picture_files(home: Path) -> Pictures:
    """The pictures of a VOC folder, which may lie where its XML files lie."""
    return Pictures(
        _first_with(home, ("JPEGImages", "images", "data"), lambda file: file.suffix.lower() in IMAGE_SUFFIXES)
    )


class Pictures:
    """Pictures by the names of images: paths without suffix, or their last parts where folders are left out.

    Args:
        files: path without suffix → picture.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._short: dict[str, str | None] = {}
        for name in files:
            last = name.rpartition("/")[2]
            self._short[last] = None if last in self._short else name

    def of(self, image: str) -> tuple[str, Path] | None:
        """The path of a picture from the folder of pictures, and its file; None if it is not there."""
        name = image if image in self._files else self._short.get(image.rpartition("/")[2])
        if name is None or (name != image and "/" in name and "/" in image):  # one in another folder is another
            return None
        file = self._files[name]
        return name.rpartition("/")[0] + "/" * ("/" in name) + file.name, file


def called_as_listed(found: Mapping[str, Path], listed: Container[str]) -> dict[str, Path]:
    """The same files, called as the lists call them where those leave the folders below out."""
    short = Counter(name.rpartition("/")[2] for name in found)
    names = {name: name.rpartition("/")[2] for name in found}
    return {
        last if name not in listed and last in listed and short[last] == 1 else name: found[name]
        for name, last in names.items()
    }


def _first_with(home: Path, folders: Sequence[str], wanted: Callable[[Path], bool]) -> dict[str, Path]:
    """Path without suffix → file, of the first folder that has such files: in or below those named, or in ``home``."""
    for folder in (*(home / name for name in folders), home):
        if not folder.is_dir():
            continue
        every = folder.iterdir() if folder == home else folder.rglob("*")
        found = {
            file.relative_to(folder): file for file in sorted(every) if wanted(file) and not _is_hidden(file, folder)
        }
        if found:
            return {place.with_suffix("").as_posix(): file for place, file in found.items()}
    return {}


def read_names(home: Path) -> Names:
    """What the file beside the lists says.

    Raises:
        DataError: if it is damaged.
    """
    path = home / NAMES
    if not path.is_file():
        return Names()
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != NAMES_FORMAT:
        raise DataError(f"{path}: this is not the list of names of an exported VOC folder; export again")
    try:
        return Names(*(dict(_pairs(Place(content, ""), key)) for key in ("images", "classes")))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_lists(home: Path, names: Names) -> Lists:
    """All lists in ``ImageSets/Main``; there may be none.

    Raises:
        DataError: for a malformed line, an image in two splits, or lists that contradict each other.
    """
    found = Lists({}, {})
    folder = home / LISTS
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    for stem, codes in SETS.items():
        path = folder / f"{stem}.txt"
        if path in files:
            _read_split(path, codes[0] if len(codes) == 1 else None, found.split)
    places: dict[tuple[str, str], str] = {}
    for path in files:
        name, _, stem = path.stem.rpartition("_")
        if not name or stem not in SETS:
            continue
        codes_of = found.codes.setdefault(names.classes.get(name, name), {})
        for line, image, code in _coded(path):
            if image not in codes_of:
                codes_of[image] = code
                places[name, image] = f"line {line} of {path.name}"
            elif codes_of[image] != code:
                raise at(path, line, f"image {image!r} has another code on {places[name, image]}; keep one")
            found.split.setdefault(image, SETS[stem][0])
    return found


def _is_home(folder: Path) -> bool:
    return (folder / LISTS).is_dir() or (folder / "Annotations").is_dir() or bool(xml_files(folder))


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _pairs(content: Place, key: str) -> Iterator[tuple[str, str]]:
    for number, pair in enumerate(content.list_of(key, needed=True)):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise DataError(f"{key}[{number}]: this is not a file name and a name")
        check_text(pair[1], f"{key}[{number}]")
        yield pair[0], pair[1]


def _read_split(path: Path, code: int | None, split: dict[str, int]) -> None:
    """``code`` None is trainval: images that are in neither of the two count as train."""
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        image = text.strip()
        if not image:
            continue
        before = split.setdefault(image, TRAIN if code is None else code)
        if code is not None and before != code:
            message = f"image {image!r} is in {SPLIT_NAMES[code]} here and in {SPLIT_NAMES[before]} elsewhere"
            raise at(path, line, f"{message}; choose one")
        if code is None and SPLIT_NAMES[before] == "test":
            raise at(path, line, f"image {image!r} is in trainval here and in test elsewhere; choose one")


def _coded(path: Path) -> Iterator[tuple[int, str, int | None]]:
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        parts = text.rsplit(None, 1)
        if not parts:
            continue
        if len(parts) != 2 or parts[1] not in _CODES:
            raise at(path, line, f"{text.strip()!r} is not an image and 1 (there), -1 (not there) or 0 (difficult)")
        yield line, parts[0].strip(), _CODES[parts[1]]
