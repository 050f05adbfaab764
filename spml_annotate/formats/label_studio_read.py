"""Reads tasks of Label Studio into labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spml_annotate.errors import DataError
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.collect import LabelCollector
from spml_annotate.formats.export import PROPOSAL, LabelTable
from spml_annotate.formats.huggingface_read import split_of
from spml_annotate.formats.images import list_images
from spml_annotate.formats.label_studio_write import META
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.studio.annotations import Given, read_annotation
from spml_annotate.studio.config import HELPERS, LabellingConfig
from spml_annotate.studio.forms import ABSENT, COMPLETE, UNSURE, VERDICT
from spml_annotate.studio.markup import look_up
from spml_annotate.studio.references import image_name

_UPLOADED = re.compile(r"[0-9a-f]{8}-")
_VERDICTS = {"yes": POSITIVE, "no": NEGATIVE}
_NO_CONFIG = LabellingConfig("image", "image", ())


class Said(NamedTuple):
    """A choice of a region: its control, the class, the region's score, and what an export of ours noted."""

    control: str
    name: str
    score: float | None
    noted: Mapping[str, Any]


class Rest(NamedTuple):
    """An annotation, to read what it left out as negative: ``always`` if it says itself that it is complete."""

    row: int
    annotator: str
    time: float
    named: frozenset[str]
    asked: frozenset[str] | None
    always: bool


class TaskReader:
    """Collects the labels of tasks.

    Args:
        classes: see `load_label_studio`.
        config: of the project, if it is at hand.
        control: the one with the classes; "" for the one that the config or the tasks have.
        root: see `load_label_studio`.
    """

    def __init__(
        self, classes: Classes | None, config: LabellingConfig | None, control: str, root: Path | None
    ) -> None:
        self._collector = LabelCollector(classes)
        self._config = config if config is not None else _NO_CONFIG
        self._named = bool(control)
        self._control = control or (config.main.name if config is not None else "")
        self._pictures = Pictures(root) if root is not None else None
        self._rest: list[Rest] = []

    def add(self, task: object) -> None:
        """The labels of one task.

        Raises:
            DataError: if it is none, or names a choice that is no class.
        """
        data = task.get("data") if isinstance(task, Mapping) else None
        if not isinstance(task, Mapping) or not isinstance(data, Mapping):
            raise DataError("this is no task with 'data'; export the project in the format JSON")
        split = data.get("split")
        row = self._collector.image(self._image(data), split_of(split) if isinstance(split, str) else "train")
        predictions = [entry for entry in _list(task, "predictions") if isinstance(entry, Mapping)]
        for annotation in _list(task, "annotations"):
            known = {"id": 0, **annotation} if isinstance(annotation, Mapping) else annotation  # none before an import
            given = read_annotation(self._config, data, known, predictions)
            if given.skipped:
                continue
            if given.unknown:
                raise DataError(
                    f"annotation {given.annotation}: {given.unknown[0]!r} is no choice of the labelling config; "
                    "give the config that the project had"
                )
            self._add_annotation(row, data, annotation, given)
        for prediction in predictions:
            self._add_prediction(row, data, prediction)

    def table(self, *, complete: bool) -> LabelTable:
        """All labels; ``complete`` reads what annotations left out as negative."""
        rest = [left for left in self._rest if complete or left.always]
        if rest:
            names = self._collector.names()
            for left in rest:
                for name in names:
                    if name not in left.named and (left.asked is None or name in left.asked):
                        self._collector.add(
                            left.row, name, NEGATIVE, annotator=left.annotator, time=left.time, place=len(self._rest)
                        )
        return self._collector.table()

    def _image(self, data: Mapping[str, Any]) -> str:
        key = self._config.key
        stated, reference = data.get("image_id"), look_up(data, key)
        if reference is None and self._config is _NO_CONFIG:
            reference = next((value for value in data.values() if isinstance(value, str) and "/" in value), None)
        if self._pictures is None and isinstance(stated, str) and stated:
            return stated
        if not isinstance(reference, str) or not reference.strip():
            raise DataError(f"task data: {key!r} is not the address of a picture; give the labelling config")
        name = stated if isinstance(stated, str) and stated else image_name(reference, frozenset())
        return self._pictures.find(name) if self._pictures is not None else name

    def _add_annotation(self, row: int, data: Mapping[str, Any], annotation: Mapping[str, Any], given: Given) -> None:
        annotator = _annotator(annotation.get("completed_by"))
        named: set[str] = set()
        finished = False
        for said in self._said(data, annotation):
            shown = said.name in given.shown.get(said.control, ()) if given.shown else given.parent is not None
            found = self._meaning(said, data)
            finished = finished or (said.control == COMPLETE and said.name == "yes")
            if said.control in (UNSURE, ABSENT) or found is not None:
                named.add(found[0] if found is not None else said.name)
            if found is not None:
                self._collector.add(
                    row,
                    *found,
                    annotator=said.noted.get("annotator", annotator),
                    time=said.noted.get("time", given.time),
                    shown=said.noted.get("shown", shown) is True,
                    place=_place(said.noted),
                )
        asked = data.get("spml_asked")
        only = frozenset(word for word in asked if isinstance(word, str)) if isinstance(asked, list) else None
        if VERDICT not in given.chosen:
            self._rest.append(Rest(row, annotator, given.time, frozenset(named), only, finished))

    def _add_prediction(self, row: int, data: Mapping[str, Any], prediction: Mapping[str, Any]) -> None:
        version = prediction.get("model_version")
        source = f"{PROPOSAL}{version if isinstance(version, str) and version else 'label-studio'}"
        for said in self._said(data, prediction):
            found = self._meaning(said, data)
            if found is not None:
                self._collector.add(
                    row,
                    *found,
                    source=source,
                    score=said.noted.get("score", said.score),
                    annotator=said.noted.get("annotator", ""),
                    time=said.noted.get("time", 0.0),
                    shown=said.noted.get("shown") is True,
                    place=_place(said.noted),
                )

    def _said(self, data: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[Said]:
        """The choices of an annotation or prediction, in order."""
        for region in _list(body, "result"):
            given = read_annotation(self._config, data, {"id": 0, "result": [region]})
            if given.unknown:
                raise DataError(f"a prediction: {given.unknown[0]!r} is no choice of the labelling config; correct it")
            meta = region.get("meta") if isinstance(region, Mapping) else None
            noted = meta.get(META) if isinstance(meta, Mapping) else None
            for control, names in given.chosen.items():
                for name in names:
                    about = noted.get(name) if isinstance(noted, Mapping) else None
                    score = region.get("score", body.get("score"))
                    yield Said(control, name, score, about if isinstance(about, Mapping) else {})

    def _meaning(self, said: Said, data: Mapping[str, Any]) -> tuple[str, int] | None:
        """Class and value that a choice means; None if it says nothing of the kind."""
        if said.control == ABSENT:
            return said.name, NEGATIVE
        if said.control == VERDICT:
            asked = data.get("spml_asked") or [data.get("query")]
            known = said.name in _VERDICTS and isinstance(asked, list) and len(asked) == 1 and isinstance(asked[0], str)
            return (asked[0], _VERDICTS[said.name]) if known else None
        if said.control in HELPERS:
            return None
        if not self._control:
            self._control = said.control
        if said.control == self._control:
            return said.name, POSITIVE
        if self._config is _NO_CONFIG and not self._named:
            raise DataError(
                f"there are choices of {self._control!r} and of {said.control!r}; say which control has the classes "
                f"(label-studio.control={self._control})"
            )
        return None


class Pictures:
    """The pictures below a folder, found by the end of what Label Studio calls them.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ids = set(list_images(root))
        self._uploaded: dict[str, list[str]] = {}
        for name in sorted(self._ids):
            self._uploaded.setdefault(_as_uploaded(name.rsplit("/", 1)[-1]), []).append(name)

    def find(self, name: str) -> str:
        """The id of a picture: the longest end of ``name`` that is one, else the only file that uploads as its name.

        Raises:
            DataError: if there is none, or more than one.
        """
        parts = name.split("/")
        for start in range(len(parts)):
            if (end := "/".join(parts[start:])) in self._ids:
                return end
        found = self._uploaded.get(_as_uploaded(_UPLOADED.sub("", parts[-1], count=1)), [])
        if len(found) == 1:
            return found[0]
        what = f"could be {found[0]!r} or {found[1]!r}" if found else "is not there"
        raise DataError(f"picture {name!r} {what} in the folder {self._root}; check the folder")


def _as_uploaded(name: str) -> str:
    """A file name as an upload changes it: no spaces, and nothing but letters, digits, dots, dashes."""
    return re.sub(r"(?u)[^-\w.]", "", name.strip().replace(" ", "_"))


def _annotator(found: object) -> str:
    """As the projects of this package call people of Label Studio."""
    number = found.get("id") if isinstance(found, Mapping) else found
    email = found.get("email") if isinstance(found, Mapping) else None
    if isinstance(email, str) and email:
        return f"ls:{email}"
    return f"ls:user-{number}" if isinstance(number, int) else ""


def _place(noted: Mapping[str, Any]) -> int:
    place = noted.get("place")
    return place if isinstance(place, int) and 0 <= place < 2**31 else 0


def _list(body: Mapping[str, Any], key: str) -> list[Any]:
    found = body.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise DataError(f"{key!r} is not a list")
    return found
