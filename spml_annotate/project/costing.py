"""What questions really cost: measured acts from the log, the prices that fit them, and the project's own prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spml_annotate.acquire.acts import Act, uses_of
from spml_annotate.acquire.cost import Prices
from spml_annotate.acquire.fitting import LEAST, USUAL, Fit, fit_prices
from spml_annotate.acquire.kinds import KINDS
from spml_annotate.errors import DataError
from spml_annotate.labels import Observation
from spml_annotate.project.answering import LONGEST
from spml_annotate.stores.atomic import write_text
from spml_annotate.workspace import Asked, Workspace

STREAM = "ls:"
"""How the question of an answer begins that was given in the stream of Label Studio: nobody put it, it is a pick."""
IDLE = 3.0
"""Measured times are cut at this many times the expected seconds, or at `LONGEST` if that is more."""
_NEAR = 1e-6
_WHOLE = ("list", "exhaust")  # kinds that are answered bit by bit, and end with "no more"


@dataclass(frozen=True)
class Measured:
    """Acts with their seconds; why others were ``left_out`` and how many; how many picks had a proposal shown."""

    acts: tuple[Act, ...]
    left_out: Mapping[str, int]
    picks: int
    picks_shown: int


@dataclass(frozen=True)
class FittedCosts:
    """What `fit_costs` found: the fit, the acts it rests on, and the prices from now on (if ``applied``)."""

    fit: Fit
    measured: Measured
    before: Prices
    prices: Prices
    applied: bool
    warnings: tuple[str, ...]


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


def fit_costs(
    workspace: Workspace,
    *,
    least: int = LEAST,
    level: float = 0.95,
    seed: int = 0,
    apply: bool = True,
    out: str | Path | None = None,
) -> FittedCosts:
    """Fit the prices of actions to the seconds in the log and, if wanted, use them from now on.

    Prices that the log cannot tell stay as they are in the project. What was fitted goes into the table ``[seconds]``
    of ``spml.toml``, from where `ask` takes it.

    Args:
        workspace: the project.
        least: acts that must have paid a price before it is fitted.
        level: of the intervals.
        seed: of the bootstrap.
        apply: whether to keep the result.
        out: a TOML file for all prices, see `save_prices`.

    Raises:
        DataError: if nothing was measured, or ``out`` cannot be written; then nothing was changed.
    """
    measured = measured_acts(workspace)
    if not measured.acts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(measured.left_out.items()))
        raise DataError(
            f"no answer in {workspace.root} has usable seconds{f' ({reasons})' if reasons else ''}; answer questions "
            "with `spml-annotate answer` or in Label Studio, both measure"
        )
    before = workspace.settings.prices
    fit = fit_prices(measured.acts, base=before, least=least, level=level, seed=seed)
    prices = Prices(**{**workspace.settings.seconds, **fit.seconds})
    kept = apply and bool(fit.seconds)
    costs = FittedCosts(fit, measured, before, prices, kept, _warnings(fit, measured, least))
    if out is not None:
        save_prices(out, costs)
    if kept:
        with workspace.writing("cost fit"):
            workspace.update(seconds={**workspace.settings.seconds, **fit.seconds})
    return costs


def _warnings(fit: Fit, measured: Measured, least: int) -> tuple[str, ...]:
    found = []
    if fit.acts < USUAL:
        found.append(f"only {fit.acts} measured answers: intervals are wide; fit again once there are {USUAL}")
    if not fit.seconds:
        found.append(f"no price was paid by {least} acts that tell it: every price stays as it is")
    if measured.picks_shown and next(price.fitted for price in fit.prices if price.name == "pick"):
        found.append(
            f"{measured.picks_shown} of {measured.picks} picks had a proposal shown: `pick` is what they cost like that"
        )
    return tuple(found)


def save_prices(path: str | Path, costs: FittedCosts) -> None:
    """Write all prices as the TOML file that `simulate --costs` reads; comments say what each rests on.

    Raises:
        DataError: if it cannot be written.
    """
    lines = [f"# Seconds per action, fitted to {costs.fit.acts} measured answers.", "[seconds]"]
    for price in costs.fit.prices:
        value = getattr(costs.prices, price.name)
        rests = price.note if not price.fitted else f"{price.low:.3g} to {price.high:.3g}, {price.acts} acts"
        lines.append(f"{price.name} = {value!r}  # {rests}")
    write_text(Path(path), "\n".join(lines) + "\n")
