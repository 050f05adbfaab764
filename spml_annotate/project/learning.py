"""Training a linear head on the project's features, and filing it as a new model version."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.project.evidence import priors_of, training_labels
from spml_annotate.project.sample import checked_sample
from spml_annotate.project.scoring import write_scores
from spml_annotate.training.heads import LEARNING_RATE, WEIGHT_DECAY
from spml_annotate.workspace import ModelVersion, Workspace
from spml_annotate.workspace.models import head_key, write_model

logger = logging.getLogger(__name__)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Trained:
    """A training: the version it made, what it saw, and how its epoch (counted from 1) was selected.

    ``validation_map`` is None without a checked sample; ``left_out`` counts classes without a positive in it. The
    epoch was chosen by it, so it flatters a little.
    """

    version: str
    loss: str
    images: int
    positives: int
    negatives: int
    selected_by: str
    epoch: int
    epochs: int
    validation_images: int
    validation_map: float | None
    left_out: int
    expected_positives: float
    expected_positives_from: str
    as_published: bool = False


def train(
    workspace: Workspace,
    *,
    loss: str = "en",
    settings: Mapping[str, Any] = _NOTHING,
    epochs: int = 25,
    batch_size: int = 64,
    learning_rate: float = LEARNING_RATE,
    weight_decay: float = WEIGHT_DECAY,
    expected_positives: float | None = None,
    as_published: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Trained:
    """Train on the training images of which something is known, score all images, and make the result current.

    The checked validation sample, if it is large enough, selects the epoch and gives k and the class priors, unless k
    is given or was set for the project; without it the last epoch is taken and they come from what is known.
    ``as_published`` reads known negatives as unknown, as the papers' code does.

    Raises:
        DataError: if no image is embedded, or nothing is known. SettingError: for a loss or setting that cannot be.
    """
    from spml_annotate.losses import LOSSES
    from spml_annotate.training import HeadRun, fit_heads

    if LOSSES[loss].facts.get("oracle", False):
        raise SettingError(
            f"--loss {loss} must be told every true negative, which no project knows; it is a reference for "
            "`spml-annotate simulate`: choose another (`spml-annotate losses`)"
        )
    expected_positives = _one_k(loss, settings, expected_positives)
    with workspace.writing("train"):
        features = workspace.read_features()
        labels = training_labels(workspace, len(features))
        rows = np.flatnonzero(labels.known_per_row() > 0)
        if not len(rows):
            raise DataError(
                "nothing is known about any embedded training image; run `spml-annotate import-labels FILE`, or "
                "`spml-annotate ask --pick` and then `spml-annotate answer`"
            )
        sample = checked_sample(workspace)
        prior = priors_of(workspace, labels, sample, expected_positives)
        codes = labels.dense(rows)
        _warn_of_lonely_positives(loss, codes)
        result = fit_heads(
            features[rows],
            codes,
            [HeadRun(loss, settings, 0, seed, learning_rate, weight_decay)],
            validation=(features[sample.rows], sample.codes) if sample.enough else None,
            expected_positives=prior.expected_positives,
            priors=prior.priors,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            device=device,
            as_published=as_published,
        )
        head, epoch = result.heads[0], int(result.epochs[0])
        judged = float(result.validation_map[0, epoch])
        facts = {
            "loss": loss,
            "settings": dict(settings),
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "seed": seed,
            "given_expected_positives": expected_positives,
            "as_published": as_published,
            **_origin(workspace, len(features), head_key(head)),
        }
        trained = Trained(
            version="",
            loss=loss,
            images=len(rows),
            positives=int((codes == POSITIVE).sum()),
            negatives=int((codes == NEGATIVE).sum()),
            selected_by=result.selected_by,
            epoch=epoch + 1,
            epochs=epochs,
            validation_images=len(sample) if sample.enough else 0,
            validation_map=judged if np.isfinite(judged) else None,
            left_out=result.left_out,
            expected_positives=prior.expected_positives,
            expected_positives_from=prior.source,
            as_published=as_published,
        )

        def fill(version: ModelVersion) -> None:
            metrics = {name: value for name, value in asdict(trained).items() if name != "version"}
            write_model(version, head, facts, metrics)
            write_scores(workspace, version, head, head_key(head), _averages(rows, result.ema[0]))

        version = workspace.models.add(fill)
    return Trained(**{**asdict(trained), "version": version.name})


def _one_k(loss: str, settings: Mapping[str, Any], given: float | None) -> float | None:
    """A k that was set for the loss is the one that everything in the training goes by."""
    from spml_annotate.training.inputs import resolve

    if "expected_positives" not in settings:
        return given
    method = resolve(loss, settings)
    found = float({**method.state_settings, **method.settings}["expected_positives"])
    if given is not None and given != found:
        raise SettingError(
            f"--set {loss}.expected_positives={found:g} and --expected-positives {given:g} differ; give one of them"
        )
    return found


def _warn_of_lonely_positives(loss: str, codes: NDArray[np.int8]) -> None:
    """A loss that must be given negatives takes a class that has none for one that is on every image."""
    from spml_annotate.losses import LOSSES

    if not LOSSES[loss].facts["needs_negatives"] or not (codes == NEGATIVE).any():
        return
    lonely = (codes == POSITIVE).any(axis=0) & ~(codes == NEGATIVE).any(axis=0)
    if lonely.any():
        logger.warning(
            "%s learns from known negatives only, and %d of %d classes have none: it will see them everywhere",
            loss,
            lonely.sum(),
            codes.shape[1],
        )


def _origin(workspace: Workspace, images: int, key: str) -> dict[str, Any]:
    """What ties a model to the project as it was."""
    return {
        "key": key,
        "classes": len(workspace.taxonomy),
        "classes_fingerprint": workspace.taxonomy.fingerprint(),
        "features": workspace.feature_settings.key,
        "images": images,
        "images_fingerprint": workspace.images.fingerprint(images),
        "answers": len(workspace.log),
        "time": time.time(),
    }


def _averages(rows: NDArray[np.int64], ema: NDArray[np.float16]) -> Any:  # noqa: ANN401  (the callback of write_scores)
    """Puts the moving averages of the images that trained in the place of their predictions."""

    def change(start: int, block: NDArray[np.float32]) -> None:
        first, last = np.searchsorted(rows, (start, start + len(block)))
        block[rows[first:last] - start] = ema[first:last]

    return change
