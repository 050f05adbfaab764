"""Acts of answering as they were measured, and how often each of them paid which price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from spml_annotate.errors import SettingError


class Act(NamedTuple):
    """One act of answering: who, which kind of question, measured seconds, and price → how often it was paid."""

    annotator: str
    kind: str
    seconds: float
    uses: Mapping[str, float]


def uses_of(kind: str, *, classes: int, yes: int, wrong: int, started: bool, seen: bool) -> dict[str, float]:
    """How often an act of answering pays each price; the same sums as the replies of `KINDS`.

    Args:
        kind: of question.
        classes: that were answered.
        yes: how many of them are on the image.
        wrong: how many of them were ticked or unticked by the person.
        started: whether a positive of the image was known before.
        seen: whether the same annotator's question before was about the same image.

    Raises:
        SettingError: for a kind whose price is not known.
    """
    if kind not in _USES:
        raise SettingError(f"there is no price for questions of kind {kind!r}; choose from {', '.join(_USES)}")
    found = _USES[kind](classes, yes, wrong, started, seen)
    return {name: float(times) for name, times in found.items() if times}


def _pick(classes: int, yes: int, wrong: int, started: bool, seen: bool) -> dict[str, int]:
    # Classes ticked as absent on the same screen are looked at and ticked like those of a page.
    named = max(yes, 1)
    absent = max(classes - named, 0)
    return {"pick": 1, "another": named - 1, "glance": absent, "fix": absent}


def _list(classes: int, yes: int, wrong: int, started: bool, seen: bool) -> dict[str, int]:
    return {"pick": int(not started), "another": yes + int(started)}


def _verify(classes: int, yes: int, wrong: int, started: bool, seen: bool) -> dict[str, int]:
    return {"verify": classes, "view": int(not seen)}


def _page(classes: int, yes: int, wrong: int, started: bool, seen: bool) -> dict[str, int]:
    return {"open": 1, "glance": classes, "fix": wrong}


_USES: dict[str, Callable[[int, int, int, bool, bool], dict[str, int]]] = {
    "pick": _pick, "list": _list, "verify": _verify, "page": _page, "exhaust": _page,
}  # fmt: skip
