"""One version of a model, ready to predict: nothing in it changes, so any number of requests may read it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import MismatchError
from spml_annotate.loop.links import Link, Place
from spml_annotate.loop.queue import Proposing, QueueSettings, Shown, proposing_of
from spml_annotate.project.scoring import read_scores
from spml_annotate.studio.config import LabellingConfig
from spml_annotate.training.heads import LinearHead
from spml_annotate.workspace import FeatureSettings, ModelVersion, Workspace

Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model: ``scores`` [n, L] of the first n images, ``head`` for others with features of ``features``."""

    scores: Scores
    head: LinearHead
    features: FeatureSettings
    proposing: Proposing

    def of_row(self, row: int) -> Scores | None:
        """Probabilities [L] of an image of the project; None if the model has not seen it."""
        return self.scores[row] if 0 <= row < len(self.scores) else None

    def of_features(self, features: NDArray[np.float16]) -> Scores:
        """Probabilities [L] of an image with features [D]; classes that came after the model get 0."""
        found = np.zeros(self.scores.shape[1], dtype=np.float16)  # the type that scores are kept in
        values = self.head.predict(features[None])[0]
        found[: len(values)] = values
        return found

    def shown(self, config: LabellingConfig, data: object, place: Place | None, values: Scores) -> Shown:
        """What to propose for a task: what the queue says, or for a task that is not in it what its image gives."""
        labels = place.proposed if place is not None else self.proposing.labels(config, data, values)
        return self.proposing.shown(config, data, [label for label in labels if label < len(values)], values)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a link's version stands for: its model (None before the first training), and rows that cannot be read."""

    version: str
    model: Model | None
    faults: Mapping[int, str]


def take_snapshot(folder: Path, link: Link, settings: QueueSettings) -> Snapshot:
    """The model behind a link's version, as it is on the disk.

    Raises:
        DataError, MismatchError: if it is gone, damaged, or of other classes.
    """
    with Workspace.open(folder) as workspace:
        faults = workspace.images.errors()
        if not link.model:
            return Snapshot(link.version, None, faults)
        model = ModelVersion(workspace.models.folder / link.model)
        workspace.taxonomy.check_prefix(
            str(model.settings["classes_fingerprint"]), model.classes, f"model {model.name}"
        )
        features = workspace.settings.features
        if features is None or features.key != model.settings["features"]:
            raise MismatchError(f"model {model.name} was trained on other features than {folder} has; train again")
        scores = read_scores(workspace, model, np.zeros(len(workspace.taxonomy)))
        proposing = proposing_of(workspace, model, settings)
        return Snapshot(link.version, Model(scores, model.head(), features, proposing), faults)
