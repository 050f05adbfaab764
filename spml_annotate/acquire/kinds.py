"""Kinds of question: which cells one asks about, what it costs, and what a truthful answer makes known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire.cost import Prices
from spml_annotate.acquire.query import Query
from spml_annotate.errors import SettingError
from spml_annotate.registry import Registry

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]


class Part(NamedTuple):
    """One act of answering: seconds, and the cells it makes known as (label, present)."""

    seconds: float
    cells: tuple[tuple[int, bool], ...]


Select = Callable[[Floats, Bools], Bools]
Expect = Callable[[Prices, Floats, Bools, Bools], Floats]
Reply = Callable[[Prices, Query, Bools, Bools, int], list[Part]]


@dataclass(frozen=True)
class Kind:
    """One kind of question, for whole blocks of images at a time.

    Args:
        scope: "cell" (one class at a time) or "image".
        select: (worth [R, L], unknown [R, L]) → cells asked about [R, L].
        expect: (prices, belief [R, L], asked [R, L], started [R]) → expected seconds [R]; ``started`` says that a
            positive of the image is known already.
        reply: (prices, query, truth [L], known positives [L], picked) → the acts of a truthful answer; ``picked`` is
            the class that this annotator names first (-1 if the image has none).
        prefilled: whether beliefs above one half are shown as ticked.
        completes: whether all cells of the image are known afterwards.
    """

    scope: str
    select: Select
    expect: Expect
    reply: Reply
    prefilled: bool = False
    completes: bool = False


KINDS: Registry[Callable[..., Kind]] = Registry("kind of question")


def _everything(worth: Floats, unknown: Bools) -> Bools:
    return unknown


@KINDS.register("pick", asks="name one class that is on the image")
def pick() -> Kind:
    """Name one positive: the single-positive label itself."""

    def select(worth: Floats, unknown: Bools) -> Bools:
        return unknown & unknown.all(axis=1, keepdims=True)

    def expect(prices: Prices, belief: Floats, asked: Bools, started: Bools) -> Floats:
        return np.full(len(belief), prices.pick)

    def reply(prices: Prices, query: Query, truth: Bools, known: Bools, picked: int) -> list[Part]:
        return [Part(prices.pick, ((picked, True),) if picked >= 0 else ())]

    return Kind("image", select, expect, reply)


@KINDS.register("list", asks="name one more class, until there is no more")
def list_all() -> Kind:
    """Name one more, until no more: what is then not named is known to be absent, and the image is complete."""

    def expect(prices: Prices, belief: Floats, asked: Bools, started: Bools) -> Floats:
        found = (belief * asked).sum(axis=1)
        first = np.where(started, prices.another, prices.pick)
        return np.where(started, prices.another * (1 + found), first + prices.another * np.maximum(found, 1.0))

    def reply(prices: Prices, query: Query, truth: Bools, known: Bools, picked: int) -> list[Part]:
        present = [label for label in query.labels if truth[label]]
        if picked in present:
            present.remove(picked)
            present.insert(0, picked)
        parts = [Part(prices.another, ((label, True),)) for label in present]
        absent = tuple((label, False) for label in query.labels if not truth[label])
        parts.append(Part(prices.another, absent))
        if not known.any():  # the image is new, whether a class is found on it or none
            parts[0] = parts[0]._replace(seconds=prices.pick)
        if present and not absent:  # "no more" costs its seconds even when it makes nothing known
            last = parts.pop()
            parts[-1] = parts[-1]._replace(seconds=parts[-1].seconds + last.seconds)
        return parts

    return Kind("image", _everything, expect, reply, completes=True)


@KINDS.register("verify", asks="is this class on the image?")
def verify() -> Kind:
    """One class, yes or no; the first such question on an image also pays for the view (charged by who asks)."""

    def expect(prices: Prices, belief: Floats, asked: Bools, started: Bools) -> Floats:
        return np.full(len(belief), prices.verify)

    def reply(prices: Prices, query: Query, truth: Bools, known: Bools, picked: int) -> list[Part]:
        return [Part(prices.verify, tuple((label, bool(truth[label])) for label in query.labels))]

    return Kind("cell", _everything, expect, reply)


@KINDS.register("page", asks="confirm or correct a page of proposals on one image")
def page(*, size: int = 10) -> Kind:
    """The ``size`` worthiest unknown classes of one image on a page, likely ones ticked: correct what is wrong."""
    if size < 1:
        raise SettingError(f"page.size is {size}; a page holds at least 1 class")

    def select(worth: Floats, unknown: Bools) -> Bools:
        masked = np.where(unknown, worth, -np.inf)
        count = min(size, worth.shape[1])
        top = np.argsort(-masked, axis=1, kind="stable")[:, :count]
        chosen = np.zeros_like(unknown)
        np.put_along_axis(chosen, top, True, axis=1)
        return chosen & unknown

    return Kind("image", select, _page_seconds, _page_reply, prefilled=True)


@KINDS.register("exhaust", asks="check every class of the image")
def exhaust(*, prefilled: bool = False) -> Kind:
    """All unknown classes of one image: blind (every positive is a tick), or with likely ones ticked beforehand."""

    def blind(prices: Prices, belief: Floats, asked: Bools, started: Bools) -> Floats:
        return np.asarray(prices.open + prices.glance * asked.sum(1) + prices.fix * (belief * asked).sum(1))

    seconds = _page_seconds if prefilled else blind
    return Kind("image", _everything, seconds, _page_reply, prefilled=prefilled, completes=True)


def _page_seconds(prices: Prices, belief: Floats, asked: Bools, started: Bools) -> Floats:
    wrong = np.minimum(belief, 1.0 - belief) * asked
    return np.asarray(prices.open + prices.glance * asked.sum(axis=1) + prices.fix * wrong.sum(axis=1))


def _page_reply(prices: Prices, query: Query, truth: Bools, known: Bools, picked: int) -> list[Part]:
    shown = set(query.shown)
    wrong = sum(bool(truth[label]) is not (label in shown) for label in query.labels)
    seconds = prices.open + prices.glance * len(query.labels) + prices.fix * wrong
    return [Part(seconds, tuple((label, bool(truth[label])) for label in query.labels))]
