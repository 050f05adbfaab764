"""Choosing questions for people, and knowing which of them are still open."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire import KINDS, Prices, Query, choose
from spml_annotate.acquire import strategy as find_strategy
from spml_annotate.acquire.values import VALUES
from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.project.evidence import evidence_of
from spml_annotate.project.sample import answered_cells, checked_sample, originals, trainable
from spml_annotate.project.scoring import require_model
from spml_annotate.stores.images import TEST, VALIDATION
from spml_annotate.workspace import Asked, ModelVersion, Workspace
from spml_annotate.workspace.questions import Purpose

DEFAULT_STRATEGY = "expected-positives"
_NOTHING: Mapping[str, dict[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class OpenQuestion:
    """A question that waits for an answer: ``remaining`` are its classes that nobody has answered yet."""

    asked: Asked
    remaining: tuple[int, ...]

    @property
    def query(self) -> Query:
        """The question itself."""
        return self.asked.query


@dataclass(frozen=True)
class Asking:
    """What `ask` put: questions issued again first, then new ones; expected seconds for all of them.

    ``open`` counts all questions of the project that wait for an answer, ``drawn`` the images that were newly drawn
    for the checked sample.
    """

    again: tuple[OpenQuestion, ...]
    new: tuple[OpenQuestion, ...]
    seconds: float
    open: int
    drawn: int = 0


def ask(
    workspace: Workspace,
    strategy: str = DEFAULT_STRATEGY,
    *,
    budget: float = 3600.0,
    annotator: str = "human",
    settings: Mapping[str, dict[str, Any]] = _NOTHING,
    seed: int = 0,
) -> Asking:
    """Put the questions that a strategy finds worth the next seconds; open ones are put again first.

    Known cells are never asked, nor images of other splits than train, nor copies, nor cells of which ``annotator``
    has said something already. Expected seconds stay within the budget.

    Args:
        workspace: the project.
        strategy: ``name`` or ``name:kind``, see `VALUES` and `KINDS`.
        budget: seconds of a person's time.
        annotator: who will answer.
        settings: kind of question → its settings.
        seed: the same seed asks the same questions.

    Raises:
        DataError: if the strategy needs a model and there is none. SettingError: for an unknown strategy, or settings
            of a kind of question that it does not ask.
    """
    chosen = find_strategy(strategy, dict(settings))
    if strange := sorted(set(settings) - {chosen.kind_name}):
        raise SettingError(
            f"--set {strange[0]}...: {strategy} asks by {chosen.kind_name}; write {chosen.kind_name}.SETTING=VALUE"
        )
    with workspace.writing("ask"):
        workspace.require_images()
        model = _model_for(workspace, chosen.value, strategy)
        waiting = open_questions(workspace, annotator)
        prices = workspace.settings.prices
        again, left = _within([q for q in waiting if q.asked.purpose == "strategy"], budget, prices)
        sample = checked_sample(workspace)
        count = workspace.embedded() if model is not None else len(workspace.images)
        closed = _closed(workspace, waiting, annotator, count)
        evidence = evidence_of(workspace, model, sample, seed=seed, closed=closed)
        rows = np.flatnonzero((originals(workspace) & trainable(workspace))[:count])
        queries = choose(evidence, chosen, left, prices=prices, rows=rows, tag=_tag(workspace)) if left > 0 else []
        return _put(workspace, again, queries, "strategy", strategy, annotator)


def ask_picks(workspace: Workspace, *, budget: float = 3600.0, annotator: str = "human", seed: int = 0) -> Asking:
    """Ask for one positive on training images about which nothing is known, in random order, within the budget."""
    with workspace.writing("ask"):
        workspace.require_images()
        waiting = open_questions(workspace, annotator)
        prices = workspace.settings.prices
        again, left = _within([q for q in waiting if q.asked.purpose == "pick"], budget, prices)
        busy = {q.query.row for q in waiting}
        known = workspace.folded().matrix.known_per_row()
        rows = np.flatnonzero(originals(workspace) & trainable(workspace) & (known == 0))
        said = answered_cells(workspace, rows, annotator)
        rows = np.array([row for row in rows[~said.any(axis=1)].tolist() if row not in busy], dtype=np.int64)
        number = int(left / prices.pick) if prices.pick > 0 else len(rows)
        drawn = np.random.default_rng(seed).permutation(rows)[:number]
        everything, tag = tuple(range(len(workspace.taxonomy))), _tag(workspace)
        queries = [Query(row, everything, "pick", (), prices.pick).named(tag) for row in drawn.tolist()]
        return _put(workspace, again, queries, "pick", "", annotator)


def ask_validation(workspace: Workspace, images: int, *, annotator: str = "human", seed: int = 0) -> Asking:
    """Ask for full checks of random images until the checked sample will have ``images`` of them.

    The images are drawn from all readable originals outside the test split, labelled or not (a sample of unlabelled
    ones only would not be random), leave the train split together with their copies, and are never trained on again.

    Raises:
        SettingError: for a number below 1. DataError: if there are not that many images.
    """
    if images < 1:
        raise SettingError(f"--validation {images}: at least one image is needed; 200 are usual")
    with workspace.writing("ask"):
        workspace.require_images()
        splits, usable = workspace.images.splits(), originals(workspace)
        members = np.flatnonzero(usable & (splits == VALIDATION))
        free = np.flatnonzero(usable & (splits != VALIDATION) & (splits != TEST))
        missing = max(images - len(members), 0)
        if missing >= len(free):
            most = len(members) + len(free) - 1
            remedy = f"ask for fewer, {most} at most" if most > 0 else "add more with `spml-annotate images add`"
            raise DataError(
                f"--validation {images}: only {most + 1} readable images could be drawn, and some must be left to "
                f"train on; {remedy}"
            )
        drawn = np.sort(np.random.default_rng(seed).choice(free, missing, replace=False))
        workspace.images.set_split(drawn, VALIDATION)  # before the questions: nothing may train on them meanwhile
        waiting = open_questions(workspace, annotator)
        again = [q for q in waiting if q.asked.purpose == "validation"]
        queries = _full_checks(workspace, np.union1d(members, drawn), again, annotator)
        done = _put(workspace, again, queries, "validation", "", annotator)
    return Asking(done.again, done.new, done.seconds, done.open, len(drawn))


def _full_checks(
    workspace: Workspace, rows: NDArray[np.int64], again: Sequence[OpenQuestion], annotator: str
) -> list[Query]:
    """One question per image about its unknown cells that no open full check asks about and the annotator has not met.

    Open questions of other purposes do not stand in the way: they ask about less, and are over once this is answered.
    """
    wanted = (workspace.folded().matrix.dense(rows) == UNKNOWN) & ~answered_cells(workspace, rows, annotator)
    for question in again:
        wanted[np.ix_(rows == question.query.row, question.remaining)] = False
    prices, tag = workspace.settings.prices, _tag(workspace)
    expected = checked_sample(workspace).positives_per_image()[0]
    density = (expected if expected == expected else 1.5) / max(len(workspace.taxonomy), 1)
    queries = []
    for row, cells in zip(rows.tolist(), wanted, strict=True):
        labels = tuple(np.flatnonzero(cells).tolist())
        if labels:
            seconds = prices.full_check(len(labels), density * len(labels))
            queries.append(Query(row, labels, "exhaust", (), seconds).named(tag))
    return queries


def open_questions(workspace: Workspace, annotator: str | None = None) -> list[OpenQuestion]:
    """Questions that still wait, in the order they were put.

    A question about classes waits while one of them is unknown and has no word of ``annotator`` (of anybody, for None);
    ``pick`` waits until something is known of the image or the question has an answer.
    """
    folded = workspace.folded()
    questions = list(workspace.questions)
    unreadable = set(workspace.images.errors())
    rows = np.unique(np.array([asked.query.row for asked in questions], dtype=np.int64))
    codes = folded.matrix.dense(rows)
    said = answered_cells(workspace, rows, annotator)
    place = {row: position for position, row in enumerate(rows.tolist())}
    found = []
    for asked in questions:
        at = place[asked.query.row]
        labels = np.array(asked.query.labels, dtype=np.int64)
        waits = labels[(codes[at, labels] == UNKNOWN) & ~said[at, labels]]
        over = asked.query.kind == "pick" and (bool((codes[at] != UNKNOWN).any()) or bool(said[at].any()))
        if len(waits) and not over and asked.query.row not in unreadable:
            found.append(OpenQuestion(asked, tuple(waits.tolist())))
    return found


def expected_seconds(questions: Sequence[OpenQuestion], prices: Prices) -> float:
    """Seconds that questions are expected to take; verify questions on one image share one view of it."""
    views = len({q.query.row for q in questions if q.query.kind == "verify"})
    return sum(q.query.seconds for q in questions) + views * prices.view


def _within(questions: Sequence[OpenQuestion], budget: float, prices: Prices) -> tuple[list[OpenQuestion], float]:
    """The first questions that fit into the budget, and what is left of it."""
    left, seen = budget, set[int]()
    for place, question in enumerate(questions):
        query = question.query
        view = prices.view if query.kind == "verify" and query.row not in seen else 0.0
        if query.seconds + view > left:
            return list(questions[:place]), 0.0
        left -= query.seconds + view
        seen.update([query.row] if query.kind == "verify" else [])
    return list(questions), left


def _model_for(workspace: Workspace, value: str, spelling: str) -> ModelVersion | None:
    if not VALUES[value].facts.get("needs_model", True) and workspace.models.current() is None:
        return None
    if workspace.models.current() is None:
        free = ", ".join(name for name in VALUES if not VALUES[name].facts.get("needs_model", True))
        raise DataError(
            f"strategy {spelling!r} needs a trained model; run `spml-annotate train` first (without a model: `ask "
            f"--pick`, or the strategies {free})"
        )
    return require_model(workspace)


def _closed(workspace: Workspace, waiting: Sequence[OpenQuestion], annotator: str, count: int) -> NDArray[np.bool_]:
    """Cells [n, L] that must not be asked: those of open questions, and those that the annotator has met."""
    closed = answered_cells(workspace, np.arange(count), annotator)
    for question in waiting:
        if question.query.row < count and question.query.kind != "pick":
            closed[question.query.row, list(question.remaining)] = True
    return closed


def _put(
    workspace: Workspace,
    again: Sequence[OpenQuestion],
    queries: Sequence[Query],
    purpose: Purpose,
    strategy: str,
    annotator: str,
) -> Asking:
    now = time.time()
    asked = [Asked(query, purpose, strategy, now) for query in queries]
    workspace.questions.add(asked)
    new = tuple(OpenQuestion(item, item.query.labels) for item in asked)
    seconds = expected_seconds([*again, *new], workspace.settings.prices)
    return Asking(tuple(again), new, seconds, len(open_questions(workspace, annotator)))


def _tag(workspace: Workspace) -> str:
    return str(len(workspace.questions))


def ticked(workspace: Workspace, question: OpenQuestion) -> tuple[int, ...]:
    """Remaining classes that are put before the person as ticked."""
    shown = set(question.query.shown)
    return tuple(label for label in question.remaining if label in shown)


def asks(kind: str) -> str:
    """What a kind of question asks, in words."""
    return str(KINDS[kind].facts["asks"])


def positives_known(workspace: Workspace, row: int) -> tuple[int, ...]:
    """Classes known to be on an image."""
    return tuple(np.flatnonzero(workspace.folded().matrix.dense([row])[0] == POSITIVE).tolist())
