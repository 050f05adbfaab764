"""The page docs/formats.md: what each file format holds, how it says no and unknown, and its settings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from spml_annotate.formats import CAPABILITIES, FORMATS
from spml_annotate.formats.losing import SIDE_COLUMNS
from spml_annotate.registry import Entry

INTRO = """# Formats

Written by `python scripts/write_docs.py` from the program itself. Of {count} formats {loaded} are read and {saved} are
written.

What a format cannot hold, the export says in words (only what this export really contains), and writes every label with
all that is known of it beside it, as `<out>.lost.csv`: `{columns}`.

- A format that is read as a *table* tells who said what and when; one that is read as a *dataset* has one code per
  image and class.
- Of a cell with several labels, formats with one code per cell get a person's before a proposal's, and the latest.
- In code: `from spml_annotate.formats import FORMATS`; `FORMATS["coco"].function(path)` reads,
  `FORMATS["coco"].facts["saves"](path, table)` writes.
- Settings are given as `--set FORMAT.SETTING=VALUE`. Every reader also takes `classes` (a class list: what the class
  numbers of a file count in, and which columns of a CSV are classes) and `root` (the folder that its paths are relative
  to, where they are paths; for Label Studio, the one in which uploads and local files are looked for).
"""
Format = Entry[Callable[..., Any]]
_SHARED = {"classes", "root", "name", "pictures"}


def page() -> str:
    """The whole page."""
    entries = [FORMATS[name] for name in sorted(FORMATS)]
    intro = INTRO.format(
        count=len(entries),
        loaded=sum(bool(entry.facts["loads"]) for entry in entries),
        saved=sum(entry.facts["saves"] is not None for entry in entries),
        columns=",".join(SIDE_COLUMNS),
    )
    head = ("format", "is a", "read as", "written", *CAPABILITIES)
    meanings = "\n".join(f"- **{name}**: {words}." for name, words in CAPABILITIES.items())
    parts = [intro, _table(head, (_row(entry) for entry in entries)), meanings]
    parts += [_section(entry) for entry in entries]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _row(entry: Format) -> tuple[str, ...]:
    facts = entry.facts
    kind = "folder" if facts["is_folder"] else "file"
    suffixes = f" ({', '.join(facts['suffixes'])})" if facts["suffixes"] else ""
    marks = ("yes" if name in facts["can"] else "" for name in CAPABILITIES)
    link = f"[`{entry.name}`](#{entry.name})"
    return (link, kind + suffixes, facts["loads"], "yes" if facts["saves"] is not None else "", *marks)


def _section(entry: Format) -> str:
    parts = [f"## {entry.name}", entry.facts["notes"]]
    loader = entry.function if entry.facts["loads"] else None
    for what, function in (("reading", loader), ("writing", entry.facts["saves"])):
        rows = list(_settings(function)) if function is not None else []
        if rows:
            parts.append(_table((f"setting of {what}", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _settings(function: Callable[..., object]) -> Iterator[tuple[str, str, str]]:
    """(name, default, meaning) of the settings that are a format's own."""
    said = _arguments(inspect.getdoc(function) or "")
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and name not in _SHARED:
            yield f"`{name}`", f"`{parameter.default!r}`", said.get(name, "")


def _arguments(text: str) -> dict[str, str]:
    """Name → meaning, from the part ``Args:`` of a docstring."""
    found = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    items = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", found[1], re.MULTILINE) if found else []
    return {name: " ".join(words.replace("``", "`").split()) for name, words in items}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
