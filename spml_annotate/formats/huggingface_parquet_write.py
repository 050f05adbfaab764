"""Writes Hugging Face Parquet: schema, features and shards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.huggingface_read import MANIFEST
from spml_annotate.formats.huggingface_words import LISTS, ImageWords
from spml_annotate.formats.manifest import manifest, to_json
from spml_annotate.formats.picture_files import picture_files, shards_of
from spml_annotate.stores.folders import check_folder, write_folder

KEY = b"huggingface"
"""Of the metadata of a Parquet file: where the library looks for its features."""
_BLOCK, _BLOCK_WITH_PICTURES = 10_000, 100


def save_huggingface_parquet(
    path: str | Path,
    table: LabelTable,
    *,
    pictures: Mapping[str, Path] | None = None,
    shard_images: int = 100_000,
    shard_bytes: int = 500_000_000,
) -> None:
    """Write ``data/<split>-*.parquet`` into a folder, for ``load_dataset(folder)``.

    Columns: ``image`` (only with ``pictures``: their bytes as they are), ``image_id``, ``labels`` and ``negatives`` as
    class numbers, and what `huggingface_words` says of proposals.

    Args:
        path: the folder to make.
        table: N images and their labels; of a cell with several labels the one that counts is written.
        pictures: image id → file, to put the pictures in.
        shard_images: a shard has at most so many images.
        shard_bytes: a shard has pictures of about so many bytes at most.

    Raises:
        DataError: for a picture that is missing, or if the folder holds other files or cannot be written.
    """
    path = Path(path)
    files = picture_files(path, table.image_ids, pictures, "huggingface-parquet") if pictures is not None else None
    check_folder(path)
    words = ImageWords(table)
    schema = _schema(words, with_pictures=files is not None)

    def write(folder: Path) -> None:
        (folder / "data").mkdir()
        for split, rows in words.splits():
            shards = list(shards_of(rows.tolist(), files, shard_images, shard_bytes))
            for number, shard in enumerate(shards):
                name = f"{split}-{number:05d}-of-{len(shards):05d}.parquet"
                _write_shard(folder / "data" / name, schema, words, shard, files)
        (folder / MANIFEST).write_text(to_json(manifest(table)), "utf-8")

    write_folder(path, write)


def _features(words: ImageWords, *, with_pictures: bool) -> dict[str, Any]:
    """Features as the library writes them down."""
    classes = {"names": list(words.table.taxonomy.names), "_type": "ClassLabel"}
    found: dict[str, Any] = {"image": {"_type": "Image"}} if with_pictures else {}
    found["image_id"] = {"dtype": "string", "_type": "Value"}
    for name in words.columns:
        value = {"dtype": "float64" if name.endswith("_scores") else "string", "_type": "Value"}
        found[name] = {"feature": classes if name in LISTS else value, "_type": "Sequence"}
    return found


def _schema(words: ImageWords, *, with_pictures: bool) -> Any:  # noqa: ANN401  (pyarrow has no types)
    import pyarrow as pa

    fields: list[tuple[str, Any]] = []
    if with_pictures:
        fields.append(("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
    fields.append(("image_id", pa.string()))
    for name in words.columns:
        item = pa.int64() if name in LISTS else pa.float64() if name.endswith("_scores") else pa.string()
        fields.append((name, pa.list_(item)))
    about = {"info": {"features": _features(words, with_pictures=with_pictures)}}
    return pa.schema(fields).with_metadata({KEY: json.dumps(about, ensure_ascii=False).encode()})


def _write_shard(
    target: Path,
    schema: Any,  # noqa: ANN401  (pyarrow has no types)
    words: ImageWords,
    rows: Sequence[int],
    files: Sequence[Path] | None,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    step = _BLOCK if files is None else _BLOCK_WITH_PICTURES
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:  # type: ignore[no-untyped-call]
        for start in range(0, len(rows), step):
            records = [_record(words, row, files) for row in rows[start : start + step]]
            writer.write_table(pa.Table.from_pylist(records, schema))


def _record(words: ImageWords, row: int, files: Sequence[Path] | None) -> dict[str, Any]:
    taxonomy = words.table.taxonomy
    record: dict[str, Any] = {"image_id": words.table.image_ids[row], **words.lists(row)}
    for name in set(LISTS) & set(words.columns):
        record[name] = [taxonomy.column(word) for word in record[name]]
    if files is not None:
        record["image"] = {"bytes": files[row].read_bytes(), "path": files[row].name}
    return record
