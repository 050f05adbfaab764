"""Labelling configs of Label Studio: which picture is labelled, by which controls, with which classes.

Names of controls, kinds of control, aliases and lists that come with the task are the user's; nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from xml.etree.ElementTree import Element

from spml_annotate.errors import DataError
from spml_annotate.studio.choices import from_element, from_task, listed
from spml_annotate.studio.markup import Node, is_true, look_up, read_markup, variable

HELPERS = frozenset({"absent", "complete", "unsure"})
"""Names of the controls that our own configs put beside the one with the classes."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Control:
    """A <Choices> or <Taxonomy> on the picture.

    Args:
        name: of the control; to_name: of the image that it labels.
        tag: "Choices" or "Taxonomy".
        single: at most one choice.
        values: how results spell the choices: alias, else value; nested ones joined with "/".
        names: class names, beside ``values``.
        options: key of the task data that lists the choices, None if the config does; then ``values`` and ``names``
            hold only what the config lists besides, usually nothing.
        paths: the spellings from the topmost choice down, beside ``values``; empty unless results hold paths.
        predicted: other name of a class (``predicted_values``) → class name.
        most: how many may be chosen; 0 means any number.
        leaves_only: choices with choices below them cannot be chosen.
    """

    name: str
    to_name: str
    tag: str
    single: bool
    values: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    options: str | None = None
    paths: tuple[tuple[str, ...], ...] = ()
    predicted: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    most: int = 0
    nested: bool = False
    leaves_only: bool = False

    def in_task(self, data: object) -> Control:
        """The control as a task shows it: with the choices that the task lists, if the config leaves them to it."""
        if self.options is None:
            return self
        own = listed(from_task(look_up(data, self.options), nested=self.nested, leaves_only=self.leaves_only))
        fresh = [
            i for i, (value, name) in enumerate(zip(own.values, own.names, strict=True)) if self._is_new(value, name)
        ]
        return replace(
            self,
            options=None,
            values=self.values + tuple(own.values[i] for i in fresh),
            names=self.names + tuple(own.names[i] for i in fresh),
            paths=self.paths + tuple(own.paths[i] for i in fresh if self.nested),
            predicted={**own.predicted, **self.predicted},
        )

    def _is_new(self, value: str, name: str) -> bool:
        return value not in self._name_of and name not in self._spelling_of

    def name_of(self, spelling: str) -> str | None:
        """The class that a result's word means."""
        return self._name_of.get(spelling)

    def spelling_of(self, name: str) -> str | None:
        """How results spell a class, given by its name or by one of its ``predicted_values``."""
        return self._spelling_of.get(name) or self._spelling_of.get(self.predicted.get(name, ""))

    def path_of(self, spelling: str) -> tuple[str, ...]:
        """The spellings from the topmost choice down to this one."""
        return self.paths[self.values.index(spelling)] if self.nested else (spelling,)

    @cached_property
    def _name_of(self) -> dict[str, str]:
        return dict(zip(self.values, self.names, strict=True))

    @cached_property
    def _spelling_of(self) -> dict[str, str]:
        return dict(zip(self.names, self.values, strict=True))


@dataclass(frozen=True)
class LabellingConfig:
    """What a labelling config says: ``image`` is the name of the Image tag, ``key`` the task data key of the picture.

    The first of ``controls`` is the one that gives the classes.
    """

    image: str
    key: str
    controls: tuple[Control, ...]

    @property
    def main(self) -> Control:
        """The control that gives the classes."""
        return self.controls[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names that the config lists; empty if each task lists its own."""
        return self.main.names

    def control(self, name: str) -> Control | None:
        """A control by its name."""
        return next((control for control in self.controls if control.name == name), None)

    def reference(self, data: object) -> str:
        """Where a task's picture is: an address, or a path as Label Studio writes it.

        Raises:
            DataError: if the task data has no such text.
        """
        found = look_up(data, self.key)
        if not isinstance(found, str) or not found.strip():
            raise DataError(f"task data: {self.key[:60]!r} is not the address of a picture; import the task again")
        return found


def parse_config(xml: str, *, control: str = "") -> LabellingConfig:
    """Read a labelling config; ``control`` names the control with the classes, the first usable one by default.

    Raises:
        DataError: if it is unreadable, has no picture, or no control whose classes can be told.
    """
    nodes = read_markup(xml)
    _check_names(nodes)
    images: dict[str, str] = {}
    found: list[tuple[bool, Element]] = []
    for element, parents in nodes:
        if any(parent.tag == "Repeater" for parent in parents):
            continue  # a control of a Repeater has another name for every entry: read as it is written, never predicted
        if element.tag == "Image" and (key := variable(element.get("value"))) and "toName" not in element.attrib:
            images.setdefault(element.get("name") or "", key)
        elif element.tag in ("Choices", "Taxonomy"):
            found.append((any("visibleWhen" in part.attrib for part in (*parents, element)), element))
    images.pop("", None)
    if not images:
        raise DataError(_no_image(nodes))
    controls = [(conditional, made) for conditional, element in found if (made := _control(element, images))]
    ordered = _main_first(controls, control)
    image = ordered[0].to_name
    return LabellingConfig(image, images[image], ordered)


def _check_names(nodes: list[Node]) -> None:
    seen: set[str] = set()
    for element, _ in nodes:
        name = element.get("name")
        if name and name in seen:
            raise DataError(f"labelling config: the name {name[:60]!r} is used twice; give each tag its own")
        seen.add(name or "")


def _no_image(nodes: list[Node]) -> str:
    odd = next((e for e, _ in nodes if e.tag == "Image"), None)
    if odd is None:
        return 'labelling config: there is no picture; add <Image name="image" value="$image"/>'
    if odd.get("valueList"):
        return 'labelling config: <Image valueList=…> shows several pictures at once; use value="$image", one a task'
    return (
        f"labelling config: <Image name={odd.get('name', '')[:60]!r} value={odd.get('value', '')[:60]!r}> does not "
        'name one entry of the task data; write value="$image"'
    )


def _control(element: Element, images: Mapping[str, str]) -> Control | None:
    """A control that results can be written for, or None: one of regions, of other objects, or of unknown choices."""
    name = element.get("name") or ""
    to_name = next((part for part in (element.get("toName") or "").split(",") if part in images), None)
    if not name or to_name is None or is_true(element, "perRegion") or element.get("apiUrl"):
        return None
    if element.tag == "Taxonomy" and is_true(element, "labeling"):
        return None
    # the editor does not mind the case of attribute names, the server does: see templates/label_studio/pick.xml
    options = variable(element.get("value") or element.get("Value"))
    taxonomy = element.tag == "Taxonomy"
    nested = taxonomy or is_true(element, "allowNested")
    leaves_only = is_true(element, "leafsOnly") if taxonomy else nested
    values, names, paths, predicted, whole = listed(from_element(element, nested=nested, leaves_only=leaves_only))
    if not whole:
        raise DataError(
            f"labelling config: the choices of {name[:60]!r} with all that is above them are too long; shorten them"
        )
    if not values and options is None:
        return None
    most = _most(element)
    return Control(
        name, to_name, element.tag, most == 1, values, names, options, paths if nested else (), predicted,
        most, nested, leaves_only,
    )  # fmt: skip


def _most(element: Element) -> int:
    if element.tag == "Choices":
        return 0 if element.get("choice") == "multiple" else 1
    text = element.get("maxUsages") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0


def _main_first(controls: list[tuple[bool, Control]], wanted: str) -> tuple[Control, ...]:
    """Controls with the main one first: not one of our helpers, if possible one that is always visible."""

    def last(made: Control) -> bool:
        return made.name != wanted if wanted else made.name in HELPERS

    ranked = sorted(controls, key=lambda pair: (last(pair[1]), pair[0]))
    names = [made.name for _, made in controls]
    if not names:
        raise DataError(
            "labelling config: there is no <Choices> or <Taxonomy> with choices for the whole picture; "
            'add <Choices name="label" toName="image"> with a <Choice value="…"/> for each class'
        )
    if wanted and wanted not in names:
        raise DataError(
            f"labelling config: no usable control is called {wanted!r}; there is {', '.join(map(repr, names[:5]))}"
        )
    return tuple(made for _, made in ranked)
