"""WebDataset: tar shards of pictures with JSON beside each; read as a stream, one file after the other."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.collect import LabelCollector, value_code
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.huggingface_read import column_of, split_of
from spml_annotate.formats.huggingface_words import LABELS, add_words
from spml_annotate.formats.images import IMAGE_SUFFIXES, clean_id
from spml_annotate.formats.manifest import fingerprint, from_json, metadata_of, taxonomy_of
from spml_annotate.formats.text import read_text, unreadable
from spml_annotate.formats.webdataset_write import MANIFEST, save_webdataset
from spml_annotate.progress import progress

__all__ = ["load_webdataset", "save_webdataset"]

_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
"""Key and ending of a file in a shard: all up to the first dot of its name, and what follows."""
_MOST_BYTES = 64_000_000

Sample = tuple[str, dict[str, bytes], str]
"""Key, ending → content of what says something about labels, ending of the picture."""


@FORMATS.register(
    "webdataset",
    loads="table",
    saves=save_webdataset,
    suffixes=(".tar", ".tgz"),
    is_folder=True,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "provenance", "pictures"}),
    notes="In the JSON of an image, `labels` has the positives, `negatives` the negatives; others are unknown.",
)
def load_webdataset(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    column: str = "",
    complete: bool = False,
) -> LabelTable:
    """Labels of WebDataset shards; the pictures are passed over.

    Of shards by others, ``.json`` is read (names or class numbers under ``labels`` or ``label``), else ``.cls``; the id
    of an image is its name in the shard.

    Args:
        path: a shard, or a folder of shards; their names begin with their split, or a folder among them is called so.
        classes: the classes and their order; by default those that an export of ours states, else those named.
        root: not needed; a shard holds its pictures.
        name: not needed; a table has none.
        column: of the JSON that has the labels; ``labels`` or ``label`` by default.
        complete: read what an image's labels do not name as negative; right only where they name everything.

    Raises:
        DataError: for missing or damaged shards, or labels that are no classes; it names shard and image.
        MismatchError: if shards of an export of ours are missing.
    """
    path = Path(path)
    shards = _shards(path)
    about = _manifest(path)
    wanted = taxonomy_of(about, str(path / MANIFEST)) if about is not None and classes is None else classes
    collector = LabelCollector(wanted)
    keys: dict[int, str] = {}
    shard_of: dict[str, Path] = {}
    for shard in shards:
        split = _split(path, shard)
        for key, content, ending in progress(_samples(shard), what=f"reading {shard.name}"):
            try:
                said = _json(content["json"]) if "json" in content else {}
                image = _image(said, key, ending)
                _check_shard(image, shard, shard_of.setdefault(image, shard))
                keys[_add_sample(collector, split, image, content, said, column)] = key
            except DataError as error:
                raise DataError(f"{shard}, {key}: {error}") from None
    try:
        table = collector.table(metadata_of(about) if about is not None else None, complete=complete)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return table if about is None else _as_exported(path, table, [keys[row] for row in sorted(keys)], about)


def _check_shard(image: str, here: Path, before: Path) -> None:
    """Shards that count their images anew would otherwise pass for labels of the same images."""
    if here != before:
        raise DataError(f"image {image!r} is in {before.name}, too; load shards whose names repeat one by one")


def _shards(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    below = (file for file in path.rglob("*.t*") if not any(part[0] == "." for part in file.relative_to(path).parts))
    found = sorted(file for file in below if file.name.endswith(_SUFFIXES))
    if not found:
        raise DataError(f"{path}: there is no shard; name a .tar file or the folder that holds them")
    return found


def _split(path: Path, shard: Path) -> str:
    """A split that a folder on the way is called by, else the one that the name of the shard begins with."""
    folders = shard.relative_to(path).parts[:-1] if path.is_dir() else ()
    found = (split_of(part) for part in (*folders, re.split(r"[-._ ]", shard.name)[0]))
    return next((split for split in found if split != "train"), "train")


def _manifest(path: Path) -> Mapping[str, Any] | None:
    file = path / MANIFEST
    return from_json(read_text(file), str(file)) if file.is_file() else None


def _samples(shard: Path) -> Iterator[Sample]:
    """The files of one image follow each other."""
    now, content, ending = "", dict[str, bytes](), ""
    for name, content_of in _members(shard):
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        key, last = found[1], found[2].lower().rpartition(".")[2]
        if key != now:
            if now:
                yield now, content, ending
            now, content, ending = key, {}, ""
        if last in ("json", "cls"):
            content.setdefault(last, content_of())
        elif f".{last}" in IMAGE_SUFFIXES:
            ending = found[2]
    if now:
        yield now, content, ending


def _members(shard: Path) -> Iterator[tuple[str, Any]]:
    """Name, and how to read the content, of every file of a shard."""
    try:
        with tarfile.open(shard, "r|*") as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, lambda member=member: _content(tar, member)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{shard}: this is not a tar file, or it is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise unreadable(shard, error) from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > _MOST_BYTES:
        raise DataError(f"{member.name!r} has {member.size} bytes, too many for labels of one image")
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file.read()


def _image(about: Mapping[str, Any], key: str, ending: str) -> str:
    """The id that is stated, else the name of the picture in the shard."""
    stated = about.get("image_id")
    return stated if isinstance(stated, str) and stated else clean_id(f"{key}.{ending}" if ending else key)


def _add_sample(
    collector: LabelCollector,
    in_name: str,
    image: str,
    content: Mapping[str, bytes],
    about: dict[str, Any],
    column: str,
) -> int:
    split = about.get("split")
    row = collector.image(image, split if isinstance(split, str) else in_name)
    if isinstance(about.get("provenance"), list):
        _add_provenance(collector, row, about["provenance"])
    elif "json" in content and not ("cls" in content and LABELS not in about):
        add_words(collector, row, about, column_of(about, column))
    elif "cls" in content:
        add_words(collector, row, {LABELS: _class(content["cls"])}, LABELS)
    return row


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"its .json is not JSON ({error})") from None
    if isinstance(found, list) and found and all(isinstance(word, str) for word in found):
        return {LABELS: found}  # numbers might be codes, one per class
    if not isinstance(found, dict):
        raise DataError("its .json is not an object")
    return found


def _class(content: bytes) -> list[int | str]:
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise DataError("its .cls is not text") from None
    return [int(text)] if re.fullmatch(r"-?\d{1,9}", text) else [text] if text else []


def _add_provenance(collector: LabelCollector, row: int, entries: Sequence[Any]) -> None:
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise DataError("an entry of 'provenance' is not an object with a 'label'")
        collector.add(
            row,
            entry["label"],
            value_code(entry.get("value")),
            source=entry.get("source") or HUMAN,
            score=entry.get("score"),
            annotator=entry.get("annotator") or "",
            time=entry.get("time") or 0.0,
            shown=entry.get("shown") is True,
        )


def _as_exported(path: Path, table: LabelTable, keys: Sequence[str], about: Mapping[str, Any]) -> LabelTable:
    """The images in the order that they were exported in, which their names in the shards tell."""
    if any(not key.isdecimal() for key in keys):
        raise MismatchError(f"{path}: there are shards of others beside the manifest of an export; load them apart")
    order = np.argsort(np.array(keys, dtype=np.int64), kind="stable")
    ids = [table.image_ids[row] for row in order.tolist()]
    if fingerprint(ids) != about["fingerprints"]["images"]:
        raise MismatchError(f"{path}: shards are missing or were changed; export again, or load the shards one by one")
    place = np.argsort(order)
    return LabelTable.of(
        table.taxonomy,
        ids,
        table.split[order],
        place[table.rows],
        table.labels,
        table.values,
        sources=table.sources.tolist(),
        scores=table.scores,
        annotators=table.annotators.tolist(),
        times=table.times,
        shown=table.shown,
        metadata=dict(table.metadata),
    )
