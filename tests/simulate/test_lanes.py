"""Sessions of one lane: the hours are used and kept, prices are paid, nothing is asked twice."""

import numpy as np
import pytest

from spml_annotate.acquire import Prices
from spml_annotate.formats.dataset import Dataset
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.simulate import lanes as module
from spml_annotate.simulate.lanes import Annotator, Pool, start_lanes
from spml_annotate.simulate.plan import Plan
from spml_annotate.simulate.references import drawn_negatives, with_told
from spml_annotate.taxonomy import Taxonomy

IMAGES, CLASSES = 300, 20
STRATEGIES = ("random-images:list", "random-pairs", "random-pairs:page", "uncertain-per-label", "expected-positives")


def world(*, prices=None, empty=0, **settings):
    rng = np.random.default_rng(0)
    truth = (rng.random((IMAGES, CLASSES)) < 0.15).astype(np.int8)
    truth[~truth.any(axis=1), 0] = POSITIVE
    truth[:empty] = NEGATIVE
    ids = tuple(f"{i}.png" for i in range(IMAGES))
    names = tuple(f"class {i}" for i in range(CLASSES))
    features = rng.normal(size=(IMAGES, 6)).astype(np.float32)
    split = np.zeros(IMAGES, dtype=np.int8)
    dataset = Dataset("world", Taxonomy(names), ids, LabelMatrix.from_dense(truth), split, features)
    plan = Plan(losses=("an",), strategies=STRATEGIES, seeds=2, prices=prices or Prices(), settings=settings)
    pool = Pool(features, truth, truth.mean(axis=0))
    return Annotator(plan, dataset, pool), {(lane.strategy, lane.seed): lane for lane in start_lanes(plan, pool)}, truth


def dearest(prices):
    return prices.open + prices.glance * CLASSES + prices.fix * CLASSES


@pytest.mark.parametrize("strategy", ["random-images", *STRATEGIES])
@pytest.mark.parametrize("belief", [0.9, 0.15, 0.01])
def test_the_hours_are_used_up_and_never_exceeded_however_wrong_the_scores(strategy, belief):
    annotator, lanes, truth = world()
    lane = lanes[strategy, 0]
    annotator.session(lane, 0, 5.0 * IMAGES)
    lane.scores = np.full(truth.shape, belief, dtype=np.float16)
    for number, target in ((1, 5.0 * IMAGES + 400.0), (2, 5.0 * IMAGES + 800.0)):
        annotator.session(lane, number, target)
        assert lane.seconds <= target + 1e-6
        assert lane.seconds >= target - 0.01 * 400.0 - dearest(Prices())
    known = lane.codes != UNKNOWN
    np.testing.assert_array_equal(lane.codes[known], truth[known])


def test_the_baseline_checks_the_same_images_whatever_the_scores():
    annotator, lanes, truth = world()
    checked = []
    for belief in (0.9, 0.15):
        lane = world()[1]["random-images", 0]
        lane.scores = np.full(truth.shape, belief, dtype=np.float16)
        annotator.session(lane, 1, 600.0)
        checked.append(set(np.flatnonzero((lane.codes != UNKNOWN).any(axis=1)).tolist()))
    assert len(checked[0] ^ checked[1]) <= 4  # all but the last ones, which fit or do not
    assert len(checked[0] & checked[1]) > 40
    other = lanes["random-images", 1]
    annotator.session(other, 1, 600.0)
    assert len(checked[0] & set(np.flatnonzero((other.codes != UNKNOWN).any(axis=1)).tolist())) < 40


def test_seconds_are_those_of_the_price_list():
    prices = Prices(pick=5.5, another=3.25, verify=1.75, view=0.5, open=1.25, glance=0.25, fix=2.5)
    annotator, lanes, truth = world(prices=prices)
    full = lanes["random-images", 0]
    annotator.session(full, 0, 700.0)
    touched = (full.codes != UNKNOWN).any(axis=1)
    positives = truth[touched].sum()
    images = touched.sum()
    assert full.seconds == pytest.approx(images * (1.25 + 0.25 * CLASSES) + 2.5 * positives)
    assert full.questions == {"exhaust": images}
    listed = lanes["random-images:list", 0]
    annotator.session(listed, 0, 0.0)
    assert listed.seconds == pytest.approx(5.5 * IMAGES)  # round 0: one positive on every image
    assert (listed.codes == POSITIVE).sum() == (listed.codes != UNKNOWN).sum() == IMAGES
    annotator.session(listed, 1, 5.5 * IMAGES + 500.0)
    complete = (listed.codes != UNKNOWN).all(axis=1)
    more = truth[complete].sum() - complete.sum()
    assert listed.seconds - 5.5 * IMAGES == pytest.approx(3.25 * (more + complete.sum()))
    assert listed.questions == {"pick": IMAGES, "list": complete.sum()}


def test_images_without_a_positive_cost_their_look_and_stay_unknown():
    annotator, lanes, _ = world(empty=50)
    lane = lanes["random-pairs", 0]
    annotator.session(lane, 0, 0.0)
    assert lane.seconds == 5.0 * IMAGES
    assert (lane.codes[:50] == UNKNOWN).all()
    assert (lane.codes[50:] == POSITIVE).sum() == IMAGES - 50


@pytest.mark.parametrize("prefilled", [False, True])
def test_the_last_round_makes_everything_known_in_blocks_of_any_size(monkeypatch, prefilled):
    ends = []
    for block in (1024, 7):
        monkeypatch.setattr(module, "_BLOCK", block)
        annotator, lanes, truth = world(exhaust={"prefilled": prefilled})
        lane = lanes["random-pairs", 0]
        annotator.session(lane, 0, 0.0)
        annotator.session(lane, 1, lane.seconds + 300.0)
        before = lane.seconds, (lane.codes == UNKNOWN).sum()
        lane.scores = np.where(truth == POSITIVE, 0.9, 0.1).astype(np.float16)
        lane.scores[:, 0] = 0.6
        missing = (lane.codes == UNKNOWN).any(axis=1).sum()
        ticks = ((lane.codes == UNKNOWN) & (truth == POSITIVE)).sum()
        if prefilled:  # right everywhere but for class 0, which is ticked on every image
            ticks = ((lane.codes == UNKNOWN) & (truth == NEGATIVE))[:, 0].sum()
        annotator.session(lane, 2, float("inf"))
        np.testing.assert_array_equal(lane.codes, truth)
        assert lane.seconds - before[0] == pytest.approx(missing + 0.22 * before[1] + 2.0 * ticks)
        ends.append((lane.seconds, lane.questions))
    assert ends[0][1] == ends[1][1]
    assert ends[0][0] == ends[1][0]


def test_the_first_class_named_depends_on_the_seed_and_not_on_the_strategy():
    annotator, lanes, _ = world()
    for lane in lanes.values():
        annotator.session(lane, 0, 5.0 * IMAGES)
    assert np.array_equal(lanes["random-pairs", 0].codes, lanes["uncertain-per-label", 0].codes)
    assert not np.array_equal(lanes["random-pairs", 0].codes, lanes["random-pairs", 1].codes)


def test_rounds_and_seeds_draw_anew():
    annotator, lanes, _ = world()
    seeds = {annotator.evidence(lanes["random-pairs", seed], number).seed for seed in (0, 1) for number in range(4)}
    assert len(seeds) == 8


def test_an_oracle_is_told_the_negatives_of_images_with_a_positive():
    annotator, lanes, truth = world(empty=50)
    lane = lanes["random-pairs", 0]
    annotator.session(lane, 0, 0.0)
    drawn = drawn_negatives(truth, 0)
    told = with_told("iun", lane.codes, truth, drawn)
    assert (told[:50] == UNKNOWN).all()
    np.testing.assert_array_equal(told[50:] == NEGATIVE, truth[50:] == NEGATIVE)
    np.testing.assert_array_equal(told == POSITIVE, lane.codes == POSITIVE)
    assert with_told("an", lane.codes, truth, drawn) is lane.codes
