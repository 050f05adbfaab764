"""Everything there is to know about one loss, put together from its registration, its docstring and its state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spml_annotate.labels import LabelKind
from spml_annotate.losses import INPUT_WORDS, LOSSES
from spml_annotate.losses.records import Comparison, comparisons, source
from spml_annotate.registry import Entry
from spml_annotate.training.docstrings import details, sections
from spml_annotate.training.inputs import Method, resolve

FAMILIES = {
    "assume": "Unknown is negative, or left out",
    "priors": "A known number of positives",
    "estimate": "An estimate of every label",
    "entropy": "Undecided where nothing is known",
    "reject": "Large losses are distrusted",
    "focus": "Cells weighted by how wrong they are",
    "correct": "Confident cells become positives",
    "partial": "Made for partial annotations",
    "ranking": "Positives above the rest",
    "vision": "Taught by a vision-language model",
    "robust": "Robust forms of the logarithm",
    "presence": "Records of presence only",
    "dynamic": "Weighted by the batch and the epoch",
    "views": "Several views of an image",
    "enhance": "Labels inferred from similar images",
}

CERTAINTY = {
    "A": "A (the authors' code was read, and its values are reproduced)",
    "B": "B (the authors' code was read; it was not run from end to end)",
    "C": "C (from the text of the paper; no code of the authors was at hand)",
    "": "",
}

_VIEWS = frozenset({"strong", "masked"})

Published = Any  # a value, words, or {where: value}


@dataclass(frozen=True)
class Setting:
    """One setting of a method: what it means, our default, and the authors' where they are known (else None).

    ``allowed`` says in words which numbers it may be, where that is declared.
    """

    name: str
    meaning: str
    ours: Any
    allowed: str = ""
    code: Published = None
    paper: Published = None
    of_state: bool = False


@dataclass(frozen=True)
class Card:
    """Everything about one loss.

    ``inputs`` are those beside logits and labels, each in words; ``unsupplied`` are the names of those of them that
    training on stored features cannot give.
    """

    name: str
    family: str
    summary: str
    details: str
    title: str
    authors: str
    venue: str
    year: int
    paper: str
    link: str
    repository: str
    inputs: Mapping[str, str]
    optional: tuple[str, ...]
    unsupplied: tuple[str, ...]
    state: str | None
    also_keeps: str
    settings: tuple[Setting, ...]
    label_kinds: tuple[str, ...]
    oracle: bool
    needs_negatives: bool
    pulls_known: str
    start: str
    differs: str
    certainty: str
    comparison: Comparison

    @property
    def source(self) -> str:
        """Where and when it was published."""
        return source(self.venue, self.year)

    @property
    def trainable(self) -> bool:
        """Whether it can be trained on stored features."""
        return not self.unsupplied

    @property
    def needs(self) -> str:
        """What it needs beside labels, in a few words."""
        found = ["all true negatives (a reference)"] if self.oracle else []
        found += ["known negatives"] if self.needs_negatives and not self.oracle else []
        found += [f"state {self.state}"] if self.state else []
        found += [INPUT_WORDS[name] for name in self.unsupplied]
        return ", ".join(found) or "labels only"

    @property
    def training(self) -> str:
        """Where it can be trained, in a sentence."""
        if self.trainable:
            return "on stored features (`train`, `simulate`, `fit_heads`) and in a loop of one's own"
        wanted = " and ".join(INPUT_WORDS[name] for name in self.unsupplied)
        views = "" if _VIEWS.isdisjoint(self.unsupplied) else " (training on images end to end is not there yet)"
        return f"not on stored features: it needs {wanted}{views}; in a loop of one's own that has them"

    @property
    def golden(self) -> str:
        """What it was compared with, in a sentence."""
        made, parts = self.comparison, []
        if made.matched:
            parts.append(f"matches all {made.matched} reference values of released code")
        if made.formula:
            parts.append(f"matches all {made.formula} evaluations of the printed equations")
        if made.refused:
            parts.append(f"{made.refused} more label tables, which that code refuses, work here")
        return "; ".join(parts) or "not compared: there are no reference values"


def card(name: str) -> Card:
    """The card of a loss.

    Raises:
        SettingError: if there is no such loss.
    """
    method = resolve(name)
    entry, facts = method.loss, method.loss.facts
    described = sections(entry.function).get("Inputs", {})
    inputs = {wanted: described.get(wanted, INPUT_WORDS[wanted]) for wanted in entry.inputs}
    return Card(
        name=name,
        family=facts["family"],
        summary=_without_shape(entry.summary),
        details=_without_shape(details(entry.function)),
        title=facts["title"] or facts["paper"],
        authors=facts["authors"],
        venue=facts["venue"],
        year=facts["year"],
        paper=facts["paper"],
        link=facts["link"] or _link(facts["paper"]),
        repository=facts["repository"],
        inputs={wanted: words for wanted, words in inputs.items() if wanted not in ("logits", "labels")},
        optional=tuple(wanted for wanted in entry.inputs if wanted in entry.optional),
        unsupplied=method.unsupplied,
        state=method.state.name if method.state else None,
        also_keeps=method.state.facts.get("also_keeps", "") if method.state else "",
        settings=_settings(method),
        label_kinds=tuple(kind.value for kind in LabelKind if kind in facts["label_kinds"]),
        oracle=method.oracle,
        needs_negatives=bool(facts["needs_negatives"]),
        pulls_known=facts["pulls_known"],
        start=facts["start"],
        differs=facts["differs"],
        certainty=CERTAINTY[facts["certainty"]],
        comparison=comparisons().get(name, Comparison()),
    )


def cards() -> list[Card]:
    """The cards of all losses, in the order of the registry."""
    return [card(name) for name in LOSSES]


def users(state: str) -> tuple[str, ...]:
    """Losses that name a state."""
    return tuple(name for name in LOSSES if LOSSES[name].facts["state"] == state)


def value_in_words(value: Published) -> str:
    """A default as a reader wants it: 0.2 (VOC), 0.1 (COCO, NUS)."""
    if isinstance(value, Mapping):
        return "; ".join(f"{value_in_words(item)} ({where})" for where, item in value.items())
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return "not set" if value is None else str(value)


def _settings(method: Method) -> tuple[Setting, ...]:
    """Settings of the loss, then those that only its state has."""
    code, paper = method.loss.facts["code_defaults"], method.loss.facts["paper_defaults"]
    found = _rows(method.loss, code, paper, of_state=False)
    if method.state is not None:
        named = {setting.name for setting in found}
        found += [row for row in _rows(method.state, code, paper, of_state=True) if row.name not in named]
    return tuple(found)


def _rows(
    entry: Entry[Callable[..., Any]], code: Mapping[str, Any], paper: Mapping[str, Any], *, of_state: bool
) -> list[Setting]:
    text = sections(entry.function)
    meanings = {**text.get("Args", {}), **text.get("Settings", {})}
    return [
        Setting(
            name,
            meanings.get(name, ""),
            default,
            str(entry.ranges.get(name, "")),
            code.get(name),
            paper.get(name),
            of_state,
        )
        for name, default in entry.settings.items()
    ]


def _link(paper: str) -> str:
    return f"https://arxiv.org/abs/{paper.removeprefix('arXiv:')}" if paper.startswith("arXiv:") else ""


def _without_shape(text: str) -> str:
    """A docstring's words without the shape that it returns."""
    return re.sub(r"\s*\[\*H, B, L\]\.$", "", text)
