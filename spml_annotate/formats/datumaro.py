"""The format of Datumaro: ``annotations/<subset>.json``; CVAT and others write it, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.collect import LabelCollector, value_code
from spml_annotate.formats.datumaro_write import ANNOTATIONS, image_id_of, save_datumaro
from spml_annotate.formats.export import HUMAN, LabelTable
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
from spml_annotate.formats.manifest import metadata_of, taxonomy_of
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.progress import progress
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_datumaro", "save_datumaro"]

_UNNAMED = "datumaro"


@FORMATS.register(
    "datumaro",
    loads="table",
    saves=save_datumaro,
    suffixes=(),
    is_folder=True,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "provenance", "pictures"}),
    notes="Positives are annotations of the type label; an item's attribute `negatives` has the negatives; others are "
    "unknown.",
)
def load_datumaro(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    complete: bool = False,
) -> LabelTable:
    """Labels of a folder with ``annotations/*.json``, ours or other people's.

    An annotation of any type with a label (a box, a polygon) says that its class is on the image; several of one class
    count once, a person's rather than a model's, and then the most probable. The subset is the split; images of
    subsets with other names, such as ``default``, count as train. The id of an image is that of its item with the
    suffix of its picture.

    Args:
        path: the folder, the folder ``annotations`` in it, or one of the files.
        classes: the classes and their order; by default those that the files state.
        root: not needed; ids are relative to the pictures of a subset.
        name: not needed; a table has none.
        complete: read what an image's annotations do not name as negative; right only where they name everything.

    Raises:
        DataError: for missing or malformed files; it names file and place, such as ``items[7].annotations[0]``.
    """
    path = Path(path)
    contents = {file: _content(file) for file in _files(path)}
    stated = Taxonomy(())
    about: dict[str, Any] = {}
    for file, content in contents.items():
        with _In(file):
            ours = as_object(as_object(content.content.get("infos")).get(OURS))
            if ours and not about:
                about, stated = dict(ours), taxonomy_of(ours, f"{file}, infos.{OURS}")
            names = _categories(content)
            stated = taxonomy_with(None, stated, names) if names else stated
    with _In(path):
        collector = LabelCollector(taxonomy_with(classes, stated, ()))
    for file, content in contents.items():
        with _In(file):
            _read(collector, content, file.stem)
    with _In(path):
        return collector.table(metadata_of(about), complete=complete)


class _In:
    """Says in which file an error was."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if type(error) is DataError:
            raise DataError(f"{self._file}: {error}") from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / ANNOTATIONS if (path / ANNOTATIONS).is_dir() else path
    found = [file for file in sorted(folder.glob("*.json")) if not file.name.startswith(".")]
    if not found:
        raise DataError(f"{path}: there is no {ANNOTATIONS}/*.json; name the folder that Datumaro or CVAT exported")
    return sorted(found, key=lambda file: split_code(_split(file.stem)))


def _content(file: Path) -> Place:
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        raise DataError(f"{file}: this is no file of Datumaro, which has a list of items; for COCO use --format coco")
    return Place(content, "")


def _categories(content: Place) -> list[str]:
    """Names of the classes that a file states, in their order."""
    labels = as_object(as_object(content.content.get("categories")).get("label"))
    found: dict[str, None] = {}
    for place in Place(labels, "categories.label").objects("labels", needed=False):
        name = place.text("name")
        if not name or name in found:
            raise place.wrong("name", f"class {name!r} appears twice" if name else "the class has no name")
        found[name] = None
    return list(found)


def _read(collector: LabelCollector, content: Place, subset: str) -> None:
    names = _categories(content)
    for place in progress(content.objects("items"), what=f"reading {subset}"):
        attributes = Place(as_object(place.content.get("attr")), f"{place.where}.attr")
        try:
            row = collector.image(_image(place, attributes), _split(subset))
        except DataError as error:
            raise place.wrong("id", str(error)) from None
        present = dict(_present(place, names))
        absent = dict(_named(attributes, NEGATIVES))
        both = next((label for label in absent if label in present), None)
        if both is not None:
            raise attributes.wrong(NEGATIVES, f"{both!r} is among the annotations, too; keep one")
        for value, said in ((POSITIVE, present), (NEGATIVE, absent)):
            for label, facts in said.items():
                _add(collector, place, row, label, value, facts)
        for further in attributes.objects(FURTHER, needed=False):
            facts = facts_from(further, "score", _UNNAMED)
            _add(collector, further, row, further.text("label") or "", _value(further), facts)


def _image(place: Place, attributes: Place) -> str:
    item, picture = place.key("id"), as_object(place.content.get("image")).get("path")
    stated = attributes.text(IMAGE_ID)
    return stated or clean_id(image_id_of(str(item), picture if isinstance(picture, str) else ""))


def _split(subset: str) -> str:
    """The split that a subset stands for; train if for none."""
    try:
        return SPLIT_NAMES[split_code(subset)]
    except DataError:
        return "train"


def _present(item: Place, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every class with an annotation once; the surest of several comes last and so replaces those before it."""
    found: list[tuple[tuple[bool, float], str, dict[str, Any]]] = []
    for place in item.objects("annotations", needed=False):
        number = place.content.get("label_id")
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(names):
            raise place.wrong("label_id", f"{number!r} is none of the {len(names)} classes in categories.label.labels")
        attributes = Place(as_object(place.content.get("attributes")), f"{place.where}.attributes")
        facts = facts_from(attributes, "score", _UNNAMED)
        found.append(((facts["source"] == HUMAN, facts["score"] or 0.0), names[number], facts))
    for _, label, facts in sorted(found, key=lambda said: said[0]):
        yield label, facts


def _named(attributes: Place, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Classes in a list: names, or objects with a name and attributes."""
    for number, entry in enumerate(attributes.list_of(key)):
        place = Place(as_object(entry), f"{attributes.where}.{key}[{number}]")
        label = entry if isinstance(entry, str) else place.text("label")
        if not label:
            raise place.wrong("label", "the class is missing")
        yield label, facts_from(place, "score", _UNNAMED)


def _value(place: Place) -> int:
    try:
        return value_code(place.content.get("value"))
    except DataError as error:
        raise place.wrong("value", str(error)) from None


def _add(collector: LabelCollector, place: Place, row: int, label: str, value: int, facts: dict[str, Any]) -> None:
    try:
        collector.add(row, label, value, **facts)
    except DataError as error:
        raise place.wrong("", str(error)) from None
