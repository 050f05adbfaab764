"""Regions of Label Studio that carry labels: whoever draws one and calls it by a class says that the class is there.

Nothing follows from them about other classes. They are read as if the class had been ticked for the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from spml_annotate.formats.json_places import is_number
from spml_annotate.studio.config import HELPERS, Control, LabellingConfig
from spml_annotate.studio.forms import VERDICT
from spml_annotate.studio.markup import Node, is_true, read_markup, variable

_KINDS = ("Rectangle", "Polygon", "Brush", "Ellipse", "KeyPoint", "Bitmask", "Vector", "")
_TAGS = frozenset(f"{kind}Labels" for kind in _KINDS)
_KEYS = tuple(tag.lower() for tag in sorted(_TAGS))
_PLACES = frozenset({"x", "points", "rle", "vertices", "imageDataURL"})
"""What the value of a region on a picture has; text and sound have others."""
_CHOICES = ("choices", "taxonomy")
_OURS = HELPERS | {VERDICT}


class RegionLabels(NamedTuple):
    """Whose labels count.

    ``control`` is what they are called by from then on, ``controls`` those that count, and ``names`` has control →
    spelling in results → class name.
    """

    control: str
    controls: frozenset[str]
    names: Mapping[str, Mapping[str, str]]


def labels_of(value: object) -> list[str]:
    """The labels that the value of a region has; none if it is no region of a picture."""
    if not isinstance(value, Mapping) or not _PLACES & value.keys():
        return []
    listed = (value.get(key) for key in _KEYS)
    return [word for found in listed if isinstance(found, list) for word in found if isinstance(word, str)]


def of_config(xml: str, control: str) -> tuple[LabellingConfig, RegionLabels] | None:
    """What a labelling config says of regions; None where choices for the whole picture have the classes.

    Args:
        xml: the config.
        control: the one with the classes; "" takes all that label regions, unless there are choices.

    Raises:
        DataError: if the config is no XML.
    """
    nodes = read_markup(xml)
    images = {e.get("name", ""): key for e, _ in nodes if e.tag == "Image" and (key := variable(e.get("value")))}
    tags = [e for e, _ in nodes if e.tag in _TAGS and _image_of(e, images) is not None]
    tags = [e for e in tags if not control or e.get("name") == control]
    if not tags or (not control and any(_is_choice(node, images) for node in nodes)):
        return None
    names = {e.get("name", ""): dict(_spellings(e)) for e in tags}
    classes = tuple(dict.fromkeys(name for its in names.values() for name in its.values()))
    called, image = tags[0].get("name", ""), _image_of(tags[0], images) or ""
    # with labels that come with the task nothing is listed: then every word is a class
    whole = all(names.values())
    listed = (Control(called, image, tags[0].tag, False, classes, classes),) if whole else ()
    return LabellingConfig(image, images[image], listed), RegionLabels(called, frozenset(names), names)


def of_results(tasks: Iterable[object], control: str) -> RegionLabels | None:
    """The same where there is no config: what the results of all tasks show."""
    regions, choices = set[str](), set[str]()
    for region in _regions(tasks):
        name, value = region.get("from_name"), region.get("value")
        if not isinstance(name, str) or not isinstance(value, Mapping):
            continue
        if labels_of(value):
            regions.add(name)
        elif name not in _OURS and not _PLACES & value.keys() and any(key in value for key in _CHOICES):
            choices.add(name)
    wanted = {control} & regions if control else set() if choices else regions
    return RegionLabels(min(wanted), frozenset(wanted), {}) if wanted else None


def as_choices(task: Mapping[str, Any], labels: RegionLabels) -> dict[str, Any]:
    """A task whose labelled regions are choices of the whole picture, one per class."""
    changed = dict(task)
    for key in ("annotations", "predictions"):
        if isinstance(bodies := task.get(key), list):
            changed[key] = [_with_choices(body, labels) for body in bodies]
    return changed


def _image_of(element: Element, images: Mapping[str, str]) -> str | None:
    return next((part for part in (element.get("toName") or "").split(",") if part in images), None)


def _is_choice(node: Node, images: Mapping[str, str]) -> bool:
    """Whether an element is a control with choices for the whole picture."""
    element, parents = node
    return (
        element.tag in ("Choices", "Taxonomy")
        and element.get("name") not in _OURS
        and not any(is_true(element, word) for word in ("perRegion", "labeling"))
        and not any(parent.tag == "Repeater" for parent in parents)
        and _image_of(element, images) is not None
    )


def _spellings(element: Element) -> Iterator[tuple[str, str]]:
    """How results may spell each label: as it is called, or by its alias."""
    for label in element.iter("Label"):
        name, alias = label.get("value"), label.get("alias")
        if name:
            yield name, name
            if alias:
                yield alias, name


def _regions(tasks: Iterable[object]) -> Iterator[Mapping[str, Any]]:
    for task in tasks:
        for key in ("annotations", "predictions") if isinstance(task, Mapping) else ():
            bodies = task.get(key) if isinstance(task, Mapping) else None
            for body in bodies if isinstance(bodies, list) else ():
                found = body.get("result") if isinstance(body, Mapping) else None
                yield from (region for region in (found if isinstance(found, list) else ()) if _is_object(region))


def _is_object(found: object) -> bool:
    return isinstance(found, Mapping)


def _with_choices(body: object, labels: RegionLabels) -> object:
    if not isinstance(body, Mapping) or not isinstance(body.get("result"), list):
        return body
    changed = {**body, "result": _merged(body["result"], body.get("score"), labels)}
    if "prediction" in body:  # what was shown
        changed["prediction"] = _with_choices(body["prediction"], labels)
    return changed


def _merged(result: list[Any], score: object, labels: RegionLabels) -> list[Any]:
    """The regions without labels, then one choice per class, with the highest score of its regions."""
    kept: list[Any] = []
    scores: dict[str, list[Any]] = {}
    for region in result:
        name = region.get("from_name") if isinstance(region, Mapping) else None
        words = labels_of(region.get("value")) if isinstance(name, str) and name in labels.controls else []
        if not words:
            kept.append(region)
            continue
        own = region.get("score")
        names = labels.names.get(str(name), {})
        for word in words:
            scores.setdefault(names.get(word, word), []).append(score if own is None else own)
    choice = {"from_name": labels.control, "to_name": "image", "type": "choices"}
    return kept + [
        {**choice, "value": {"choices": [name]}, **({} if best is None else {"score": best})}
        for name, best in ((name, _best(found)) for name, found in scores.items())
    ]


def _best(scores: list[Any]) -> Any:  # noqa: ANN401  (what is no number is refused where scores are read)
    wrong = next((score for score in scores if score is not None and not is_number(score)), None)
    return wrong if wrong is not None else max((score for score in scores if score is not None), default=None)
