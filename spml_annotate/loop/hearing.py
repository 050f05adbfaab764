"""From an annotation in Label Studio to words about classes of the project, and what it tells about the proposal."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.labels import Answer
from spml_annotate.loop.linking import column_of
from spml_annotate.loop.links import MAIN, Exposure, Link, LinkStore, Place, Said, TaskRow
from spml_annotate.loop.reconciling import Heard
from spml_annotate.project import Project
from spml_annotate.studio.annotations import Given, read_annotation
from spml_annotate.studio.config import LabellingConfig
from spml_annotate.studio.forms import ABSENT, FORMS, Answers

logger = logging.getLogger(__name__)
ASKED = "spml_asked"
"""Key in the data of a companion task: names of the classes that were asked, as they were called then."""
LONGEST = 60.0
"""Seconds that one annotation counts at least in full; from three times the expected time on, somebody was away."""


class Hearing(NamedTuple):
    """Everything that one annotation said: the words, what it was read from, and the task."""

    task: TaskRow
    given: Given
    heard: Heard


class Listener:
    """Reads the annotations of one Label Studio project.

    Args:
        project: ours.
        link: the tie to theirs.
        config: its labelling config.
        users: gives Label Studio's user id → e-mail, asked once if at all.
        said: what was noted before; an annotation keeps the annotator's name that it had.
    """

    def __init__(
        self,
        project: Project,
        link: Link,
        config: LabellingConfig,
        users: Callable[[], Mapping[int, str]],
        said: Iterable[Said] = (),
    ) -> None:
        self.link, self.config = link, config
        self._project = project
        self._users = users
        self._emails: Mapping[int, str] | None = None
        self._names = {item.annotation: item.annotator for item in said}
        self._unknown: set[str] = set()
        self._expected: dict[str, float] = {}

    def hear(self, task: TaskRow, annotations: Sequence[Any], predictions: Sequence[Any] = ()) -> list[Hearing]:
        """What the annotations of a task say; one that cannot be read is reported and left out."""
        found = []
        data = self._with_all_classes(task.data) if annotations else task.data
        for annotation in annotations:
            try:
                given = read_annotation(self.config, data, annotation, predictions)
            except DataError as error:
                logger.warning("Label Studio task %d: %s", task.task, error)
                continue
            found.append(Hearing(task, given, self._heard(task, given)))
        return found

    def _with_all_classes(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The data with every class in the lists that a main task brings along.

        A list may have changed while the annotator had the task open: a word that is no longer in it still is a class.
        """
        if self.link.kind != MAIN:
            return data
        whole = dict(data)
        for control in self.config.controls:
            if control.options is not None and isinstance(data.get(control.options, []), list):
                names = [{"value": name} for name in self._project.taxonomy.names]
                whole[control.options] = [*data.get(control.options, []), *names]
        return whole

    def _heard(self, task: TaskRow, given: Given) -> Heard:
        self._report(given.unknown)
        words = self._columns(self._answers(task, given))
        shown = self.shown(given)
        seconds = min(given.seconds or 0.0, max(LONGEST, 3.0 * self._expected_seconds(task)))
        return Heard(
            task.task, self._annotator(given), given.annotation, given.updated, given.time, words, shown, seconds
        )

    def shown(self, given: Given) -> frozenset[int]:
        """Classes that stood there ticked."""
        control = ABSENT if self.config.main.name == ABSENT else self.config.main.name
        return frozenset(self._columns(dict.fromkeys(given.shown.get(control, ()), "yes")))

    def _answers(self, task: TaskRow, given: Given) -> Answers:
        if self.link.kind == MAIN:
            return main_answers(self.config, task.data, given, self._project.taxonomy.names, self.link.complete)
        asked = task.data.get(ASKED)
        names = [name for name in asked if isinstance(name, str)] if isinstance(asked, list) else []
        return FORMS[self.link.kind].answers(given, names)

    def _columns(self, answers: Mapping[str, Answer]) -> dict[int, Answer]:
        """Label → answer; names that mean no class are reported once."""
        found = {}
        for name, answer in answers.items():
            column = column_of(self._project.taxonomy, name)
            if column is None:
                self._report([name])
            else:
                found[column] = answer
        return found

    def _report(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self._unknown)
        self._unknown.update(new)
        if new:
            logger.warning(
                "Label Studio project %d has annotations with %s, which is no class of the project; ignored",
                self.link.project,
                ", ".join(map(repr, new[:5])),
            )

    def _annotator(self, given: Given) -> str:
        if given.annotation in self._names:
            return self._names[given.annotation]
        if self._emails is None:
            self._emails = self._users()
        email = self._emails.get(given.user, "") if given.user is not None else ""
        return f"ls:{email}" if email else f"ls:user-{given.user if given.user is not None else 'unknown'}"

    def _expected_seconds(self, task: TaskRow) -> float:
        if not task.question:
            return self._project.workspace.settings.prices.pick
        if task.question not in self._expected:
            try:
                seconds = self._project.workspace.questions.get(task.question).query.seconds
            except DataError:  # put by another folder of the same project; the lower limit holds
                seconds = 0.0
            self._expected[task.question] = seconds
        return self._expected[task.question]


def main_answers(
    config: LabellingConfig, data: object, given: Given, classes: Sequence[str], complete: bool
) -> Answers:
    """What an annotation in a main project says, whatever its controls are called.

    A single choice names one class and nothing else. Of several choices those left out mean nothing, unless the tie
    to the project says that they are complete; ticks in our own list of proposed negatives are a "no".
    """
    if given.skipped:
        return dict.fromkeys(classes, "skip")
    control = config.main.in_task(data)
    chosen = given.chosen.get(control.name, ())
    answers: Answers = {}
    if complete and not control.single and not given.unknown:
        answers.update(dict.fromkeys(control.names, "no"))
    if control.name != ABSENT:
        answers.update(dict.fromkeys(given.chosen.get(ABSENT, ()), "no"))
    answers.update(dict.fromkeys(chosen, "yes"))
    return answers


class Exposing:
    """Makes the notes about what annotators were shown and answered.

    Args:
        project: ours; its current model says how surprising an answer is.
        links: where queues are noted.
        listener: of the same link.
    """

    def __init__(self, project: Project, links: LinkStore, listener: Listener) -> None:
        self._project, self._links, self._listener = project, links, listener
        self._places: dict[str, dict[int, Place]] = {}
        self._scores: NDArray[np.float16] | None = None
        self._looked = False

    def exposure(self, hearing: Hearing) -> Exposure:
        """What one annotator saw and said."""
        task, given, heard = hearing
        link = self._listener.link
        version = given.version or link.version
        place = self._of_version(version).get(task.task)
        hidden = place is not None and place.hidden
        shown = tuple(sorted(self._listener.shown(given)))
        if hidden and place is not None:
            shown = place.proposed
        return Exposure(
            task=task.task,
            annotator=heard.annotator,
            version=version,
            hidden=hidden,
            proposed=shown,
            given=tuple(sorted(label for label, answer in heard.words.items() if answer == "yes")),
            untouched=given.untouched and not hidden,
            seconds=heard.seconds,
            time=heard.time,
            arm=place.arm if place is not None else "chosen",
            surprise=self._surprise(task.row, heard.words),
        )

    def _of_version(self, version: str) -> dict[int, Place]:
        if version not in self._places:
            self._places[version] = self._links.places(self._listener.link.id, version)
        return self._places[version]

    def _surprise(self, row: int, words: Mapping[int, Answer]) -> float | None:
        scores = self._model_scores()
        told = [(label, answer) for label, answer in words.items() if answer in ("yes", "no")]
        if scores is None or row >= len(scores) or not told:
            return None
        total = 0.0
        for label, answer in told:
            if label >= scores.shape[1]:
                return None
            probability = min(max(float(scores[row, label]), 1e-4), 1.0 - 1e-4)
            total -= math.log(probability if answer == "yes" else 1.0 - probability)
        return total

    def _model_scores(self) -> NDArray[np.float16] | None:
        if not self._looked:
            self._looked = True
            try:
                model = self._project.workspace.models.current()
                self._scores = self._project.scores() if model is not None else None
            except (DataError, MismatchError) as error:
                logger.info("answers are noted without their surprise: %s", error)
        return self._scores
