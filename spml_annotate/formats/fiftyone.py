"""FiftyOne data sets on disk (``FiftyOneDataset``): what it exports is read, and it imports what is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.collect import LabelCollector, value_code
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.fiftyone_fields import LABELS
from spml_annotate.formats.fiftyone_write import DATA, METADATA, SAMPLES, save_fiftyone
from spml_annotate.formats.images import SPLIT_NAMES, clean_id, split_code
from spml_annotate.formats.json_places import Place, read_json
from spml_annotate.formats.label_facts import (
    FURTHER,
    IMAGE_ID,
    NEGATIVES,
    OURS,
    as_object,
    facts_from,
    taxonomy_with,
)
from spml_annotate.formats.manifest import from_json, metadata_of, taxonomy_of
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.progress import progress
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_fiftyone", "save_fiftyone"]

_UNNAMED = "fiftyone"
_LISTS = {
    "Classifications": "classifications",
    "Detections": "detections",
    "Polylines": "polylines",
    "Keypoints": "keypoints",
}
"""Type of a field with several labels → its key; the type of one label is the same without the s."""
_USUAL = (LABELS, "ground_truth")


@FORMATS.register(
    "fiftyone",
    loads="table",
    saves=save_fiftyone,
    suffixes=(),
    is_folder=True,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "provenance", "pictures"}),
    notes="The field `labels` of a sample has the positives, `negatives` the negatives; others are unknown.",
)
def load_fiftyone(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    field: str = "",
    complete: bool = False,
) -> LabelTable:
    """Labels of a folder that FiftyOne exported as ``FiftyOneDataset``, or that `save_fiftyone` wrote.

    A label of any type (Classification, Detection) says that its class is on the image; several of one class count
    once, a person's rather than a model's, and then the most confident. Labels with a confidence are a model's unless
    their attribute ``source`` says otherwise. A tag such as train or val is the split.

    Args:
        path: the folder with ``samples.json`` and ``metadata.json``.
        classes: the classes and their order; by default those that the data set states, then further ones it has.
        root: the folder that paths which begin elsewhere are relative to; ids are below ``data`` otherwise.
        name: not needed; a table has none.
        field: the field with the positives; by default ``labels``, ``ground_truth``, or the only one there is.
        complete: read what an image's labels do not name as negative; right only where they name everything.

    Raises:
        DataError: for missing or malformed files; it names file and place, such as ``samples[7].labels``.
        SettingError: if no field is named and there are several.
    """
    path = Path(path)
    about = _about(path)
    samples = list(_samples(path))
    field = field or _field_of(path, about, samples)
    try:
        ours, stated = _ours(path, about, field)
        collector = LabelCollector(taxonomy_with(classes, stated, _names(samples, (field, NEGATIVES, FURTHER))))
        for sample in progress(samples, what=f"reading {path.name}"):
            _read(collector, sample, field, root)
        return collector.table(metadata_of(ours), complete=complete)
    except DataError as error:
        if type(error) is not DataError:
            raise
        raise DataError(f"{path / SAMPLES}: {error}") from None


def _about(path: Path) -> Place:
    if path.is_file():
        raise DataError(f"{path}: this is a file; name the folder that holds {SAMPLES} and {METADATA}")
    if not (path / METADATA).is_file():
        raise DataError(f"{path}: there is no {METADATA}; name a folder that FiftyOne exported as FiftyOneDataset")
    about = as_object(read_json(path / METADATA))
    kind = about.get("media_type", "image")
    if "sample_fields" not in about:
        raise DataError(f"{path / METADATA}: this is not what FiftyOne exports as FiftyOneDataset")
    if kind not in ("image", None):
        raise DataError(f"{path / METADATA}: the data set has media of the type {str(kind)[:40]!r}, not image")
    return Place(about, "")


def _samples(path: Path) -> Iterator[Place]:
    """From one file, or a folder with a file for each."""
    if (path / SAMPLES).is_file():
        content = read_json(path / SAMPLES)
        try:
            if not isinstance(content, dict):
                raise DataError("this is not what FiftyOne exports, which is an object with samples")
            yield from Place(content, "").objects("samples")
        except DataError as error:
            raise DataError(f"{path / SAMPLES}: {error}") from None
        return
    files = sorted((path / "samples").glob("*.json"))
    if not files and not (path / "samples").is_dir():
        raise DataError(f"{path}: there is no {SAMPLES}; name a folder that FiftyOne exported as FiftyOneDataset")
    for file in files:
        yield Place(as_object(read_json(file)), file.stem)


def _field_of(path: Path, about: Place, samples: Sequence[Place]) -> str:
    """The field with the positives, by the description of the data set and by what its samples have."""
    types = {}
    for place in about.objects("sample_fields"):
        kind = str(place.content.get("embedded_doc_type")).rpartition(".")[2]
        if kind in _LISTS or f"{kind}s" in _LISTS:
            types[str(place.content.get("name"))] = kind
    usual = next((name for name in _USUAL if name in types), None)
    if usual is not None:
        return usual
    if len(types) == 1:
        return next(iter(types))
    if not types:
        raise DataError(f"{path}: no field of the {len(samples)} samples has labels of images")
    raise SettingError(f"{path}: several fields have labels: {', '.join(types)}; name one with field=")


def _ours(path: Path, about: Place, field: str) -> tuple[dict[str, Any], Taxonomy]:
    """The manifest if this is an export of ours; and the classes that the data set states."""
    text = as_object(about.content.get("info")).get(OURS)
    if isinstance(text, str):
        where = f"{path / METADATA}, info.{OURS}"
        ours = from_json(text, where)
        return ours, taxonomy_of(ours, where)
    listed = as_object(about.content.get("classes")).get(field) or about.content.get("default_classes")
    names = [name for name in listed if isinstance(name, str) and name.strip()] if isinstance(listed, list) else []
    return {}, Taxonomy(tuple(dict.fromkeys(names)))


def _names(samples: Iterable[Place], fields: Sequence[str]) -> Iterator[str]:
    """Names of classes in the order of appearance, again and again; what is wrong with labels is said later."""
    for sample in samples:
        for field in fields:
            names = (place.content.get("label") for place in _labels_of(sample, field))
            yield from (name for name in names if isinstance(name, str) and name)


def _read(collector: LabelCollector, sample: Place, field: str, root: str | Path | None) -> None:
    try:
        row = collector.image(_image(sample, root), _split(sample))
    except DataError as error:
        raise sample.wrong("", str(error)) from None
    present, absent = _once(_labels_of(sample, field)), _once(_labels_of(sample, NEGATIVES))
    both = next((label for label in absent if label in present), None)
    if both is not None:
        raise sample.wrong(NEGATIVES, f"{both!r} is in the field {field}, too; keep one")
    for value, said in ((POSITIVE, present), (NEGATIVE, absent)):
        for label, facts in said.items():
            _add(collector, sample, row, label, value, facts)
    for place in _labels_of(sample, FURTHER):
        try:
            value = value_code(place.content.get("value"))
        except DataError as error:
            raise place.wrong("value", str(error)) from None
        _add(collector, place, row, _label(place), value, facts_from(place, "confidence", _UNNAMED))


def _image(sample: Place, root: str | Path | None) -> str:
    """The id that is stated, or the path: relative to ``data``, or to the root if it begins elsewhere."""
    stated, file = sample.text(IMAGE_ID), sample.text("filepath")
    if stated:
        return stated
    if not file:
        raise sample.wrong("filepath", "it is missing")
    place = PurePosixPath(clean_id(file))
    for above in (DATA, *([clean_id(str(Path(root).absolute()))] if root is not None else [])):
        if place.is_relative_to(above) and place != PurePosixPath(above):
            return str(place.relative_to(above))
    return str(place)


def _split(sample: Place) -> str:
    """The split that a tag names; train if none does."""
    for tag in sample.list_of("tags"):
        try:
            return SPLIT_NAMES[split_code(str(tag))]
        except DataError:
            continue
    return "train"


def _labels_of(sample: Place, field: str) -> Iterator[Place]:
    """The labels in a field, which may have one, several, or be absent."""
    content = sample.content.get(field)
    if content is None:
        return
    kind = as_object(content).get("_cls")
    where = f"{sample.where}.{field}"
    if isinstance(kind, str) and f"{kind}s" in _LISTS:
        yield Place(as_object(content), where)
    elif isinstance(kind, str) and kind in _LISTS:
        yield from Place(as_object(content), where).objects(_LISTS[kind], needed=False)
    else:
        raise sample.wrong(field, "these are no labels of an image, such as Classifications or Detections")


def _once(labels: Iterable[Place]) -> dict[str, dict[str, Any]]:
    """Every class once, with what is known of the surest label."""
    found: dict[str, dict[str, Any]] = {}
    for place in labels:
        label, facts = _label(place), facts_from(place, "confidence", _UNNAMED)
        if label not in found or _surer(facts, found[label]):
            found[label] = facts
    return found


def _surer(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["source"] == HUMAN, one["score"] or 0.0) > (other["source"] == HUMAN, other["score"] or 0.0)


def _label(place: Place) -> str:
    label = place.text("label")
    if not label:
        raise place.wrong("label", "it is missing")
    return label


def _add(collector: LabelCollector, place: Place, row: int, label: str, value: int, facts: dict[str, Any]) -> None:
    try:
        collector.add(row, label, value, **facts)
    except DataError as error:
        raise place.wrong("", str(error)) from None
