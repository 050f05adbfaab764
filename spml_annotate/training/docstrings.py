"""Reads the sections of a docstring, so that what is said of a setting or input is written once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTIONS = ("Args", "Inputs", "Settings", "Raises", "Returns")
_HEADING = re.compile(rf"^({'|'.join(_SECTIONS)}):$", re.MULTILINE)


def details(function: Callable[..., Any]) -> str:
    """The paragraphs between the summary and the first section, as one text."""
    text = inspect.getdoc(function) or ""
    body = _HEADING.split(text)[0].split("\n\n", 1)
    return " ".join(body[1].split()) if len(body) > 1 else ""


def sections(function: Callable[..., Any]) -> dict[str, dict[str, str]]:
    """Section -> name -> what is said of it. Names that share their words (``a, b: ...``) each get them."""
    parts = _HEADING.split(inspect.getdoc(function) or "")
    names = "|".join(sorted(inspect.signature(function).parameters, key=len, reverse=True))
    if not names:
        return {}
    item = re.compile(rf"(?<![\w`])((?:{names})(?:,\s+(?:{names}))*):\s")
    return {heading: _items(item, body) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def _items(item: re.Pattern[str], body: str) -> dict[str, str]:
    pieces = item.split(" " + " ".join(body.split()))
    found: dict[str, str] = {}
    for names, words in zip(pieces[1::2], pieces[2::2], strict=True):
        found.update(dict.fromkeys(names.split(", "), words.strip().rstrip(".;,")))
    return found
