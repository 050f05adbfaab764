"""Makes the log agree with what stands in Label Studio: differences are appended, nothing is ever changed or lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from spml_annotate.labels import Answer, Observation
from spml_annotate.loop.links import Link, LinkStore, Said, TaskRow
from spml_annotate.studio.words import Act, History, base, settle

UNSETTLED = ""
"""As the ``updated`` of a `Said`: something of it may be in the log already, look there."""


class AnswerLog(Protocol):
    """The part of the project's log that is needed here."""

    def append(self, observations: Iterable[Observation]) -> int:
        """See `LabelLog.append`."""

    def about(self, row: int) -> list[Observation]:
        """See `SqliteLog.about`."""


class Heard(NamedTuple):
    """One annotation as it stands in Label Studio, in the terms of the project: words by label.

    ``seconds`` is what it took, idle gaps cut; ``time`` is Unix time of ``updated``.
    """

    task: int
    annotator: str
    annotation: int
    updated: str
    time: float
    words: Mapping[int, Answer]
    shown: frozenset[int] = frozenset()
    seconds: float = 0.0


@dataclass(frozen=True)
class Reconciled:
    """What `reconcile` did: observations appended, and the annotations that changed; ``gone`` counts retracted ones."""

    answers: int
    changed: tuple[Heard, ...]
    gone: int


class _Change(NamedTuple):
    task: TaskRow
    annotator: str
    heard: Heard | None
    before: Said | None


def counting(heard: Iterable[Heard]) -> dict[str, Heard]:
    """Annotator → the annotation that counts: the one changed last."""
    found: dict[str, Heard] = {}
    for item in heard:
        other = found.get(item.annotator)
        if other is None or (item.time, item.annotation) > (other.time, other.annotation):
            found[item.annotator] = item
    return found


def question_of(link: Link, task: TaskRow) -> str:
    """The question that answers to a task are about: the one that was asked, else the task itself."""
    return task.question or f"ls:{link.tag}:{task.task}"


def reconcile(
    log: AnswerLog,
    links: LinkStore,
    link: Link,
    tasks: Sequence[tuple[TaskRow, Sequence[Heard]]],
    *,
    before: Mapping[int, Sequence[Said]] | None = None,
) -> Reconciled:
    """Append what the log lacks of these tasks' annotations, and take back what no longer stands.

    What is about to change is noted first, then appended, then noted as done: a kill in between repeats the same
    events. Callers hold the link's lock (`pulling.locked`), because two readings of Label Studio must not cross.

    Args:
        log: of the project.
        links: where it is noted what was said.
        link: of the tasks.
        tasks: each with all its annotations; an annotation that is not among them is gone.
        before: task → what is noted of it; read from ``links`` if it is not given.
    """
    known = _by_task(links.said(link.id)) if before is None else before
    changes = [change for task, heard in tasks for change in _changes(task, heard, known.get(task.task, ()))]
    if not changes:
        return Reconciled(0, (), 0)
    changes.sort(key=lambda change: (change.heard.time, change.heard.annotation) if change.heard else (0.0, 0))
    links.note(link.id, [_unsettled(change) for change in changes])
    histories: dict[int, History] = {}
    done, gone, now = [], [], time.time()
    for task, annotator, heard, said in changes:
        history = histories.setdefault(task.row, History(task.row, log.about(task.row)))
        act = _act(link, task, heard, said) if heard is not None else None
        undone = _undone(history, said) if heard is not None and _same(said, heard) else frozenset[str]()
        words = settle(history, question_of(link, task), annotator, act, undone=undone, time=now)
        if heard is None:
            gone.append((task.task, annotator))
        else:
            done.append(Said(task.task, annotator, heard.annotation, heard.updated, words, heard.seconds))
    answers = log.append([said for history in histories.values() for said in history.new])
    links.note(link.id, done, gone)
    return Reconciled(answers, tuple(change.heard for change in changes if change.heard is not None), len(gone))


def _by_task(said: Iterable[Said]) -> dict[int, list[Said]]:
    found: dict[int, list[Said]] = {}
    for item in said:
        found.setdefault(item.task, []).append(item)
    return found


def _changes(task: TaskRow, heard: Sequence[Heard], said: Sequence[Said]) -> list[_Change]:
    wanted, known = counting(heard), {item.annotator: item for item in said}
    changes = [
        _Change(task, who, item, known.get(who))
        for who, item in wanted.items()
        if not _same(known.get(who), item) or not _covered(item, known[who])
    ]
    return changes + [_Change(task, who, None, item) for who, item in known.items() if who not in wanted]


def _same(said: Said | None, heard: Heard) -> bool:
    return said is not None and (said.annotation, said.updated) == (heard.annotation, heard.updated)


def _covered(heard: Heard, said: Said) -> bool:
    """Whether all words are noted. A labelling config that changed under an annotation takes no word back."""
    return set(heard.words) <= set(said.words)


def _unsettled(change: _Change) -> Said:
    annotation = change.heard.annotation if change.heard is not None else 0
    return Said(change.task.task, change.annotator, annotation, UNSETTLED, {}, 0.0)


def _act(link: Link, task: TaskRow, heard: Heard, said: Said | None) -> Act:
    words = dict(heard.words)
    if said is not None and _same(said, heard):
        words.update({label: _answer(answer) for label, (answer, _) in said.words.items()})
    name = f"ls:{link.tag}:{heard.annotation}"
    question = question_of(link, task)
    return Act(task.row, question, heard.annotator, name, heard.updated, heard.time, words, heard.shown, heard.seconds)


def _answer(text: str) -> Answer:
    found: dict[str, Answer] = {"yes": "yes", "no": "no", "unsure": "unsure", "skip": "skip"}
    return found[text]


def _undone(history: History, said: Said | None) -> frozenset[str]:
    """Words of this very annotation that were appended and stand no longer: somebody took them back by hand."""
    if said is None:
        return frozenset()
    standing = {base(word.event) for word in history.standing()}
    return frozenset(base(event) for _, event in said.words.values()) - standing
