"""Prototypes on embeddings of real photographs, where these are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from propose_worlds import evidence_of, single_positives
from sklearn.metrics import average_precision_score

from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.propose import PROPOSERS

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "features"


def neighbour_votes(features, codes, count):
    """Share of the nearest other images on which each class was named."""
    centred = features - features.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    similarity = centred @ centred.T
    np.fill_diagonal(similarity, -2.0)
    nearest = np.argpartition(-similarity, count, axis=1)[:, :count]
    return (codes[nearest] == POSITIVE).mean(axis=1)


@pytest.mark.parametrize("name", ["voc20mix", "coco525"])
def test_prototypes_beat_neighbours_and_class_shares(name):
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    with np.load(path) as stored:
        train = stored["split"] == 0
        features, truth = stored["features"][train].astype(np.float32), stored["labels"][train]
    codes = single_positives(truth)
    k = float((truth == POSITIVE).sum(1).mean())
    evidence = evidence_of(features, codes, k=k)
    hidden = codes == UNKNOWN

    def precision(belief):
        return average_precision_score(truth[hidden] == POSITIVE, belief[hidden])

    belief = PROPOSERS["prototypes"].function(evidence, np.arange(len(codes)))
    shares = np.tile(evidence.priors, (len(codes), 1))
    assert precision(belief) > precision(shares) + 0.1
    assert precision(belief) > max(precision(neighbour_votes(features, codes, count)) for count in (15, 50)) - 0.005
    assert belief[hidden].sum() == pytest.approx((truth[hidden] == POSITIVE).sum(), rel=0.05)
