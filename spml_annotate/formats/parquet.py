"""Exported labels without loss: ``labels.parquet`` and ``manifest.json`` in one folder.

The Parquet file alone is complete: one line per label, one line with an empty label for every image without any,
``row`` for the order of the images, and the manifest in its key ``spml_annotate``. Thus one atomic replacement exports
everything, and a crash can leave an old export or a new one, nothing in between. ``manifest.json`` is the same manifest
for people and other programs; it is written last and is not read back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import SPLIT_NAMES, split_code
from spml_annotate.formats.manifest import fingerprint, from_json, manifest, metadata_of, taxonomy_of, to_json
from spml_annotate.formats.text import unreadable
from spml_annotate.stores.atomic import write_atomically, write_text
from spml_annotate.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pyarrow

LABELS, MANIFEST = "labels.parquet", "manifest.json"
_KEY, _HASH = b"spml_annotate", b"spml_annotate.sha256"
_BLOCK = 1_000_000
_COLUMNS = ("row", "image", "split", "label", "value", "source", "score", "annotator", "time", "shown")


def save_parquet(path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None) -> None:
    """Write ``labels.parquet`` and ``manifest.json`` into a folder, which is made if it is missing.

    The pictures have no place in it.

    Raises:
        DataError: if the folder cannot be written.
    """
    import pyarrow.parquet as pq

    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot make this folder ({error.strerror}); choose another") from None
    text = to_json(manifest(table))
    schema = _schema().with_metadata({_KEY: text.encode(), _HASH: _digest(text.encode())})

    def write(file: BinaryIO) -> None:
        options = {"compression": "zstd", "write_page_checksum": True}
        with pq.ParquetWriter(file, schema, **options) as writer:  # type: ignore[no-untyped-call]
            for block in _blocks(table, schema):
                writer.write_table(block)

    write_atomically(folder / LABELS, write)
    write_text(folder / MANIFEST, text)


@FORMATS.register(
    "parquet",
    loads="table",
    saves=save_parquet,
    suffixes=(".parquet",),
    is_folder=True,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "provenance"}),
    notes="A line per label: value 1 positive, 0 negative; a cell without a line is unknown.",
)
def load_parquet(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
) -> LabelTable:
    """The table that `save_parquet` wrote.

    Args:
        path: the folder of the export, or the Parquet file itself.
        classes: the classes and their order; by default those of the export. Every class that has labels must be there.
        root: not needed; ids are those that were exported.
        name: not needed; a table has none.

    Raises:
        DataError: for a missing, damaged or foreign file, or a label of another class. MismatchError: for one changed
            by another program.
    """
    path = Path(path)
    path = path / LABELS if path.is_dir() else path
    try:
        with path.open("rb") as file:
            return _table(_read(path, file), path, as_taxonomy(classes) if classes is not None else None)
    except OSError as error:
        raise unreadable(path, error) from None


def _read(path: Path, file: BinaryIO) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        content = pq.read_table(file, page_checksum_verification=True)  # type: ignore[no-untyped-call]
        content.validate(full=True)
        for name in ("image", "split", "label", "source", "annotator"):
            if name in content.column_names:
                place = content.column_names.index(name)
                content = content.set_column(place, name, content[name].cast(pyarrow.string()))
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # pyarrow calls damage an OSError
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: this is not a Parquet file, or it is damaged ({reason}); export again") from None
    return content


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    names = pa.dictionary(pa.int32(), pa.string())
    types = (pa.int64(), pa.string(), names, names, pa.int8(), names, pa.float64(), names, pa.float64(), pa.bool_())
    return pa.schema(list(zip(_COLUMNS, types, strict=True)))


def _blocks(table: LabelTable, schema: pyarrow.Schema) -> Iterator[pyarrow.Table]:
    """Labels in order, then the images without any; a million lines at a time."""
    import pyarrow as pa

    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        rows = table.rows[part]
        columns = [
            *_image_columns(table, rows),
            _named(table.labels[part], table.taxonomy.names),
            pa.array(table.values[part]),
            pa.array(table.sources[part], pa.string()).dictionary_encode(),
            pa.array(table.scores[part]),
            pa.array(table.annotators[part], pa.string()).dictionary_encode(),
            pa.array(table.times[part]),
            pa.array(table.shown[part]),
        ]
        yield pa.table(columns, schema=schema)
    bare = table.without_labels()
    for start in range(0, len(bare), _BLOCK):
        rows = bare[start : start + _BLOCK]
        nothing = [pa.nulls(len(rows), field.type) for field in list(schema)[3:]]
        yield pa.table([*_image_columns(table, rows), *nothing], schema=schema)


def _image_columns(table: LabelTable, rows: NDArray[np.int64]) -> list[Any]:
    import pyarrow as pa

    images = pa.array([table.image_ids[row] for row in rows.tolist()], pa.string())
    return [pa.array(rows), images, _named(table.split[rows], [SPLIT_NAMES[code] for code in sorted(SPLIT_NAMES)])]


def _named(codes: NDArray[np.integer], names: tuple[str, ...] | list[str]) -> Any:  # noqa: ANN401  (pyarrow has no types)
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(names), pa.string()))


def _table(content: pyarrow.Table, path: Path, given: Taxonomy | None) -> LabelTable:
    about = _manifest(content, path)
    taxonomy = given if given is not None else taxonomy_of(about, str(path))
    image_ids, split = _images(content, path)
    if fingerprint(image_ids) != about["fingerprints"]["images"]:
        raise MismatchError(f"{path}: lines were removed or changed by another program; export again")
    labelled = content.filter(content["label"].is_valid())
    if labelled.num_rows != about["counts"]["labels"]:
        raise MismatchError(f"{path}: lines were removed or added by another program; export again")
    return LabelTable(
        taxonomy=taxonomy,
        image_ids=image_ids,
        split=split,
        rows=_numbers(labelled, "row", np.int64),
        labels=_columns_of(labelled, taxonomy, path),
        values=_numbers(labelled, "value", np.int8),
        sources=_texts(labelled, "source"),
        scores=_numbers(labelled, "score", np.float64),
        annotators=_texts(labelled, "annotator"),
        times=_numbers(labelled, "time", np.float64),
        shown=_numbers(labelled, "shown", np.bool_),
        metadata=metadata_of(about),
    )


def _manifest(content: pyarrow.Table, path: Path) -> dict[str, Any]:
    about = content.schema.metadata or {}
    missing = [name for name in _COLUMNS if name not in content.column_names]
    if _KEY not in about or missing:
        what = f"it lacks {', '.join(missing)}" if missing else "it has no manifest"
        raise DataError(f"{path}: this is not an export of spml-annotate ({what}); export again, or import it as CSV")
    if _digest(about[_KEY]) != about.get(_HASH):  # Parquet has checksums for its pages, not for this part
        raise DataError(f"{path}: the manifest in the file is damaged; export again")
    return from_json(about[_KEY].decode(), str(path))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _images(content: pyarrow.Table, path: Path) -> tuple[tuple[str, ...], NDArray[np.int8]]:
    rows, first = np.unique(_numbers(content, "row", np.int64), return_index=True)
    if not np.array_equal(rows, np.arange(len(rows))):
        raise MismatchError(f"{path}: lines were removed by another program; export again")
    names, codes = _dictionary(content, "split")
    split = np.array([split_code(name) for name in names], dtype=np.int8)[codes[first]]
    images = content["image"].take(first).combine_chunks()
    return tuple(images.to_numpy(zero_copy_only=False).tolist()), split  # several times as fast as to_pylist


def _columns_of(labelled: pyarrow.Table, taxonomy: Taxonomy, path: Path) -> NDArray[np.int64]:
    names, codes = _dictionary(labelled, "label")
    try:
        return np.array([taxonomy.column(name) for name in names], dtype=np.int64)[codes]
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _numbers(content: pyarrow.Table, name: str, dtype: Any) -> NDArray[Any]:  # noqa: ANN401  (any scalar type)
    return np.asarray(content[name].to_numpy()).astype(dtype)


def _texts(content: pyarrow.Table, name: str) -> NDArray[np.object_]:
    """One copy of each text, however many lines share it."""
    words, codes = _dictionary(content, name)
    return np.array(words, dtype=np.object_)[codes]


def _dictionary(content: pyarrow.Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    column = content[name].dictionary_encode().unify_dictionaries().combine_chunks()
    return column.dictionary.to_pylist(), np.asarray(column.indices, dtype=np.int64)
