"""Hugging Face imagefolder: pictures in a folder per split, and ``metadata.jsonl`` beside them.

The library takes the types of JSON from what it sees first in a split; where a list would be empty there (a split
without negatives, say) the same columns go to ``metadata.parquet``, which states its types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.huggingface_read import MANIFEST, read_folder
from spml_annotate.formats.huggingface_words import ImageWords
from spml_annotate.formats.manifest import manifest, to_json
from spml_annotate.formats.picture_files import picture_files, put_picture
from spml_annotate.formats.picture_names import file_names
from spml_annotate.stores.folders import check_folder, write_folder

_BLOCK = 10_000


def save_huggingface(
    path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None, link: bool = False
) -> None:
    """Write ``<split>/metadata.jsonl`` and the pictures that it names, for ``load_dataset(folder)``.

    An image is called by its id where every program can read that as a file name, else by its number; ``image_id`` has
    the id. Of a cell with several labels the one that counts is written.

    Args:
        path: the folder to make.
        table: N images and their labels.
        pictures: image id → file, of every image.
        link: give the pictures a further name instead of copying them, where the file system can.

    Raises:
        DataError: without the pictures, or if the folder holds other files or cannot be written.
    """
    path = Path(path)
    files = picture_files(path, table.image_ids, pictures, "huggingface")
    check_folder(path)
    words = ImageWords(table)
    names = file_names(table.image_ids, files)
    as_json = words.tells_types()

    def write(folder: Path) -> None:
        for split, rows in words.splits():
            (folder / split).mkdir()
            for row in rows.tolist():
                put_picture(files[row], folder / split / names[row], link=link)
            records = (
                {"file_name": names[row], "image_id": table.image_ids[row], **words.lists(row)} for row in rows.tolist()
            )
            (_write_json if as_json else _write_parquet)(folder / split, records)
        (folder / MANIFEST).write_text(to_json(manifest(table)), "utf-8")

    write_folder(path, write)


@FORMATS.register(
    "huggingface",
    loads="table",
    saves=save_huggingface,
    suffixes=(),
    is_folder=True,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "pictures"}),
    notes="The list `labels` has the positives, `negatives` the negatives; a class in neither list is unknown.",
)
def load_huggingface(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    column: str = "",
    complete: bool = False,
) -> LabelTable:
    """Labels of an imagefolder: of ``metadata.jsonl``, ``.csv`` or ``.parquet``, else of the folders' names.

    Args:
        path: the folder; folders in it that are called like a split are the splits.
        classes: the classes and their order; by default those that an export of ours states, else those named.
        root: the folder that image ids are relative to, ``path`` by default; ids that the metadata state go before.
        name: not needed; a table has none.
        column: of the metadata that has the labels; ``labels``, ``label`` or ``objects`` by default. Objects say that
            their class is there, and nothing about others.
        complete: read what an image's labels do not name as negative; right only where they name everything.

    Raises:
        DataError: for a missing, empty or malformed file or a picture that is not there; it names the line.
    """
    return read_folder(Path(path), classes, Path(root) if root is not None else Path(path), column, complete=complete)


def _write_json(folder: Path, records: Iterator[dict[str, Any]]) -> None:
    with (folder / "metadata.jsonl").open("x", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_parquet(folder: Path, records: Iterator[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(records, None)
    names = list(first) if first is not None else ["file_name", "image_id", "labels"]
    schema = pa.schema([(name, _type(name)) for name in names])
    with pq.ParquetWriter(folder / "metadata.parquet", schema) as writer:  # type: ignore[no-untyped-call]
        block = [first] if first is not None else []
        for record in records:
            block.append(record)
            if len(block) == _BLOCK:
                writer.write_table(pa.Table.from_pylist(block, schema))
                block = []
        writer.write_table(pa.Table.from_pylist(block, schema))


def _type(column: str) -> Any:  # noqa: ANN401  (pyarrow has no types)
    import pyarrow as pa

    if column in ("file_name", "image_id"):
        return pa.string()
    return pa.list_(pa.float64() if column.endswith("_scores") else pa.string())
