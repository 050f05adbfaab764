"""The choices of a control: how results spell them and which class each means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

MOST_LETTERS = 10_000_000
"""Letters in all names together: below a long topmost choice, a short text could mean gigabytes."""
_REFERENCE = re.compile(r"\$(?=[\w[\].{}])", re.ASCII)


class Choice(NamedTuple):
    """One choice: what is shown and what results carry, from the topmost choice down to it; and foreign names."""

    shown: tuple[str, ...]
    written: tuple[str, ...]
    predicted: tuple[str, ...] = ()


class Listed(NamedTuple):
    """Choices that can be told apart: spellings, class names and paths side by side, foreign name → class name.

    ``whole`` is false if there were so many that the rest was left out.
    """

    values: tuple[str, ...]
    names: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    predicted: Mapping[str, str]
    whole: bool = True


def displayed(name: str) -> str:
    """A class name as the editor can show it: it would take "$5" for a reference to task data.

    So a space of no width parts "$" from what follows; results then carry the true name, as alias.
    """
    return _REFERENCE.sub("$\u200b", name)


def listed(choices: Iterable[Choice]) -> Listed:
    """Choices without those that results could not tell apart: the first of a spelling stays.

    Two choices that look alike but are written differently stay both: the second is named as it is written.
    """
    kept: dict[str, Choice] = {}
    names: dict[str, str] = {}  # class name → spelling
    room = MOST_LETTERS
    for choice in choices:
        spelling, name = "/".join(choice.written), "/".join(choice.shown)
        room -= len(spelling) + len(name)
        if room < 0:
            break
        if name in names or not name.strip() or name == displayed(spelling):
            name = spelling
        if spelling.strip() and spelling not in kept and name not in names:
            kept[spelling] = choice
            names[name] = spelling
    predicted: dict[str, str] = {}
    for name, spelling in names.items():
        for word in kept[spelling].predicted:
            predicted.setdefault(word, name)
    return Listed(tuple(kept), tuple(names), tuple(choice.written for choice in kept.values()), predicted, room >= 0)


def from_element(control: Element, *, nested: bool, leaves_only: bool) -> Iterator[Choice]:
    """The <Choice> elements of a control, in document order; ``nested`` ones carry their parents."""
    if nested:
        yield from _nested(control, (), (), leaves_only)
    else:
        yield from _flat(control)


def _flat(element: Element) -> Iterator[Choice]:
    for child in element:
        if child.tag not in ("Choice", "Choices", "Taxonomy"):
            yield from _flat(child)  # a View between them
        elif child.tag == "Choice" and (text := child.get("value")):
            yield Choice((text,), (child.get("alias") or text,), _words(child.get("predicted_values")))


def _nested(element: Element, shown: tuple[str, ...], written: tuple[str, ...], leaves_only: bool) -> Iterator[Choice]:
    for child in element:
        text = child.get("value")
        if child.tag != "Choice" or not text:
            continue
        here = Choice((*shown, text), (*written, child.get("alias") or text), _words(child.get("predicted_values")))
        if not (leaves_only and child.find("Choice") is not None):
            yield here
        yield from _nested(child, here.shown, here.written, leaves_only)


def from_task(entries: object, *, nested: bool, leaves_only: bool, depth: int = 60) -> Iterator[Choice]:
    """The choices that a task lists as objects with ``value``, ``alias`` and ``children``; other entries are none.

    Label Studio's editor shows nothing usable for plain strings, so they are not choices here either.
    """
    return _in_task(entries, Choice((), ()), nested, leaves_only, depth)


def _in_task(entries: object, parent: Choice, nested: bool, leaves_only: bool, depth: int) -> Iterator[Choice]:
    for entry in entries if isinstance(entries, list) and depth else ():
        text = entry.get("value") if isinstance(entry, Mapping) else None
        if not isinstance(text, str) or not text:
            continue
        here = _child(parent, text, entry)
        children = entry.get("children") if nested else None
        if not (leaves_only and isinstance(children, list) and children):
            yield here
        yield from _in_task(children, here, nested, leaves_only, depth - 1)


def _child(parent: Choice, text: str, entry: Mapping[str, Any]) -> Choice:
    alias = entry.get("alias")
    written = alias if isinstance(alias, str) and alias else text
    return Choice((*parent.shown, text), (*parent.written, written), _words(entry.get("predicted_values")))


def _words(text: object) -> tuple[str, ...]:
    if not isinstance(text, str):
        return ()
    return tuple(word.strip() for word in text.split(",") if word.strip())
