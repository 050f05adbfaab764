"""Reads Hugging Face imagefolders, ours and those of others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.collect import LabelCollector
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.huggingface_words import LABELS, add_words
from spml_annotate.formats.images import SPLIT_NAMES, list_images, split_code
from spml_annotate.formats.manifest import from_json, taxonomy_of
from spml_annotate.formats.text import at, read_records, read_text, unreadable
from spml_annotate.formats.text_lists import printed_list
from spml_annotate.labels import POSITIVE
from spml_annotate.progress import progress
from spml_annotate.taxonomy import Taxonomy

MANIFEST = "manifest.json"
METADATA = ("metadata.jsonl", "metadata.parquet", "metadata.csv")
_COLUMNS = (LABELS, "label", "objects")

Record = tuple[str, dict[str, Any]]
"""Where it stands, for messages, and what it says."""


def read_folder(path: Path, classes: Classes | None, root: Path, column: str, *, complete: bool) -> LabelTable:
    """See `load_huggingface`."""
    collector = LabelCollector(classes if classes is not None else stated_classes(path))
    files = _metadata_files(path)
    if files:
        for file in files:
            _read_file(collector, path, file, root, column)
    else:
        _read_names(collector, path, root)
    try:
        return collector.table(complete=complete)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def stated_classes(folder: Path) -> Taxonomy | None:
    """The classes in the manifest of an export of ours, None if there is none."""
    about = folder / MANIFEST
    if not about.is_file():
        return None
    return taxonomy_of(from_json(read_text(about), str(about)), str(about))


def column_of(record: dict[str, Any], column: str) -> str:
    """The column of a record that has the positives.

    Raises:
        DataError: if ``column`` is not there, or none was named and there is none of the usual ones.
    """
    found = next((name for name in ([column] if column else _COLUMNS) if name in record), None)
    if found is None:
        wanted = repr(column) if column else "'labels', 'label' or 'objects'"
        raise DataError(f"there is no column {wanted}, only {', '.join(sorted(record)[:8])}; name the column")
    return found


def split_of(text: str) -> str:
    """The split that a folder or the beginning of a file name stands for; train if for none."""
    try:
        return SPLIT_NAMES[split_code(text)]
    except DataError:
        return "train"


def _metadata_files(path: Path) -> list[Path]:
    if not path.is_dir():
        what = "this is a file, not a folder" if path.exists() else "there is no such folder"
        raise DataError(f"{path}: {what}; name the folder with the pictures")
    found = []
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [Path(folder) / name for name in METADATA if name in names][:1]
    return sorted(found, key=lambda file: split_code(_split(path, file)))


def _split(path: Path, file: Path) -> str:
    return split_of(file.relative_to(path).parts[0])


def _split_of_picture(record: dict[str, Any]) -> str:
    """One list for all pictures, above the folders of the splits: as the library does, their names tell."""
    found = (split_of(part) for part in str(record["file_name"]).split("/")[:-1])
    return next((split for split in found if split != "train"), "train")


def _read_file(collector: LabelCollector, path: Path, file: Path, root: Path, column: str) -> None:
    split = _split(path, file)
    for where, record in progress(_records(file), what=f"reading {file.parent.name}/{file.name}"):
        try:
            image = _image(record, file.parent, root)
            row = collector.image(image, _split_of_picture(record) if file.parent == path else split)
            add_words(collector, row, record, column_of(record, column))
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def _image(record: dict[str, Any], folder: Path, root: Path) -> str:
    name = record.get("file_name")
    if not isinstance(name, str) or not name:
        several = next((key for key in record if key.endswith("file_names")), None)
        if several is not None:
            raise DataError(
                f"{several!r} lists several pictures with one set of labels; give each a line, by 'file_name'"
            )
        raise DataError("there is no 'file_name'; every line names a picture")
    if name.startswith("/") or ".." in name.split("/") or not (folder / name).is_file():
        raise DataError(f"file_name {name!r} is no file below {folder}")
    stated = record.get("image_id")
    return stated if isinstance(stated, str) and stated else _below(folder / name, root)


def _below(file: Path, root: Path) -> str:
    relative = Path(os.path.relpath(file, root)).as_posix()
    if relative.startswith("../"):
        raise DataError(f"{file} does not lie below {root}")
    return relative


def _read_names(collector: LabelCollector, path: Path, root: Path) -> None:
    """Without metadata, the folder that a picture lies in is its class, and one above it may be its split."""
    for name in list_images(path):
        parts = name.split("/")
        if len(parts) < 2:
            raise DataError(f"{path}: there is no metadata.jsonl, and {name!r} lies in no folder that names its class")
        row = collector.image(_below(path / name, root), split_of(parts[0]))
        collector.add(row, parts[-2], POSITIVE)


def _records(file: Path) -> Iterator[Record]:
    if file.suffix == ".parquet":
        return _of_parquet(file)
    return _of_csv(file) if file.suffix == ".csv" else _of_json(file)


def _of_json(file: Path) -> Iterator[Record]:
    number = 0
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                    if not isinstance(record, dict):
                        raise at(file, number, "this is not a JSON object with a file_name")
                    yield f"{file}, line {number}", record
    except (ValueError, RecursionError) as error:  # JSON and Unicode errors alike
        raise at(file, number, f"this is not JSON ({error}); a line is one object") from None
    except OSError as error:
        raise unreadable(file, error) from None


def _of_csv(file: Path) -> Iterator[Record]:
    header: list[str] | None = None
    for line, fields in read_records(file):
        if header is None:
            header = fields
        elif len(fields) != len(header):
            raise at(file, line, f"{len(fields)} columns where the header has {len(header)}; check the commas")
        else:
            yield f"{file}, line {line}", {name: _cell(text) for name, text in zip(header, fields, strict=True)}


def _cell(text: str) -> Any:  # noqa: ANN401  (a text, a list, or None)
    listed = printed_list(text)
    return listed if listed is not None else text or None


def _of_parquet(file: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet as pq

    number = 0
    try:
        for block in pq.ParquetFile(file).iter_batches(batch_size=1000):  # type: ignore[no-untyped-call]
            for record in block.to_pylist():
                number += 1
                yield f"{file}, record {number}", record
    except (pyarrow.ArrowException, OSError) as error:  # pyarrow calls damage an OSError
        reason = str(error).splitlines()[0]
        raise DataError(f"{file}: this is not a Parquet file, or it is damaged ({reason})") from None
