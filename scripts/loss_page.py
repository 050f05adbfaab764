"""The page docs/losses.md: every loss, every state, and the published methods that are not here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from spml_annotate.losses.records import Absent, absent_methods
from spml_annotate.states import STATES
from spml_annotate.training.catalogue import FAMILIES, Card, Setting, cards, users, value_in_words
from spml_annotate.training.footprint import Memory, measured
from spml_annotate.training.heads import first_share

IMAGES, CLASSES = 82_081, 80  # COCO's training images

INTRO = """# Losses

Written by `python scripts/write_docs.py` from the program itself; `spml-annotate losses show NAME` says the same in a
terminal, `--json` for machines. {count} losses, {trainable} of which can be trained on stored features
(`spml-annotate train --loss NAME`, `simulate --loss NAME`); `as_module(NAME)`
gives each to a loop of one's own, `RememberingLoss(NAME, labels)` with its memory.

- **needs**: what a method must be given beside the labels that it learns from. Its k (`expected_positives`) and
  `epochs` are filled in by the training; `--set NAME.SETTING=VALUE` sets everything else.
- **labels**: SPL one positive per image, PPL some positives, PAL some of both signs, FAL everything. Known negatives
  are honoured by every method that is trained on them, also where the paper knows none.
- **bytes**: what a method remembers per image and class, beside the labels; Adam's moments included.
- **sure**: A the authors' code was read and its values are reproduced, B the code was read, C from the text of the
  paper only.
- **checked**: reference values of released code that ours reproduces; in brackets those of printed equations, where no
  code was released.
- In the tables of settings an empty cell means that the value is not known, or that the code or paper has no such
  setting.
"""


def page() -> str:
    """The whole page."""
    every = cards()
    memory = {name: measured(name) for name in STATES}
    parts = [INTRO.format(count=len(every), trainable=sum(card.trainable for card in every))]
    head = ("loss", "paper", "needs", "labels", "bytes", "sure", "checked")
    parts.append(_table(head, (_row(card, memory) for card in every)))
    parts += ["## What is remembered", _states(memory)]
    for family in dict.fromkeys([*FAMILIES, *(card.family for card in every)]):
        parts.append(f"## {FAMILIES.get(family, family)}")
        parts += [_section(card, memory) for card in every if card.family == family]
    parts += ["## Not here", _absent(absent_methods())]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _row(card: Card, memory: dict[str, Memory]) -> tuple[str, ...]:
    made = card.comparison
    checked = f"{made.matched or ''}" + (f" ({made.formula})" if made.formula else "")
    return (
        f"[`{card.name}`](#{card.name})",
        f"[{card.source}]({card.link})" if card.link else card.source,
        card.needs,
        " ".join(card.label_kinds),
        f"{memory[card.state].with_moments:g}" if card.state else "",
        card.certainty[:1],
        checked.strip() or "none",
    )


def _states(memory: dict[str, Memory]) -> str:
    text = f"""
Beliefs about every image and class, kept between the epochs, never part of the model and never written to the label
log. Bytes per image and class are measured on what a state saves; the last column is one training run on
{IMAGES:,} images and {CLASSES} classes (COCO), the moments that Adam keeps of what is trained included. Larger tables
than `memory_limit` are memory-mapped from a temporary file.
"""
    rows = (
        (
            f"`{name}`",
            _sentence(STATES[name].summary, STATES[name].facts.get("also_keeps", "")),
            ", ".join(f"`{loss}`" for loss in users(name)),
            f"{found.cell:g}" + (f" ({found.with_moments:g} with Adam)" if found.trained else ""),
            f"{found.total(IMAGES, CLASSES) / 1e6:,.0f} MB",
        )
        for name, found in memory.items()
    )
    return text + "\n" + _table(("state", "keeps", "used by", "bytes", f"{IMAGES:,} x {CLASSES}"), rows)


def _section(card: Card, memory: dict[str, Memory]) -> str:
    parts = [f"### {card.name}", _plain(" ".join(filter(None, (card.summary, card.details)))), _origin(card)]
    if card.settings:
        head = ("setting", "ours", "authors' code", "paper", "allowed", "meaning")
        parts.append(_table(head, (_setting(setting) for setting in card.settings)))
    parts.append("\n".join(f"- **{key}**: {_plain(text)}." for key, text in _facts(card, memory)))
    return "\n\n".join(parts)


def _origin(card: Card) -> str:
    paper = f"[{card.title}]({card.link})" if card.link else card.title
    code = re.sub(r"[\w-]+/[\w-]+", lambda found: f"[{found[0]}](https://github.com/{found[0]})", card.repository)
    return f"{', '.join(filter(None, (paper, card.authors, card.source)))}. Code: {code or 'none released'}."


def _setting(setting: Setting) -> tuple[str, ...]:
    published = ("" if value is None else value_in_words(value) for value in (setting.code, setting.paper))
    meaning = setting.meaning + (" (of its state)" if setting.of_state else "")
    return (f"`{setting.name}`", value_in_words(setting.ours), *published, setting.allowed, meaning)


def _facts(card: Card, memory: dict[str, Memory]) -> Iterator[tuple[str, str]]:
    given = [f"`{name}` ({words})" for name, words in card.inputs.items() if name not in card.optional]
    if given:
        yield "inputs", "; ".join(given)
    optional = [f"`{name}` ({card.inputs[name]})" for name in card.optional]
    if optional:
        yield "optional inputs", "; ".join(optional)
    yield "labels", ", ".join(card.label_kinds) + (_restriction(card))
    yield "trains", card.training
    if card.state:
        found = memory[card.state]
        total = f"{found.total(IMAGES, CLASSES) / 1e6:,.0f} MB at {IMAGES:,} x {CLASSES}"
        kept = f"{found.in_words}, {total}" if found.in_words else ""
        yield "remembers", f"state `{card.state}`: {'; '.join(filter(None, (kept, card.also_keeps)))}"
    if card.start != "prior":
        yield "start", f"a new head starts at {first_share(card.start, 1.0, 1)}, and not at the share k/L of a class"
    if card.pulls_known:
        yield "known cells", card.pulls_known
    yield "differs", card.differs or "in nothing"
    yield "sure", card.certainty or "not said"
    yield "checked", card.golden


def _sentence(summary: str, also: str) -> str:
    return f"{summary} Beside it: {also}." if also else summary


def _restriction(card: Card) -> str:
    if card.oracle:
        return "; a reference that must be told all true negatives, never recommended"
    return "; it needs known negatives" if card.needs_negatives else ""


def _absent(methods: Iterable[Absent]) -> str:
    text = "Published methods that are not here, and why; `spml-annotate losses show hml` answers the same.\n"
    rows = (
        (
            found.name,
            f"[{found.title}]({found.link}), {found.source}",
            found.reason,
            f"`{found.loss}`" * bool(found.loss),
        )
        for found in methods
    )
    return text + "\n" + _table(("method", "paper", "why", "see"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Words in which Markdown shall see no emphasis."""
    return text.replace("*", "\\*")
