"""Which format a file or folder has, told by its name and, where several share one, by its first bytes or its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.text import read_records, unreadable

_IN_FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "parquet": ("labels.parquet",),
        "fiftyone": ("samples.json",),
        "datumaro": ("annotations/*.json",),
        "voc": ("Annotations", "ImageSets", "VOC2*", "VOCdevkit", "*/Annotations", "*/ImageSets"),
        "spml-npy": ("formatted_*.npy", "*_labels_obs.npy"),
        "webdataset": ("*.tar", "*/*.tar"),
        "huggingface": ("metadata.*", "*/metadata.*", "data/*/metadata.*"),
        "huggingface-parquet": ("*.parquet", "*/*.parquet"),
    }
)
"""What is found in a folder of a format, the surest sign first; sets of pictures alone have no labels to import."""


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
        raise DataError(f"{path}: this looks like no known format; say which with --format: {', '.join(readable())}")
    return found


def readable() -> list[str]:
    """Names of the formats that labels can be read from."""
    return [name for name in FORMATS if FORMATS[name].facts["loads"] and name != "folder"]


def _of_folder(path: Path) -> str | None:
    coco = next(iter(sorted(path.glob("annotations/instances_*.json"))), None)
    if coco is not None:
        raise DataError(f"{path}: this is a folder in the manner of COCO; name one of its files, such as {coco}")
    for name, patterns in _IN_FOLDERS.items():
        if name in FORMATS and any(next(path.glob(pattern), None) is not None for pattern in patterns):
            return name
    return None


def _of_file(path: Path) -> str | None:
    suffix = path.suffix.lower()
    fitting = [name for name in FORMATS if suffix in FORMATS[name].facts["suffixes"] and FORMATS[name].facts["loads"]]
    if suffix == ".json" or not fitting:
        begins = _begins(path)
        if b"\0" in begins:
            return None  # no text; a picture, say
        if suffix == ".json" or begins[:1] in (b"{", b"["):
            return "label-studio" if begins.startswith(b"[") else "coco"
    if suffix == ".parquet":
        return "parquet" if _is_ours(path) else "huggingface-parquet"
    if suffix == ".csv" or not fitting:
        return _of_table(path)
    return fitting[0]


def _of_table(path: Path) -> str:
    """One of the formats made of lines; files may end in anything (.txt, .tsv), and the reader says what is wrong."""
    header = next(iter(read_records(path)), None)
    return "open-images" if header is not None and header.fields[0].strip() == "ImageID" else "csv"


def _begins(path: Path) -> bytes:
    """The first bytes that are no space."""
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
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
