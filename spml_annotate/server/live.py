"""Features of images that are not embedded yet, made while somebody waits."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import SpmlError
from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.workspace import FeatureSettings

if TYPE_CHECKING:
    from spml_annotate.embed.backbones import Backbone

logger = logging.getLogger(__name__)

Vector = NDArray[np.float16]
_BATCH = 16
_KEPT = 4096  # features of images seen lately
_FETCHES = 8  # at a time


class Image(NamedTuple):
    """Where an image is, and the task at Label Studio that shows it."""

    where: str
    task: int | None


class Embedder:
    """One network for all requests, loaded when it is first needed; requests take turns at it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._backbones: dict[str, Backbone] = {}
        self._kept: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._guard = threading.Lock()

    def features(
        self, wanted: FeatureSettings, images: Mapping[int, Image], fetcher: ImageFetcher, *, seconds: float
    ) -> tuple[dict[int, Vector], dict[int, str]]:
        """Features of images, as far as they can be read and time allows.

        Args:
            wanted: the features of the model in use.
            images: the images, under any numbers.
            fetcher: reads them.
            seconds: so long may it take; what is not done then is in neither answer.

        Returns:
            Features float16 [D] by number, and why others cannot be had.
        """
        deadline = time.monotonic() + seconds
        found = {
            number: kept
            for number, image in images.items()
            if (kept := self._recall(wanted.key, image.where)) is not None
        }
        faults: dict[int, str] = {}
        missing = [number for number in images if number not in found]
        if not missing:
            return found, faults
        with tempfile.TemporaryDirectory(prefix="spml-") as folder, ThreadPoolExecutor(_FETCHES) as pool:
            arriving = {
                task: pool.submit(_fetch, fetcher, images[task], Path(folder) / f"{task}.image") for task in missing
            }
            for start in range(0, len(missing), _BATCH):
                part = missing[start : start + _BATCH]
                files = _arrived({task: arriving[task] for task in part}, deadline, faults)
                found.update(self._embed(wanted, files, {task: images[task] for task in files}, deadline, faults))
                if time.monotonic() >= deadline:
                    break
            for future in arriving.values():
                future.cancel()
        return found, faults

    def _recall(self, key: str, where: str) -> Vector | None:
        with self._guard:
            kept = self._kept.get((key, where))
            if kept is not None:
                self._kept.move_to_end((key, where))
            return kept

    def _keep(self, key: str, where: str, vector: Vector) -> None:
        with self._guard:
            self._kept[(key, where)] = vector
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def _embed(
        self,
        wanted: FeatureSettings,
        files: Mapping[int, Path],
        images: Mapping[int, Image],
        deadline: float,
        faults: dict[int, str],
    ) -> dict[int, Vector]:
        tasks = list(files)
        if not tasks or not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return {}
        try:
            vectors, unreadable = self._run(wanted, [files[task] for task in tasks])
        finally:
            self._turn.release()
        found: dict[int, Vector] = {}
        for place, task in enumerate(tasks):
            if place in unreadable:
                faults[task] = unreadable[place]
            else:
                found[task] = vectors[place]
                self._keep(wanted.key, images[task].where, vectors[place])
        return found

    def _run(self, wanted: FeatureSettings, files: Sequence[Path]) -> tuple[NDArray[np.float16], dict[int, str]]:
        from spml_annotate.embed.backbones import load_backbone
        from spml_annotate.embed.images import extract
        from spml_annotate.embed.pictures import FilePictures

        if wanted.key not in self._backbones:
            self._backbones.clear()  # one at a time: they are large
            self._backbones[wanted.key] = load_backbone(
                wanted.backbone, wanted.weights, mean=wanted.mean, std=wanted.std, size=wanted.size
            )
        blocks = list(extract(self._backbones[wanted.key], FilePictures(files), batch_size=_BATCH))
        values = np.concatenate([block.features for block in blocks]).astype(np.float16)
        return values, {row: why for block in blocks for row, why in block.faults}


def _fetch(fetcher: ImageFetcher, image: Image, path: Path) -> Path:
    path.write_bytes(fetcher.fetch(image.where, task=image.task))
    return path


def _arrived(coming: Mapping[int, Future[Path]], deadline: float, faults: dict[int, str]) -> dict[int, Path]:
    files: dict[int, Path] = {}
    for task, future in coming.items():
        try:
            files[task] = future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TooLate:
            logger.debug("task %d: its image did not arrive in time", task)
        except SpmlError as error:
            faults[task] = str(error)
    return files
