"""What is asked first, and what is proposed with it: every task's place in the queue of Label Studio.

Two arms share the queue: images chosen for their worth, and random ones beside which the chosen can be measured. Which
arm a task belongs to, and whether its proposal stays hidden, is drawn once for ever by a hash of its link and number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import NEGATIVE, POSITIVE, Codes
from spml_annotate.loop.linking import column_of
from spml_annotate.loop.links import Arm, Link, LinkStore, Place, TaskRow
from spml_annotate.project import Project
from spml_annotate.project.evidence import evidence_of
from spml_annotate.project.proposing import DEFAULT_PRECISION, thresholds_of
from spml_annotate.project.sample import checked_sample, trainable
from spml_annotate.project.scoring import require_model
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.predictions import empty_prediction, prediction
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace import ModelVersion, Workspace

PROPOSER = "ema"
"""Proposals in Label Studio are the model's own scores: the only belief that one new image can be given at once."""

_SPELLINGS = 64  # lists of choices that are remembered: one where the config lists them, many where tasks do

Shown = dict[str, float]
"""Class name as the labelling config spells it → probability, of the classes to propose."""


class QueueSettings(Protocol):
    """What the queue reads of the server's settings; see `studio.environment`."""

    @property
    def threshold(self) -> float | None:
        """Classes below it are never proposed."""

    @property
    def random_share(self) -> float:
        """Share of tasks that are served in random order."""

    @property
    def hidden_share(self) -> float:
        """Share of tasks whose proposal is not shown."""


def drawn(tag: str, what: str, task: int) -> float:
    """A number in [0, 1) that a link's tag, a purpose and a task fix for ever."""
    digest = hashlib.blake2b(f"{tag}:{what}:{task}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def arm_of(link: Link, task: int, settings: QueueSettings) -> Arm:
    """The arm that a task belongs to."""
    return "random" if drawn(link.tag, "arm", task) < settings.random_share else "chosen"


def is_hidden(link: Link, task: int, settings: QueueSettings) -> bool:
    """Whether a task is shown without its proposal."""
    return drawn(link.tag, "hidden", task) < settings.hidden_share


@dataclass(frozen=True, eq=False)
class Proposing:
    """From probabilities to what is proposed; the same for the bulk push and for a single task.

    Args:
        taxonomy: the project's classes; the first ``classes`` of them are known to the model.
        thresholds: float64 [L], from which probability on a class is proposed where several may be.
        floor: below it nothing is proposed at all.
    """

    taxonomy: Taxonomy
    thresholds: NDArray[np.float64]
    classes: int
    floor: float = 0.0
    _kept: dict[tuple[str, ...], dict[int, str]] = field(default_factory=dict, init=False, repr=False)

    def labels(
        self, config: LabellingConfig, data: object, probabilities: NDArray[np.floating], codes: Codes | None = None
    ) -> tuple[int, ...]:
        """Labels to propose for a task, the likeliest first: the best of a single choice, else all likely ones.

        Args:
            config: of the Label Studio project.
            data: of the task.
            probabilities: [L] of its image.
            codes: [L], what is known of the image; a class that is known to be absent is not proposed.
        """
        control = config.main.in_task(data)
        offered = np.zeros(len(probabilities), dtype=bool)
        offered[[label for label in self._spelt(control.names) if label < self.classes]] = True
        if codes is not None:
            offered &= codes != NEGATIVE
        value = np.where(offered, np.asarray(probabilities, dtype=np.float64), -1.0)
        order = np.argsort(-value, kind="stable")
        several = value[order] >= self.thresholds[order]
        several[:1] = True  # never nothing: correcting one wrong tick costs less than looking for all of them
        if control.single:
            several[1:] = False
        return tuple(int(label) for label in order[several] if value[label] > 0 and value[label] >= self.floor)

    def shown(
        self, config: LabellingConfig, data: object, labels: Sequence[int], probabilities: NDArray[np.floating]
    ) -> Shown:
        """The labels as the task's own choices spell them, with their probabilities."""
        spelt = self._spelt(config.main.in_task(data).names)
        return {spelt[label]: float(probabilities[label]) for label in labels if label in spelt}

    def _spelt(self, names: tuple[str, ...]) -> dict[int, str]:
        """Label → the task's spelling of it; a choice that is no class of the project (yet) is left out."""
        found = self._kept.get(names)
        if found is None:
            found = {label: name for name in names if (label := column_of(self.taxonomy, name)) is not None}
            if len(self._kept) >= _SPELLINGS:
                self._kept.clear()
            self._kept[names] = found
        return found


def proposing_of(workspace: Workspace, model: ModelVersion, settings: QueueSettings) -> Proposing:
    """How a model's probabilities become proposals: thresholds calibrated on the checked sample if it is large enough.

    Raises:
        DataError, MismatchError: if the model's files are damaged or of another project.
    """
    sample = checked_sample(workspace)
    limits = thresholds_of(evidence_of(workspace, model, sample), sample, DEFAULT_PRECISION, PROPOSER).positive
    return Proposing(workspace.taxonomy, limits, model.classes, settings.threshold or 0.0)


def task_prediction(
    config: LabellingConfig, data: object, place: Place | None, shown: Mapping[str, float], version: str
) -> dict[str, Any]:
    """The prediction of a task in the queue of a version: always valid, empty where its proposal is hidden.

    A task without a place (it came after the queue was made) is served first.
    """
    priority = 0.0 if place is None else place.priority
    if not shown or (place is not None and place.hidden):
        return empty_prediction(version, priority)
    return prediction(config, data, shown, priority=priority, version=version)


def build_queue(
    project: Project, links: LinkStore, link: Link, settings: QueueSettings
) -> tuple[dict[int, Place], dict[int, Shown]]:
    """Every task's place by the current model, and what to propose with it; before any model nothing is proposed.

    First the tasks of which nothing is known, both arms merged; then what is labelled or cannot be used for training;
    last what cannot be read.

    Raises:
        DataError, MismatchError: if the model or the labelling config cannot be used.
    """
    tasks = links.tasks(link.id)
    model = project.workspace.models.current()
    if model is not None:
        model = require_model(project.workspace)
    known = project.labels
    order = _merged(link, _ordered(project, links, link, tasks, model, settings), settings)
    proposed: dict[int, tuple[int, ...]] = {}
    shown: dict[int, Shown] = {}
    if model is not None:
        proposer, scores = proposing_of(project.workspace, model, settings), project.scores()
        config, broken = parse_config(link.config), project.workspace.images.errors()
        for task in tasks.values():
            if task.row >= len(scores) or task.row in broken:
                continue
            labels = proposer.labels(config, task.data, scores[task.row], known.dense([task.row])[0])
            proposed[task.task] = labels
            shown[task.task] = proposer.shown(config, task.data, labels, scores[task.row])
    places = {
        task: Place(
            task,
            position / len(order),
            arm_of(link, task, settings),
            is_hidden(link, task, settings),
            proposed.get(task, ()),
        )
        for position, task in enumerate(order)
    }
    return places, shown


def _ordered(
    project: Project,
    links: LinkStore,
    link: Link,
    tasks: Mapping[int, TaskRow],
    model: ModelVersion | None,
    settings: QueueSettings,
) -> tuple[list[int], list[int], list[int]]:
    """(open tasks of the chosen arm by worth, those of the random arm by lot, the rest)."""
    workspace = project.workspace
    broken, originals = workspace.images.errors(), workspace.images.originals()
    rows, _, values = project.labels.cells()
    known = np.zeros(len(originals), dtype=bool)
    known[originals[rows[values == POSITIVE]]] = True
    usable = trainable(workspace) & ~known[originals]
    answered = {said.task for said in links.said(link.id) if said.words}
    waiting: dict[int, int] = {}  # the first task of every image that can be asked about
    behind: list[int] = []
    last: list[int] = []
    for task in sorted(tasks.values(), key=lambda one: drawn(link.tag, "order", one.task)):
        if task.row in broken or task.row >= len(originals):
            last.append(task.task)
        elif not usable[task.row] or task.task in answered or int(originals[task.row]) in waiting:
            behind.append(task.task)
        else:
            waiting[int(originals[task.row])] = task.task
    random = [task for task in waiting.values() if arm_of(link, task, settings) == "random"]
    chosen = {row: task for row, task in waiting.items() if arm_of(link, task, settings) == "chosen"}
    best = [chosen[int(row)] for row in _by_worth(project, np.array(sorted(chosen), dtype=np.int64), known, model)]
    return best, random, behind + last


def _by_worth(
    project: Project, rows: NDArray[np.int64], known: NDArray[np.bool_], model: ModelVersion | None
) -> NDArray[np.int64]:
    """Rows that are worth a label most first; images that are not embedded yet come last."""
    workspace = project.workspace
    count = workspace.embedded()
    inside, outside = rows[rows < count], rows[rows >= count]
    if not len(inside):
        return rows
    from spml_annotate.acquire.images import image_order, uncertainty

    weights = uncertainty(project.scores()) if model is not None else None
    labelled = np.flatnonzero(known[:count])
    return np.concatenate([image_order(project.features(), inside, labelled=labelled, weights=weights), outside])


def _merged(link: Link, parts: tuple[list[int], list[int], list[int]], settings: QueueSettings) -> list[int]:
    """Both arms in turn, the random one at every 1/share-th place while both last; then the rest."""
    chosen, random, rest = parts
    return [*_in_turn(chosen, random, settings.random_share), *rest]


def _in_turn(chosen: Sequence[int], random: Sequence[int], share: float) -> Iterator[int]:
    done = 0
    for place in range(len(chosen) + len(random)):
        # the middle of each stretch: with a share of 0.1 the 5th, 15th, 25th... place
        due = int((place + 1) * share + 0.5)
        if done < len(random) and (done < due or place - done >= len(chosen)):
            yield random[done]
            done += 1
        else:
            yield chosen[place - done]
