"""Answers to `/predict`: from what is stored where the task is known, else from its image, fetched at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spml_annotate.errors import SpmlError
from spml_annotate.loop.links import Link, Place, TaskRow
from spml_annotate.loop.queue import is_hidden, task_prediction
from spml_annotate.server.live import Embedder, Image
from spml_annotate.server.naming import whole
from spml_annotate.server.snapshot import Snapshot, take_snapshot
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.predictions import empty_prediction

if TYPE_CHECKING:
    from spml_annotate.server.hub import Hub, Served

logger = logging.getLogger(__name__)

SECONDS = 60.0
"""So long may a request wait for images; Label Studio gives up after 100 s."""

_AGAIN = 5.0  # seconds before a model that could not be read is tried again: the disk may have been full

Prediction = dict[str, Any]


class _Asked(NamedTuple):
    """A task of a request: what is known of it, and where its image is ("" if that cannot be told)."""

    data: object
    place: Place | None
    row: int | None
    image: Image


class Predictor:
    """Predicts tasks of all projects of a hub; several threads may use it.

    Args:
        hub: whose projects.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.embedder = Embedder()
        self._snapshots: dict[tuple[Path, int], tuple[int, Snapshot]] = {}
        self._failed: dict[tuple[Path, int], float] = {}
        self._taking = threading.Lock()

    def predict(self, served: Served, link: Link, config_text: str, tasks: Sequence[object]) -> list[Prediction]:
        """One valid prediction for each task, in order; whatever is wrong with a task gives it an empty one."""
        config = self._config(config_text, link)
        snapshot = self._snapshot(served, link)
        if config is None:
            self._count("faulty", len(tasks))
            return [empty_prediction(link.version) for _ in tasks]
        results: list[Prediction | None] = [None] * len(tasks)
        waiting: dict[int, _Asked] = {}
        for number, task in enumerate(tasks):
            asked = self._read(served, link, config, task)
            if asked is None:
                self._count("faulty")
                results[number] = empty_prediction(link.version)
                continue
            results[number] = self._known(snapshot, link, config, asked)
            if results[number] is None:
                waiting[number] = asked
        if waiting:
            self._look(served, link, config, snapshot, waiting, results)
        return [result if result is not None else empty_prediction(link.version) for result in results]

    def _config(self, text: str, link: Link) -> LabellingConfig | None:
        try:
            return _parsed(text)
        except SpmlError as error:
            self.hub.say_once(f"Label Studio project {link.project}: {error}")
            return None

    def _snapshot(self, served: Served, link: Link) -> Snapshot:
        """What the version stands for; taken anew when the version is another, or a job has made something of it.

        If that fails, what was taken before of the same version serves on, and it is tried again after a while.
        """
        key = (served.folder, link.id)
        found = self._current(key, served, link)
        if found is not None:
            return found
        with self._taking:
            found = self._current(key, served, link)
            if found is not None:
                return found
            changes, (_, before) = served.changes, self._snapshots.get(key, (-1, None))
            last = before if before is not None and before.version == link.version else None
            try:
                if time.monotonic() < self._failed.get(key, 0.0):
                    return last or Snapshot(link.version, None, {})
                taken = take_snapshot(served.folder, link, self.hub.settings)
            except SpmlError as error:
                self.hub.say_once(f"{served.folder.name}: version {link.version} cannot predict: {error}")
                self._failed[key] = time.monotonic() + _AGAIN
                return last or Snapshot(link.version, None, {})
            self._snapshots[key] = changes, taken
            return taken

    def _current(self, key: tuple[Path, int], served: Served, link: Link) -> Snapshot | None:
        changes, found = self._snapshots.get(key, (-1, None))
        return found if found is not None and found.version == link.version and changes == served.changes else None

    def _read(self, served: Served, link: Link, config: LabellingConfig, task: object) -> _Asked | None:
        """What is known of a task; None if it is none."""
        data = task.get("data") if isinstance(task, Mapping) else None
        number = whole(task.get("id")) if isinstance(task, Mapping) else None
        if not isinstance(data, Mapping) or number is None:
            return None
        where = _reference(config, data)
        known = served.links.task(link.id, number)
        place = served.links.place(link.id, link.version, number)
        if place is None and is_hidden(link, number, self.hub.settings):
            place = Place(number, 0.0, "chosen", True, ())
        row = known.row if known is not None and _same_image(config, known, where) else None
        return _Asked(data, place, row, Image(where, number))

    def _known(self, snapshot: Snapshot, link: Link, config: LabellingConfig, asked: _Asked) -> Prediction | None:
        """The prediction of a task that needs no look at its image; None if it does."""
        model, values, shown = snapshot.model, None, {}
        if model is None:
            self._count("cold")
        elif asked.row in snapshot.faults:
            self._count("unreadable")
        elif asked.place is not None and asked.place.hidden:
            self._count("hidden")
        elif asked.row is not None and (values := model.of_row(asked.row)) is not None:
            self._count("scored")
            shown = model.shown(config, asked.data, asked.place, values)
        else:
            return None
        return task_prediction(config, asked.data, asked.place, shown, link.version)

    def _look(
        self,
        served: Served,
        link: Link,
        config: LabellingConfig,
        snapshot: Snapshot,
        waiting: Mapping[int, _Asked],
        results: list[Prediction | None],
    ) -> None:
        """Predict tasks whose images the model has not seen; what cannot be done in time is done later by a job."""
        model = snapshot.model
        assert model is not None
        images = {number: asked.image for number, asked in waiting.items() if asked.image.where}
        try:
            found, faults = self.embedder.features(model.features, images, self.hub.fetcher(link), seconds=SECONDS)
        except Exception as error:  # the people who wait get an empty answer, the log gets the reason
            logger.exception("%s: images could not be embedded", served.folder.name)
            found, faults = {}, dict.fromkeys(images, f"{type(error).__name__}: {error}")
        for number, asked in waiting.items():
            shown: Mapping[str, float] = {}
            if number in found:
                self._count("embedded")
                shown = model.shown(config, asked.data, asked.place, model.of_features(found[number]))
            else:
                self._count("unreadable" if number in faults or not asked.image.where else "late")
            results[number] = task_prediction(config, asked.data, asked.place, shown, link.version)
        self.hub.metrics.images.inc(len(faults))
        for number, why in faults.items():
            self.hub.say_once(f"{served.folder.name}, task {waiting[number].image.task}: {why}")
        self.hub.hint(served, link.id)  # the tasks are new: they get their place in the queue

    def _count(self, outcome: str, count: int = 1) -> None:
        self.hub.metrics.predictions.labels(outcome).inc(count)


@lru_cache(maxsize=64)
def _parsed(text: str) -> LabellingConfig:
    return parse_config(text)


def _reference(config: LabellingConfig, data: object) -> str:
    try:
        return config.reference(data)
    except SpmlError:
        return ""


def _same_image(config: LabellingConfig, known: TaskRow, where: str) -> bool:
    """Whether a task still shows the image it showed when it was read; people may edit tasks."""
    return known.data.get("spml_image") is not None or _reference(config, known.data) == where
