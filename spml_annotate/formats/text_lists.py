"""Lists of labels in one cell of a table, as programs print them: ``["cat", "dog"]`` or ``['cat', 'dog']``."""

from __future__ import annotations

import json
import re

_ITEM = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d{1,9})"""
_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:\s*,\s*{_ITEM})*)?\s*,?\s*\]", re.DOTALL)
_ITEMS = re.compile(_ITEM, re.DOTALL)


def printed_list(text: str) -> list[str | int] | None:
    """The names or numbers in a list that Python or JSON printed; None if the text is none.

    Lists without commas, as NumPy prints them, are none: there is no telling where a name ends.
    """
    text = text.strip()
    if not _LIST.fullmatch(text):
        return None
    return [_item(found) for found in _ITEMS.findall(text)]


def _item(text: str) -> str | int:
    if text[0] not in "\"'":
        return int(text)
    if text[0] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            pass  # Python's quotes hold what JSON's do not
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
