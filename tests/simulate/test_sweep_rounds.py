"""One round of a sweep: what is trained, what is measured, and at which hours."""

import numpy as np
import pytest

from spml_annotate.formats.dataset import TEST, TRAIN, Dataset
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.simulate.plan import Plan
from spml_annotate.simulate.runs import _Sweep
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.metrics import average_precision


def world(images=120, classes=5):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(images, 8)).astype(np.float32)
    truth = ((features @ rng.normal(size=(8, classes))) > 2.0).astype(np.int8)
    truth[~truth.any(axis=1), 0] = POSITIVE
    split = (np.arange(images) % 3).astype(np.int8)
    truth[split == TEST, 4] = NEGATIVE  # a class that cannot be measured
    names, ids = tuple(f"class {i}" for i in range(classes)), tuple(map(str, range(images)))
    return Dataset("world", Taxonomy(names), ids, LabelMatrix.from_dense(truth), split, features)


def plan(**changes):
    settings = {"losses": ("an",), "strategies": ("random-pairs",), "seeds": 2, "rounds": 3, "epochs": 3, **changes}
    return Plan(**settings)


@pytest.fixture(scope="module")
def swept():
    data, chosen = world(), plan(seed=4, batch_size=16)
    sweep = _Sweep(data, chosen, "cpu")
    for number, target in enumerate((40 * 5.0, float("inf"))):
        sweep.round(number, 2, target)
    return data, sweep


def test_hours_run_in_even_steps_of_their_logarithm_to_the_price_of_everything():
    data = world()
    targets = plan().targets(data)
    assert len(targets) == 3 + 2
    assert targets[0] == 40 * 5.0
    steps = np.array(targets[1:-1]) / np.array(targets[:-2])
    np.testing.assert_allclose(steps, steps[0])
    positives = (data.truth[data.split == TRAIN] == POSITIVE).sum()
    everything = 40 * 5.0 + 40 * (1.0 + 0.22 * 4) + 2.0 * (positives - 40)  # a full check of what is left
    assert targets[-2] * steps[0] == pytest.approx(everything)
    assert targets[-1] == float("inf")
    assert plan(rounds=0).targets(data) == [200.0, float("inf")]


def test_every_lane_is_judged_on_its_own_head(swept):
    data, sweep = swept
    train, test = data.rows(TRAIN), data.rows(TEST)
    for lane, row in zip(sweep.lanes, sweep.rows[len(sweep.lanes) :], strict=True):
        assert (lane.codes == data.truth[train]).all()
        run = HeadRun("an", seed=lane.seed)
        validation = data.features[data.split == 1], data.truth[data.split == 1]
        k = sweep.expected_positives
        options = {
            "validation": validation,
            "expected_positives": k,
            "epochs": 3,
            "batch_size": 16,
            "seed": 4,
            "device": "cpu",
        }
        head = fit_heads(data.features[train], lane.codes, [run], **options).heads[0]
        precision = average_precision(head.predict(data.features[test]), data.truth[test])
        assert row["map"] == pytest.approx(precision[:4].mean(), abs=1e-6)
        assert row["classes_left_out"] == 1
    ends = {row["seed"]: row["map"] for row in sweep.rows[len(sweep.lanes) :]}
    assert set(ends) == {4, 5}
    assert ends[4] != ends[5]  # the seeds start from other heads


def test_strategies_see_the_moving_average_of_the_last_round(swept):
    _, sweep = swept
    start = sweep.pool.priors.astype(np.float16)
    for lane in sweep.lanes:
        assert not (lane.scores == start).all(axis=1).any()
        known = lane.codes != UNKNOWN
        positives = lane.scores[known & (lane.codes == POSITIVE)]
        assert positives.mean() > lane.scores[lane.codes == NEGATIVE].mean()


def test_validation_costs_a_blind_full_check_of_each_image():
    data = world()
    positives = (data.truth[data.split == 1] == POSITIVE).sum()
    assert plan().validation_seconds(data) == pytest.approx(40 * (1.0 + 0.22 * 5) + 2.0 * positives)
