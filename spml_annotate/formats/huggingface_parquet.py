"""Hugging Face Parquet: shards ``data/<split>-00000-of-00001.parquet`` whose labels are ``Sequence(ClassLabel)``.

The names of the classes are in the key ``huggingface`` of each file, as the library writes it. "Sequence" is the older
word for its "List", and the one that old and new versions of the library read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.collect import LabelCollector
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.huggingface_parquet_write import KEY, save_huggingface_parquet
from spml_annotate.formats.huggingface_read import column_of, split_of, stated_classes
from spml_annotate.formats.huggingface_words import LISTS, NEGATIVES, OBJECTS, add_words
from spml_annotate.formats.images import split_code
from spml_annotate.progress import progress
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_huggingface_parquet", "save_huggingface_parquet"]

_BLOCK = 10_000
_ID = "image_id"
_PICTURES = ("image", "img", "file_name", "filename")
"""Columns that name the picture of a record where none has its id."""


@FORMATS.register(
    "huggingface-parquet",
    loads="table",
    saves=save_huggingface_parquet,
    suffixes=(),
    is_folder=True,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "pictures"}),
    notes="The list `labels` has the positives, `negatives` the negatives; a class in neither list is unknown.",
)
def load_huggingface_parquet(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    column: str = "",
    complete: bool = False,
) -> LabelTable:
    """Labels of a data set in Parquet; the pictures in it are not read.

    Args:
        path: a file, or a folder with files whose names begin with their split.
        classes: the classes and their order; by default those that the files state, else those named.
        root: not needed; ids are those in ``image_id``, else the path of the picture, else file and number. The library
            keeps the last part of a path alone; pictures that have the same one are called by file and number.
        name: not needed; a table has none.
        column: the one with the labels; ``labels``, ``label`` or ``objects`` by default. Objects say that their class
            is there, and nothing about others.
        complete: read what an image's labels do not name as negative; right only where they name everything.

    Raises:
        DataError: for missing or damaged files, or labels that are no classes. MismatchError: for files that state
            different classes.
    """
    path = Path(path)
    files = _files(path)
    wanted = stated_classes(path) if classes is None and path.is_dir() else None
    names = _stated(files, column) if classes is None and wanted is None else None
    collector = LabelCollector(classes if classes is not None else wanted if wanted is not None else names)
    shared = _shared(files)
    for file in files:
        _read_shard(collector, path, file, column, shared)
    try:
        return collector.table(complete=complete)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    every = (file for file in path.rglob("*.parquet") if not any(p[0] == "." for p in file.relative_to(path).parts))
    found = sorted(every, key=lambda file: (split_code(_split(path, file)), file))
    if not found:
        raise DataError(f"{path}: there is no Parquet file; name the folder or file that `save_to` or the Hub gave")
    return found


def _stated(files: Sequence[Path], column: str) -> Taxonomy | None:
    """The classes that the files state, None if they state none."""
    found: tuple[str, ...] | None = None
    for file in files:
        names = _names_in(file, column)
        if names is not None and found is not None and names != found:
            raise MismatchError(f"{file}: it states other classes than {files[0].name}; load them apart")
        found = found if names is None else names
    return Taxonomy(found) if found else None


def _names_in(file: Path, column: str) -> tuple[str, ...] | None:
    text = (_open(file).schema_arrow.metadata or {}).get(KEY)
    if text is None:
        return None
    try:
        features = json.loads(text)["info"]["features"]
        feature = features[column_of(features, column)]
        while isinstance(feature, list | dict) and "names" not in feature:
            feature = feature[0] if isinstance(feature, list) else _inside(feature)
        return tuple(str(name) for name in feature["names"])
    except (ValueError, KeyError, TypeError, IndexError, DataError):
        return None  # features without class names: the labels themselves have to be names


def _inside(feature: Mapping[str, Any]) -> Any:  # noqa: ANN401  (whatever the file says)
    """What a list is of, or the property of objects that has their classes."""
    if "_type" in feature:
        return feature["feature"]
    return feature[next((key for key in OBJECTS if key in feature), "feature")]


def _shared(files: Sequence[Path]) -> frozenset[str]:
    """Paths that several pictures have; nothing but the paths is read."""
    import pyarrow

    seen: set[str] = set()
    again: set[str] = set()
    for file in files:
        content = _open(file)
        wanted = _place(content.schema_arrow)
        if wanted is None or wanted == _ID:
            continue
        try:
            for block in content.iter_batches(batch_size=_BLOCK, columns=[wanted]):
                paths = [found for record in block.to_pylist() if (found := _path(record)) is not None]
                again.update(path for path in paths if path in seen or seen.add(path))  # type: ignore[func-returns-value]
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(file, error) from None
    return frozenset(again)


def _read_shard(collector: LabelCollector, path: Path, file: Path, column: str, shared: frozenset[str]) -> None:
    import pyarrow

    split = _split(path, file)
    short = file.relative_to(path).as_posix() if path.is_dir() else file.name
    content = _open(file)
    number = 0
    try:
        blocks = content.iter_batches(batch_size=_BLOCK, columns=_wanted(content.schema_arrow, column))
        for block in progress(blocks, what=f"reading {short}", total=math.ceil(content.metadata.num_rows / _BLOCK)):
            for record in block.to_pylist():
                place = _path(record)
                row = collector.image(place if place and place not in shared else f"{short}#{number}", split)
                add_words(collector, row, record, column_of(record, column))
                number += 1
    except DataError as error:
        raise DataError(f"{file}, record {number + 1}: {error}") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _wanted(schema: Any, column: str) -> list[str]:  # noqa: ANN401  (pyarrow has no types)
    """Columns to read: of pictures only the path, never the bytes."""
    label = column_of(dict.fromkeys(schema.names), column)
    lists = [f"{stem}_{what}" for _, stem in LISTS.values() for what in ("sources", "scores")]
    place = _place(schema)
    return [*(name for name in (label, NEGATIVES, *lists) if name in schema.names), *([place] if place else [])]


def _place(schema: Any) -> str | None:  # noqa: ANN401  (pyarrow has no types)
    """The column that says which picture a record is of, None if there is none."""
    if _ID in schema.names and "string" in str(schema.field(_ID).type):
        return _ID
    for name in (name for name in _PICTURES if name in schema.names):
        kind = schema.field(name).type
        if str(kind).startswith("struct") and "path" in [field.name for field in kind]:
            return f"{name}.path"
        if "string" in str(kind):
            return name
    return None


def _path(record: Mapping[str, Any]) -> str | None:
    """What that column says, None if nothing."""
    for name in (_ID, *_PICTURES):
        found = record.get(name)
        found = found.get("path") if isinstance(found, Mapping) else found
        if isinstance(found, str) and found:
            return found
    return None


def _split(path: Path, file: Path) -> str:
    """A split that a folder on the way is called by, else the one that the name of the file begins with."""
    folders = file.relative_to(path).parts[:-1] if path.is_dir() else ()
    for part in (*folders, re.split(r"[-._ ]", file.stem)[0]):
        if split_of(part) != "train":
            return split_of(part)
    return "train"


def _open(file: Path) -> Any:  # noqa: ANN401  (pyarrow has no types)
    import pyarrow
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)  # type: ignore[no-untyped-call]
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: BaseException) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(f"{file}: this is not a Parquet file, or it is damaged ({reason}); fetch it again")
