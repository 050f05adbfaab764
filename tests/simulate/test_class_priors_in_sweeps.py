"""A sweep gives the class priors of its validation sample to losses that ask for them."""

import numpy as np
import pytest

from spml_annotate.formats.dataset import TRAIN, VALIDATION, Dataset
from spml_annotate.labels import POSITIVE, LabelMatrix
from spml_annotate.propose import estimate_priors
from spml_annotate.simulate.plan import Plan
from spml_annotate.simulate.runs import _Sweep
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.training import HeadRun, fit_heads

SELECTIVE = {"mode": "selective", "ignored_per_image": 0, "prior_threshold": 0.3}


def world(images=120, classes=5):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(images, 8)).astype(np.float32)
    bias = np.array([1.0, -1.0, -2.0, -2.0, -2.0])
    truth = ((features @ rng.normal(size=(8, classes)) + bias) > 0.5).astype(np.int8)
    truth[~truth.any(axis=1), 0] = POSITIVE
    names, ids = tuple(f"class {i}" for i in range(classes)), tuple(map(str, range(images)))
    split = (np.arange(images) % 3).astype(np.int8)
    return Dataset("world", Taxonomy(names), ids, LabelMatrix.from_dense(truth), split, features)


def test_a_loss_that_asks_for_class_priors_is_trained_with_those_of_the_sample():
    data = world()
    plan = Plan(
        losses=("csl",),
        strategies=("random-pairs",),
        seeds=1,
        rounds=0,
        epochs=3,
        batch_size=8,
        settings={"csl": SELECTIVE},
    )
    sweep = _Sweep(data, plan, "cpu")
    sweep.round(0, 1, 40 * 5.0)
    lane = next(lane for lane in sweep.lanes if lane.strategy == "random-pairs")
    train, checked = data.rows(TRAIN), data.rows(VALIDATION)
    prior = estimate_priors(LabelMatrix.from_dense(lane.codes), validation=data.truth[checked])
    assert 0 < (prior.priors > 0.3).sum() < 5

    def scores(priors):
        return fit_heads(
            data.features[train],
            lane.codes,
            [HeadRun("csl", SELECTIVE, seed=lane.seed)],
            validation=(data.features[checked], data.truth[checked]),
            expected_positives=prior.expected_positives,
            priors=priors,
            epochs=3,
            batch_size=8,
            device="cpu",
        ).ema[0]

    told, untold = scores(prior.priors), scores(None)
    np.testing.assert_array_equal(lane.scores, told)
    assert (told != untold).any(axis=0).tolist() == (prior.priors > 0.3).tolist()
    assert sweep.expected_positives == pytest.approx(prior.expected_positives)
