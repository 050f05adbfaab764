"""From an annotation to words in the log: what must be said, and what taken back, so that the log agrees with it.

Label Studio keeps one state per annotation, which people change and delete; the log only grows. `settle` compares the
two for one annotator and one question, image by image, and appends the difference. It looks at the log itself, so that
it can be done again after a kill, and the order in which things were heard leaves no trace in what stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from spml_annotate.folding import standing_words
from spml_annotate.labels import Answer, Observation

SOURCE = "label-studio"
RETRACT = "retract:"


@dataclass(frozen=True)
class Act:
    """The annotation of one annotator that counts for a question, as words.

    ``annotation`` is "ls:<tag>:<annotation id>", ``updated`` the moment of its last change as Label Studio writes it
    and ``time`` the same in Unix time. ``shown`` are the classes that stood there ticked beforehand. ``seconds`` is
    what the annotation took until now, all its changes together.
    """

    row: int
    question: str
    annotator: str
    annotation: str
    updated: str
    time: float
    words: Mapping[int, Answer]
    shown: frozenset[int] = frozenset()
    seconds: float = 0.0

    def event(self, label: int) -> str:
        """Event id of one of its words."""
        return f"{self.annotation}:{self.updated}:{label}:{self.words[label]}"


def base(event: str) -> str:
    """The id that a word had when it was said first; said again after it was taken back, it gets a number."""
    return event.removeprefix(RETRACT).partition("#")[0]


class History:
    """All that was ever said of one image, and what is to be appended to it.

    Args:
        row: of the image.
        observations: of the log, in its order.
    """

    def __init__(self, row: int, observations: Iterable[Observation]) -> None:
        self.row = row
        self.new: list[Observation] = []
        self._cells: dict[int, list[Observation]] = {}
        self._events: set[str] = set()
        self._seconds: dict[str, float] = {}
        for observation in observations:
            self._note(observation)

    def standing(self, label: int | None = None) -> list[Observation]:
        """Words from Label Studio that stand, of one class or of all, in the order of the log."""
        cells = self._cells.values() if label is None else [self._cells.get(label, [])]
        stacks = (stack for cell in cells for stack in standing_words(cell).values())
        found = [word.observation for stack in stacks for word in stack]
        return [said for said in found if said.source == SOURCE]

    def charged(self, annotation: str) -> float:
        """Seconds that were booked for an annotation."""
        return self._seconds.get(annotation, 0.0)

    def say(self, act: Act, label: int, seconds: float = 0.0) -> None:
        """Add a word; later words about the cell are said again, so that the log is in the order of people's acts."""
        name, shown = act.event(label), label in act.shown
        said = Observation(
            act.row, label, act.words[label], act.annotator, SOURCE, seconds, act.time, act.question, shown, name
        )
        later = [other for other in self.standing(label) if _place(other) > _place(said)]
        self._add(said._replace(event=self._fresh(name)))
        for other in sorted(later, key=_place):
            self.take_back(other, other.time)
            self._add(other._replace(seconds=0.0, event=self._fresh(base(other.event))))

    def take_back(self, said: Observation, time: float, seconds: float = 0.0) -> None:
        """Retract a word that stands."""
        name = self._fresh(RETRACT + said.event)
        self._add(said._replace(answer="retract", seconds=seconds, time=time, event=name))

    def _fresh(self, name: str) -> str:
        number, found = 1, name
        while found in self._events:
            number += 1
            found = f"{name}#{number}"
        return found

    def _add(self, observation: Observation) -> None:
        self.new.append(observation)
        self._note(observation)

    def _note(self, observation: Observation) -> None:
        self._cells.setdefault(observation.label, []).append(observation)
        self._events.add(observation.event)
        if observation.seconds and observation.source == SOURCE:
            annotation = ":".join(base(observation.event).split(":")[:3])
            self._seconds[annotation] = self._seconds.get(annotation, 0.0) + observation.seconds


def settle(
    history: History,
    question: str,
    annotator: str,
    act: Act | None,
    *,
    undone: Collection[str] = (),
    time: float = 0.0,
) -> dict[int, tuple[Answer, str]]:
    """Make what stands of an annotator's words on a question what ``act`` says; None: nothing stands any more.

    Args:
        history: of the image; gets the observations to append.
        question: its id.
        annotator: who answers.
        act: what stands in Label Studio.
        undone: ids (`base`) of words of this very act that somebody took back by hand; they are left alone.
        time: Unix time of the retractions if there is no act.

    Returns:
        Label → (answer, event id) of the act's words.
    """
    standing = [
        said
        for said in history.standing()
        if said.question == question and said.annotator == annotator and said.event.startswith("ls:")
    ]
    words = act.words if act is not None else {}
    wanted = {act.event(label): label for label in sorted(words)} if act is not None else {}
    there = {base(said.event): said for said in standing}
    cost = max(act.seconds - history.charged(act.annotation), 0.0) if act is not None else 0.0
    missing = [label for event, label in wanted.items() if event not in there and event not in undone]
    moment = act.time if act is not None else time
    for said in standing:
        if base(said.event) not in wanted:
            # with nothing new to say, the act was the taking back, and its seconds stand there
            history.take_back(said, moment, 0.0 if missing else cost)
            cost = cost if missing else 0.0
    for label in missing:
        assert act is not None
        history.say(act, label, cost)
        cost = 0.0
    found = {base(said.event): said.event for said in history.standing()}
    return {label: (words[label], found.get(event, event)) for event, label in wanted.items()}


def _place(said: Observation) -> tuple[float, str]:
    return said.time, base(said.event)
