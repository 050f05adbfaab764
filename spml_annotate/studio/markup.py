"""The XML of a labelling config: read without trusting it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from spml_annotate.errors import DataError

MOST_CHARACTERS = 1_000_000
MOST_DEPTH = 60
_DIGITS = 9  # of an index; Python reads no number of thousands of digits
VARIABLE = re.compile(r"\$([\w[\].{}]+)", re.ASCII)
"""What Label Studio's editor takes for a reference to task data when it is the whole value."""


Node = tuple[Element, tuple[Element, ...]]
"""An element and its ancestors, the root first."""


def read_markup(xml: str) -> list[Node]:
    """Every element of a labelling config, in document order.

    Raises:
        DataError: for text that is no XML, defines entities or a document type, or is too long or too deep.
    """
    if not isinstance(xml, str) or not xml.strip():
        raise DataError("labelling config: it is empty; set up labelling in Label Studio's project settings")
    if len(xml) > MOST_CHARACTERS:
        raise DataError(f"labelling config: it has more than {MOST_CHARACTERS:,} characters; list fewer choices")
    try:
        root: Element = fromstring(xml.strip(), forbid_dtd=True)
    except DefusedXmlException:
        raise DataError("labelling config: it defines entities or a document type; remove them") from None
    except (ParseError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"labelling config: it is not well-formed XML ({reason}); correct it") from None
    return _nodes(root)


def _nodes(root: Element) -> list[Node]:
    nodes: list[Node] = []
    waiting: list[Node] = [(root, ())]
    while waiting:
        element, parents = waiting.pop()
        if len(parents) >= MOST_DEPTH:
            raise DataError(f"labelling config: elements are nested more than {MOST_DEPTH} deep; make it flatter")
        nodes.append((element, parents))
        inside = (*parents, element)
        waiting.extend((child, inside) for child in reversed(element))
    return nodes


def is_true(element: Element, attribute: str) -> bool:
    """Whether an attribute is "true"."""
    return element.get(attribute) == "true"


def variable(text: str | None) -> str | None:
    """The task data key that "$key" names; None for any other text. Keys may be paths, "a.b" or "a[0]"."""
    found = VARIABLE.fullmatch(text or "")
    return found[1] if found and "{{" not in found[1] else None


def look_up(data: object, key: str) -> Any:  # noqa: ANN401  (whatever the task holds)
    """The entry of task data that a key or path names, None if there is none."""
    if isinstance(data, Mapping) and key in data:
        return data[key]
    entry: Any = data
    for step in re.findall(r"\w+", key, re.ASCII):
        if isinstance(entry, Mapping):
            entry = entry.get(step)
        elif isinstance(entry, list) and step.isdecimal() and len(step) <= _DIGITS and int(step) < len(entry):
            entry = entry[int(step)]
        else:
            return None
    return entry
