"""Which format a file or folder has, told by its name and, where several share one, by its first bytes or its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.label_studio_min import COLUMNS as LABEL_STUDIO
from spml_annotate.formats.losing import SIDE_COLUMNS
from spml_annotate.formats.text import read_records, unreadable

_XML = ("*.xml", "annotations/*.xml", "labels/*.xml")
_IN_FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "parquet": ("labels.parquet",),
        "fiftyone": ("samples.json", "samples/*.json"),
        "datumaro": ("annotations/*.json",),
        "voc": ("Annotations", "ImageSets", "VOC2*", "VOCdevkit", "*/Annotations", "*/ImageSets", *_XML),
        "spml-npy": ("formatted_*.npy", "*_labels_obs.npy"),
        "webdataset": tuple(f"{start}*{end}" for start in ("", "*/") for end in (".tar", ".tar.gz", ".tgz")),
        "huggingface": ("metadata.*", "*/metadata.*", "data/*/metadata.*"),
        "huggingface-parquet": ("*.parquet", "*/*.parquet"),
    }
)
"""What is found in a folder of a format, the surest sign first; sets of pictures alone have no labels to import."""
_COCO = (
    "annotations/instances_*.json",
    "annotations/*.json",
    "labels.json",
    "*/_annotations.coco.json",
    "_annotations.coco.json",
)
_KEYS: tuple[tuple[str, frozenset[str]], ...] = (
    ("coco", frozenset({"images"})),
    ("datumaro", frozenset({"items"})),
    ("label-studio", frozenset({"data", "annotations"})),
    ("label-studio", frozenset({"data", "predictions"})),
    ("label-studio", frozenset({"annotation_id", "annotator"})),
    ("fiftyone", frozenset({"samples"})),
)
"""Keys of an object in JSON that only one format has; looked for in this order."""
_TOKENS = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|([\[\]{}])')
_FIRST = 65_536


def tell_format(path: str | Path, name: str | None = None) -> str:
    """The name of the format to read a file or folder by: the one given, if it can be read, else the one it looks like.

    Raises:
        SettingError: for a format that does not exist or is not read. DataError: if there is no such file or folder, or
            it looks like nothing known.
    """
    if name is not None:
        if not FORMATS[name].facts["loads"]:
            raise SettingError(f"--format {name}: it is only written; choose from {', '.join(readable())}")
        return name
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the path")
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is None or found not in FORMATS:
        hint = "; folders called by their class are huggingface" if path.is_dir() else ""
        formats = ", ".join(readable())
        raise DataError(f"{path}: this looks like no known format; say which with --format: {formats}{hint}")
    return found


def readable() -> list[str]:
    """Names of the formats that labels can be read from."""
    return [name for name in FORMATS if FORMATS[name].facts["loads"] and name != "folder"]


def _of_folder(path: Path) -> str | None:
    coco = next((file for pattern in _COCO for file in sorted(path.glob(pattern)) if _is_coco(file)), None)
    if coco is not None:
        raise DataError(f"{path}: this is a folder in the manner of COCO; name one of its files, such as {coco}")
    for name, patterns in _IN_FOLDERS.items():
        if name in FORMATS and any(next(path.glob(pattern), None) is not None for pattern in patterns):
            return name
    if (path / "state.json").is_file() and (path / "dataset_info.json").is_file():
        raise DataError(f"{path}: save_to_disk wrote this; write it with to_parquet into a folder and name that one")
    return None


def _is_coco(file: Path) -> bool:
    told = _of_object(file)
    return told == "coco" or (told is None and file.name.startswith("instances_"))


def _of_file(path: Path) -> str | None:
    suffix = ".tgz" if path.name.lower().endswith(".tar.gz") else path.suffix.lower()
    if suffix == ".xml":
        return "voc"
    if suffix == ".npy":
        raise DataError(f"{path}: labels and names are in files of their own; name the folder {path.parent}")
    if path.name == "metadata.jsonl":
        raise DataError(f"{path}: this belongs to an imagefolder of Hugging Face; name the folder {path.parent}")
    fitting = [name for name in FORMATS if suffix in FORMATS[name].facts["suffixes"] and FORMATS[name].facts["loads"]]
    if suffix == ".json" or not fitting:
        begins = _begins(path)
        if b"\0" in begins:
            return None  # no text; a picture, say
        if suffix == ".json" or begins[:1] in (b"{", b"["):
            return _of_list(path, begins) if begins.startswith(b"[") else _of_object(path)
    if suffix == ".parquet":
        return "parquet" if _is_ours(path) else "huggingface-parquet"
    if suffix == ".csv" or not fitting:
        return _of_table(path)
    return fitting[0]


def _of_table(path: Path) -> str:
    """One of the formats made of lines; files may end in anything (.txt, .tsv), and the reader says what is wrong."""
    header = next(iter(read_records(path)), None)
    if header is not None and tuple(header.fields) == SIDE_COLUMNS:
        raise DataError(f"{path}: this lies beside an export and lists proposals, too; name the export itself")
    names = {name.strip() for name in header.fields} if header is not None else set()
    if names >= LABEL_STUDIO:
        return "label-studio"
    return "open-images" if {"ImageID", "LabelName"} <= names else "csv"


def _of_list(path: Path, begins: bytes) -> str:
    keys = _keys(begins, depth=2)
    if "image_id" in keys and "category_id" in keys:
        raise DataError(
            f"{path}: these are results of a detector for COCO, which name images and classes by numbers; put them as "
            "`annotations` into the file that has the images and categories"
        )
    return "label-studio"


def _of_object(path: Path) -> str | None:
    """By the keys that stand near the beginning; what has none of them there, but goes on, may still be COCO."""
    begins = _begins(path)
    keys = _keys(begins, depth=1)
    told = next((name for name, its in _KEYS if its <= keys), None)
    goes_on = len(begins) > _FIRST // 2
    return told or ("coco" if goes_on or keys & {"annotations", "categories"} else None)


def _keys(begins: bytes, depth: int) -> set[str]:
    """Keys of JSON objects at a depth, out of the beginning of a file."""
    found: set[str] = set()
    now = 0
    for text, follows, bracket in _TOKENS.findall(begins.decode("utf-8", "replace")):
        if bracket:
            now += 1 if bracket in "[{" else -1
        elif follows and now == depth:
            found.add(text)
    return found


def _begins(path: Path) -> bytes:
    """The first bytes that are no space."""
    try:
        with path.open("rb") as file:
            return file.read(_FIRST).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise unreadable(path, error) from None


def _is_ours(path: Path) -> bool:
    """Whether a Parquet file is an export of this program; a damaged one counts as one, and its reader says so."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        about = pq.read_schema(path).metadata or {}  # type: ignore[no-untyped-call]
    except (pyarrow.ArrowException, OSError):
        return True
    return b"spml_annotate" in about or b"huggingface" not in about
