"""Which acts of answering in the log were measured, and what each of them paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spml_annotate.acquire.acts import Act, uses_of
from spml_annotate.acquire.cost import Prices
from spml_annotate.acquire.kinds import KINDS
from spml_annotate.labels import Observation
from spml_annotate.project.answering import LONGEST
from spml_annotate.workspace import Asked, Workspace

STREAM = "ls:"
"""How the question of an answer begins that was given in the stream of Label Studio: nobody put it, it is a pick."""
IDLE = 3.0
"""Measured times are cut at this many times the expected seconds, or at `LONGEST` if that is more."""
_NEAR = 1e-6
_WHOLE = ("list", "exhaust")  # kinds that are answered bit by bit, and end with "no more"


@dataclass(frozen=True)
class Measured:
    """Acts with their seconds; why others were ``left_out`` and how many; how many picks took what was proposed."""

    acts: tuple[Act, ...]
    left_out: Mapping[str, int]
    picks: int
    picks_shown: int


@dataclass
class _Answers:
    """Everything that one annotator said to one question."""

    row: int
    annotator: str
    question: str
    started: bool
    time: float
    words: dict[int, Observation] = field(default_factory=dict)
    seconds: float = 0.0
    longest: float = 0.0
    differs: bool = False
    taken: set[str] = field(default_factory=set)

    @property
    def changed(self) -> bool:
        """Whether something else was said afterwards, or something taken back for good."""
        return self.differs or bool(self.taken)

    def add(self, said: Observation) -> None:
        """Take in one more observation.

        A word that is said again under the event id it had (with a number) was moved behind an earlier one that came
        late from Label Studio; nobody changed it.
        """
        self.seconds += said.seconds
        self.longest = max(self.longest, said.seconds)
        event = said.event.removeprefix("retract:").partition("#")[0]
        if said.answer == "retract":
            self.taken.add(event)
            return
        if event in self.taken:
            self.taken.discard(event)
        elif said.label in self.words:
            self.differs = True
        self.words[said.label] = said

    def count(self, *answers: str) -> int:
        """How many classes were answered by one of these words."""
        return sum(said.answer in answers for said in self.words.values())


def measured_acts(workspace: Workspace) -> Measured:
    """One act per (annotator, question) that was answered, measured, finished and not changed afterwards."""
    asked = {item.query.id: item for item in workspace.questions}
    classes, prices = len(workspace.taxonomy), workspace.settings.prices
    left_out: Counter[str] = Counter()
    acts, last_row = [], dict[str, int]()
    picks = shown = 0
    for answers in sorted(_grouped(workspace.log), key=lambda found: found.time):
        seen = last_row.get(answers.annotator) == answers.row
        last_row[answers.annotator] = answers.row
        question = asked.get(answers.question)
        kind = _kind(answers, question, classes)
        reason = _unfit(answers, question, kind, prices)
        if reason:
            left_out[reason] += 1
            continue
        acts.append(Act(answers.annotator, kind, answers.seconds, _uses(answers, kind, seen)))
        picks += kind == "pick"
        shown += kind == "pick" and any(said.shown for said in answers.words.values())
    return Measured(tuple(acts), dict(left_out), picks, shown)


def _grouped(log: Iterable[Observation]) -> list[_Answers]:
    groups: dict[tuple[str, str], _Answers] = {}
    positive: set[int] = set()  # images of which a positive is known by then
    for said in log:
        if said.question:
            key = (said.annotator, said.question)
            if key not in groups:
                started = said.row in positive
                groups[key] = _Answers(said.row, said.annotator, said.question, started, said.time)
            groups[key].add(said)
        if said.answer == "yes":
            positive.add(said.row)
    return list(groups.values())


def _kind(answers: _Answers, asked: Asked | None, classes: int) -> str:
    """Kind of question; "" for what was no question of ours."""
    if asked is not None and asked.query.kind != "pick":
        return asked.query.kind
    if asked is None and not answers.question.startswith(STREAM):
        return ""
    # a configuration in which every box counts makes the stream one of full checks
    return "exhaust" if classes > 1 and answers.count("yes", "no") >= classes else "pick"


def _unfit(answers: _Answers, asked: Asked | None, kind: str, prices: Prices) -> str:
    """Why the seconds say nothing of the price; "" if they do."""
    if not kind:
        return "not an answer to a question"
    if kind not in KINDS:
        return "a kind of question without a price"
    if answers.changed:
        return "changed or taken back"
    if answers.seconds <= 0:
        return "not measured"
    told = answers.count("yes", "no")
    if answers.count("skip") or (not told and kind not in ("verify", "pick")):
        return "skipped, or nothing could be told"
    expected = asked.query.seconds if asked is not None else prices.pick
    if any(abs(answers.longest - limit) < _NEAR for limit in (LONGEST, max(LONGEST, IDLE * expected))):
        return "left idle"
    whole = asked is None or len(answers.words) >= len(asked.query.labels)
    if kind in _WHOLE and not whole and not answers.count("no", "unsure"):
        return "not finished"
    return ""


def _uses(answers: _Answers, kind: str, seen: bool) -> dict[str, float]:
    told = answers.count("yes", "no")
    wrong = sum(said.answer != ("yes" if said.shown else "no") for said in answers.words.values())
    return uses_of(
        kind,
        classes=told if kind == "pick" else len(answers.words),
        yes=answers.count("yes"),
        wrong=wrong,
        started=answers.started,
        seen=seen,
    )
