"""Whether proposals change what people answer: answers with the proposal shown against answers with it hidden."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spml_annotate.folding import standing_words
from spml_annotate.labels import Observation
from spml_annotate.loop.comparing import Compared, Group, compare, needed, newcombe
from spml_annotate.loop.links import MAIN, Exposure, LinkStore
from spml_annotate.workspace import Workspace

ENOUGH = 20
"""Shown answers of an annotator before he has a line of his own."""
ENOUGH_OF_CLASS = 5
"""Answers with a class proposed, shown and hidden each, before the class has a line."""
FEW = 30
"""Fewer hidden answers than this tell next to nothing."""
CLASSES = 10
HIDE = "set SPML_HIDDEN_SHARE=0.1 for the backend, and give `ask --to label-studio` --hidden-share 0.1"


@dataclass(frozen=True)
class Checked:
    """Answers *yes* that somebody else's blind word can judge: with the class proposed, and without.

    The groups are different cells, so that the difference is no pure effect of showing.
    """

    shown: int
    wrong_shown: int
    blind: int
    wrong_blind: int
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Bias:
    """What `report_bias` found; ``without`` answers had nothing to propose, ``conclusions`` say it in words."""

    kinds: tuple[Compared, ...]
    annotators: tuple[Compared, ...]
    classes: tuple[Compared, ...]
    checked: Checked
    without: int
    conclusions: tuple[str, ...]


class _Answer(NamedTuple):
    """An answer to a task for which there was a proposal."""

    kind: str
    annotator: str
    hidden: bool
    proposed: tuple[int, ...]
    given: frozenset[int]
    seconds: float
    untouched: bool


def report_bias(workspace: Workspace, links: LinkStore | None) -> Bias:
    """Compare answers with the proposal shown to answers with it hidden, and judge both where it can be done.

    Which tasks are hidden is decided by a hash of the task, so that within one kind of question the groups differ by
    chance alone. Skipped tasks and answers that are gone from Label Studio are left out.

    Args:
        workspace: the project.
        links: what was shown in Label Studio; None if it was never used.
    """
    met = list(_met(links)) if links is not None else []
    answers = [answer for answer in met if answer.proposed]
    names = workspace.taxonomy.names
    kinds = _lines(answers, lambda answer: "")
    people = [line for line in _lines(answers, lambda answer: answer.annotator) if line.shown >= ENOUGH]
    checked = _checked(workspace)
    return Bias(
        tuple(kinds), tuple(people), tuple(_classes(answers, names)), checked, len(met) - len(answers),
        tuple(_conclusions(kinds, checked)),
    )  # fmt: skip


def _met(links: LinkStore) -> Iterator[_Answer]:
    for link in links.links():
        kind = "pick" if link.kind == MAIN else link.kind
        said = {(item.task, item.annotator): item for item in links.said(link.id)}
        for exposure in links.exposures(link.id):
            answer = said.get((exposure.task, exposure.annotator))
            if answer is not None and not _skipped(answer.words):
                yield _answer(kind, exposure)


def _skipped(words: Mapping[int, tuple[str, str]]) -> bool:
    return bool(words) and all(answer == "skip" for answer, _ in words.values())


def _answer(kind: str, exposure: Exposure) -> _Answer:
    given = frozenset(exposure.given)
    return _Answer(
        kind, exposure.annotator, exposure.hidden, exposure.proposed, given, exposure.seconds, exposure.untouched
    )


def _accepted(answer: _Answer) -> float:
    return len(answer.given & set(answer.proposed)) / len(answer.proposed)


def _lines(answers: Sequence[_Answer], name: Callable[[_Answer], str]) -> list[Compared]:
    """One line per kind of question and name."""
    groups: dict[tuple[str, str], list[_Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.kind, name(answer)].append(answer)
    return [
        compare(kind, who, _group(found, hidden=False), _group(found, hidden=True))
        for (kind, who), found in sorted(groups.items())
    ]


def _group(answers: Iterable[_Answer], *, hidden: bool) -> Group:
    here = [answer for answer in answers if answer.hidden == hidden]
    return Group([_accepted(a) for a in here], [a.seconds for a in here], [a.untouched for a in here])


def _classes(answers: Sequence[_Answer], names: Sequence[str]) -> list[Compared]:
    """Classes that showing makes people accept most, the largest certain difference first."""
    single = [
        answer._replace(proposed=(label,)) for answer in answers for label in answer.proposed if label < len(names)
    ]
    lines = [
        line
        for line in _lines(single, lambda answer: names[answer.proposed[0]])
        if min(line.shown, line.hidden) >= ENOUGH_OF_CLASS and (line.difference or 0.0) > 0
    ]
    return sorted(lines, key=lambda line: -(line.low or 0.0))[:CLASSES]


def _checked(workspace: Workspace) -> Checked:
    """Answers yes against blind words of others, or of a full check of the validation sample."""
    checks = {asked.query.id for asked in workspace.questions if asked.purpose == "validation"}
    cells: dict[tuple[int, int], list[Observation]] = defaultdict(list)
    for (row, label, _), stack in standing_words(workspace.log).items():
        cells[row, label] += [word.observation for word in stack if word.observation.answer in ("yes", "no")]
    counts = {True: [0, 0], False: [0, 0]}
    for words in cells.values():
        for said in words if len(words) > 1 else ():
            truth = _truth(said, words, checks) if said.answer == "yes" and said.question else None
            if truth is not None:
                counts[said.shown][0] += 1
                counts[said.shown][1] += not truth
    (shown, wrong), (blind, wrong_blind) = counts[True], counts[False]
    difference = newcombe(wrong, shown, wrong_blind, blind)
    return Checked(shown, wrong, blind, wrong_blind, difference.value, difference.low, difference.high)


def _truth(said: Observation, words: Sequence[Observation], checks: set[str]) -> bool | None:
    """What the others found without a proposal; None if nobody looked, or they are even."""
    votes = [
        1 if word.answer == "yes" else -1
        for word in words
        if not word.shown
        and (word.annotator != said.annotator or (word.question != said.question and word.question in checks))
    ]
    return None if sum(votes) == 0 else sum(votes) > 0


def _conclusions(kinds: Sequence[Compared], checked: Checked) -> Iterator[str]:
    if not kinds and not checked.shown:
        yield "nobody has answered with a proposal shown yet: there is nothing to compare"
        return
    for line in kinds:
        yield from _of_kind(line)
    if kinds and not any(line.hidden for line in kinds):
        yield f"to find out, show some tasks without proposals: {HIDE}"
    yield from _of_checks(checked)


def _of_kind(line: Compared) -> Iterator[str]:
    accepted = line.accepted_shown if line.accepted_shown is not None else line.accepted_hidden
    assert accepted is not None
    if line.difference is None or line.low is None or line.high is None:
        missing = "hidden" if line.shown else "shown"
        yield (
            f"{line.kind}: {_percent(accepted)} of the proposed classes were answered yes, but no answer was given "
            f"with the proposal {missing}: whether proposals are good or people follow them cannot be told"
        )
        return
    span = f"{_points(line.difference)} ({_points(line.low)} to {_points(line.high)})"
    if line.low > 0:
        yield f"{line.kind}: showing a proposal makes people accept it more often, by {span}"
    elif line.high < 0:
        yield f"{line.kind}: shown proposals are accepted less often than the answers to hidden ones agree, by {span}"
    else:
        yield f"{line.kind}: no effect of showing is seen, {span}; more than {_points(line.high)} can be ruled out"
    if line.hidden < FEW:
        yield (
            f"{line.kind}: {line.hidden} hidden answers are few; {needed(accepted)} of each would show a difference of "
            "10 points"
        )
    if line.ratio is not None and line.ratio_low is not None and line.ratio_high is not None:
        sure = "" if line.ratio_high < 1 or line.ratio_low > 1 else ", which may be chance"
        yield (
            f"{line.kind}: an answer takes {line.ratio:.2f} times as long when the proposal is shown "
            f"({line.ratio_low:.2f} to {line.ratio_high:.2f}){sure}"
        )


def _of_checks(checked: Checked) -> Iterator[str]:
    if not checked.shown:
        yield (
            "no class that was accepted as proposed has a blind word of somebody else: let a second annotator answer "
            "some images without proposals, or check a sample with `spml-annotate ask --validation 200`"
        )
        return
    yield (
        f"of {checked.shown} proposals accepted that others judged blind, {checked.wrong_shown} were wrong; of "
        f"{checked.blind} answers yes given blind, {checked.wrong_blind} (other cells, so no pure effect of showing)"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.0f} points"
