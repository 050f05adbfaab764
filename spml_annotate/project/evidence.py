"""What proposers and strategies may see of a project: the answers on training images, never those of the sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import LabelMatrix
from spml_annotate.project.sample import Sample, trainable
from spml_annotate.project.scoring import read_scores
from spml_annotate.propose import Evidence, Prior, estimate_priors
from spml_annotate.workspace import ModelVersion, Workspace


def training_labels(workspace: Workspace, count: int) -> LabelMatrix:
    """What is known of the first n images, [n, L]; cells of images that may not be trained on are unknown."""
    rows, labels, values = workspace.folded().matrix.cells()
    kept = (rows < count) & trainable(workspace)[rows]
    return LabelMatrix.from_cells(rows[kept], labels[kept], values[kept], (count, len(workspace.taxonomy)))


def priors_of(workspace: Workspace, labels: LabelMatrix, sample: Sample, given: float | None = None) -> Prior:
    """Class priors: from the checked sample if it is large enough, else from what is known; their sum is k.

    A ``given`` k goes before the one that was set for the project, that before the sample's, and that before counts.
    """
    settings = workspace.settings
    k = settings.expected_positives if given is None else given
    prior = estimate_priors(labels, validation=sample.codes if sample.enough else None, expected_positives=k)
    if given is not None or k is None:
        return prior
    return prior._replace(source=f"set for the project: {settings.expected_positives_from or 'in spml.toml'}")


def evidence_of(
    workspace: Workspace,
    model: ModelVersion | None,
    sample: Sample,
    *,
    seed: int = 0,
    closed: NDArray[np.bool_] | None = None,
) -> Evidence:
    """Evidence about the n embedded images; without a model the priors stand in for scores, of all N images."""
    if model is None:
        return _without_model(workspace, sample, seed, closed)
    features = workspace.read_features()
    labels = training_labels(workspace, len(features))
    prior = priors_of(workspace, labels, sample, model.settings["given_expected_positives"])
    scores = read_scores(workspace, model, prior.priors)
    return Evidence(features, labels, scores, prior.priors, seed, closed)


def _without_model(workspace: Workspace, sample: Sample, seed: int, closed: NDArray[np.bool_] | None) -> Evidence:
    count = len(workspace.images)
    labels = training_labels(workspace, count)
    prior = priors_of(workspace, labels, sample)
    scores = np.broadcast_to(prior.priors.astype(np.float16), labels.shape)
    return Evidence(np.zeros((count, 1), dtype=np.float16), labels, scores, prior.priors, seed, closed)
