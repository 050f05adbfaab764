"""Reads the XML files of a Pascal VOC folder (``Annotations``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spml_annotate.errors import DataError
from spml_annotate.formats.text import at, check_text, unreadable
from spml_annotate.formats.voc_write import WHOLE_IMAGE

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Corners = tuple[float, float, float, float]


_MARKS = {"0": False, "1": True, "false": False, "true": True, "unspecified": False, "": False}
"""What programs write for ``difficult``; VOC itself has 0 and 1, and leaves it out of what nobody looked at."""


class Thing(NamedTuple):
    """An object on an image; ``corners`` are shares of the picture, None if they or its size are not known."""

    name: str
    difficult: bool
    corners: Corners | None


class Described(NamedTuple):
    """An XML file: the name of its picture, "" if it states none, and the objects on it."""

    picture: str
    things: list[Thing]


def read_xml(path: Path) -> Described:
    """What an XML file says.

    Raises:
        DataError: if it is not XML of VOC; it names the line, or the number of the object.
    """
    import defusedxml
    from defusedxml.ElementTree import ParseError, parse

    try:
        root = parse(path).getroot()
    except ParseError as error:
        line = error.position[0] if hasattr(error, "position") else 1
        raise at(path, line, f"this is not XML ({error}); the file may be cut off") from None
    except defusedxml.DefusedXmlException as error:
        raise DataError(f"{path}: XML with definitions of its own is not read ({error})") from None
    except (ValueError, LookupError) as error:  # an encoding that there is not, or that expat does not do
        raise DataError(f"{path}: this is not XML that can be read ({error}); save it as UTF-8") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if root is not None and str(root.tag).startswith("{"):  # some programs name a schema, which changes nothing
        for item in root.iter():
            item.tag = str(item.tag).rpartition("}")[2]
    if root is None or root.tag != "annotation":
        raise DataError(f"{path}: this is no annotation of VOC, which starts with <annotation>")
    try:
        stated = (root.findtext("filename") or "").strip().replace("\\", "/")
        return Described(stated.rpartition("/")[2], list(_things(root)))
    except DataError as error:
        raise DataError(f"{path}, {error}") from None


def _things(root: Element) -> Iterator[Thing]:
    size = _numbers(root.find("size"), ("width", "height"), "size")
    for number, item in enumerate(root.findall("object"), start=1):
        where = f"object {number}"
        name = (item.findtext("name") or "").strip()
        check_text(name, f"{where}: its name")
        mark = (item.findtext("difficult") or "").strip()
        if mark.lower() not in _MARKS:
            raise DataError(f"{where}: difficult is {mark!r}, neither 0 nor 1")
        box = _numbers(item.find("bndbox"), ("xmin", "ymin", "xmax", "ymax"), where)
        known = box is not None and size is not None and min(size) > 0 and item.find(WHOLE_IMAGE) is None
        yield Thing(name, _MARKS[mark.lower()], _shares(box, size) if known and box and size else None)


def _numbers(item: Element | None, names: tuple[str, ...], where: str) -> list[float] | None:
    """Numbers in the children of an element; None if there is no such element or it has none of them."""
    if item is None:
        return None
    texts = [item.findtext(name) for name in names]
    if not any(texts):
        return None
    try:
        found = [float(text or "") for text in texts]
    except ValueError:
        raise DataError(f"{where}: {', '.join(names)} are not all numbers") from None
    if not all(abs(number) < 1e9 for number in found):
        raise DataError(f"{where}: {', '.join(names)} are not all sizes of pictures")
    return found


def _shares(box: list[float], size: list[float]) -> Corners:
    """VOC counts pixels from 1, and the last one is inside."""
    left, top, right, bottom = box
    width, height = size
    found = ((left - 1) / width, (top - 1) / height, right / width, bottom / height)
    a, b, c, d = (min(max(share, 0.0), 1.0) for share in found)
    return a, b, c, d
