"""What the current model says of the project's images, also of those that came after its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.workspace import ModelVersion, Workspace
from spml_annotate.workspace.models import SCORES

if TYPE_CHECKING:
    from spml_annotate.training.heads import LinearHead

BLOCK = 8192


def require_model(workspace: Workspace) -> ModelVersion:
    """The current model, checked against the project.

    Raises:
        DataError: if there is none. MismatchError: if it was trained on other features, images or classes.
    """
    model = workspace.models.current()
    if model is None:
        raise DataError("there is no trained model yet; run `spml-annotate train`")
    workspace.taxonomy.check_prefix(str(model.settings["classes_fingerprint"]), model.classes, f"model {model.name}")
    key = workspace.feature_settings.key
    if model.settings["features"] != key:
        raise MismatchError(
            f"model {model.name} was trained on the features {model.settings['features']}, the project now uses {key}; "
            "run `spml-annotate train`"
        )
    return model


def read_scores(workspace: Workspace, model: ModelVersion, priors: NDArray[np.float64]) -> NDArray[np.float16]:
    """Scores float16 [n, L] of the n embedded images.

    The model predicts for images without stored scores; classes that came after the model get their prior.
    """
    count, classes = workspace.embedded(), len(workspace.taxonomy)
    stored = model.scores.read(SCORES, workspace.images.fingerprint, workspace.taxonomy.fingerprint, model=model.key)
    if stored.shape == (count, classes):
        return stored
    scores = np.empty((count, classes), dtype=np.float16)
    scores[:] = priors
    scores[: len(stored), : model.classes] = stored
    if len(stored) < count:
        features, head = workspace.read_features(), model.head()
        for start in range(len(stored), count, BLOCK):
            block = slice(start, min(start + BLOCK, count))
            scores[block, : model.classes] = head.predict(features[block])
    return scores


def write_scores(
    workspace: Workspace,
    model: ModelVersion,
    head: LinearHead,
    key: str,
    change: Callable[[int, NDArray[np.float32]], None] | None = None,
) -> None:
    """Store scores of all embedded images, of those only that have none yet; ``change`` may alter each block [R, L]."""
    features, classes = workspace.read_features(), head.weight.shape[1]
    writer = model.scores.writer(
        SCORES, workspace.images.fingerprint, workspace.taxonomy.fingerprint, (len(features), classes), model=key
    )
    with writer:
        while writer.done < len(features):
            start = writer.done
            block = head.predict(features[start : start + BLOCK])
            if change is not None:
                change(start, block)
            writer.write(start, block)
        writer.commit()


def extend_scores(workspace: Workspace) -> None:
    """Give scores to images that came after the current model, if its features are in use; needs the lock."""
    model = workspace.models.current()
    if model is None or workspace.settings.features is None:
        return
    if model.settings["features"] != workspace.settings.features.key:
        return
    stored = model.scores.read(SCORES, workspace.images.fingerprint, workspace.taxonomy.fingerprint, model=model.key)
    if len(stored) < workspace.embedded():
        write_scores(workspace, model, model.head(), model.key)
