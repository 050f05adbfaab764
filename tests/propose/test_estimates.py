"""K and class priors from a checked sample, with intervals that hold, and from scores."""

import math

import numpy as np
import pytest

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.propose.estimating import from_sample, from_scores, student, wilson


def images(rng, count, classes=12):
    """Codes of images whose classes come together: an image is crowded or empty."""
    crowded = rng.random((count, 1)) < 0.3
    chance = np.where(crowded, 0.6, 0.1) * np.linspace(0.4, 1.6, classes)
    return (rng.random((count, classes)) < chance).astype(np.int8)


def true_k(classes=12):
    return float((0.3 * 0.6 + 0.7 * 0.1) * np.linspace(0.4, 1.6, classes).sum())


def test_a_complete_sample_gives_the_mean_of_the_counts_and_its_t_interval():
    codes = images(np.random.default_rng(0), 40)
    counts = (codes == POSITIVE).sum(axis=1)
    found = from_sample(codes)
    assert found.expected_positives == pytest.approx(counts.mean())
    half = 2.0227 * counts.std(ddof=1) / math.sqrt(40)  # Student's with 39 degrees of freedom
    assert (found.low, found.high) == pytest.approx((counts.mean() - half, counts.mean() + half), abs=1e-4)
    assert (found.if_no, found.if_yes) == pytest.approx((counts.mean(), counts.mean()))
    assert found.priors.sum() == pytest.approx(found.expected_positives)
    assert (found.images, found.unseen) == (40, 0)


@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(unknown):
    rng = np.random.default_rng(1)
    inside, trials = 0, 1500
    for _ in range(trials):
        codes = images(rng, 20)
        codes[rng.random(codes.shape) < unknown] = UNKNOWN
        found = from_sample(codes)
        inside += found.low <= true_k() <= found.high
    assert 0.92 < inside / trials < 0.97


def test_intervals_of_cells_alone_would_be_too_narrow_for_classes_that_come_together():
    codes = images(np.random.default_rng(2), 200)
    found = from_sample(codes)
    independent = 1.96 * math.sqrt((found.priors * (1 - found.priors)).sum() / 200)
    assert found.high - found.expected_positives > 1.3 * independent


def test_unknown_cells_count_like_the_rest_of_their_class_and_the_range_says_what_they_could_be():
    codes = np.array([[1, 1], [1, UNKNOWN], [0, 0], [0, 1]], dtype=np.int8)
    found = from_sample(codes)
    assert found.priors.tolist() == pytest.approx([0.5, 2 / 3])
    assert (found.expected_positives, found.if_no, found.if_yes) == pytest.approx((7 / 6, 1.0, 1.25))
    never = from_sample(np.array([[1, UNKNOWN], [0, UNKNOWN]], dtype=np.int8))
    assert (never.unseen, never.priors.tolist()) == (1, [0.5, 0.0])
    assert (never.prior_low[1], never.prior_high[1]) == (0.0, 1.0)


def test_a_single_image_says_nothing_of_chance():
    found = from_sample(np.array([[1, 0, 1]], dtype=np.int8))
    assert (found.expected_positives, found.low, found.high) == (2.0, 0.0, 3.0)
    with pytest.raises(DataError, match="answer some full checks"):
        from_sample(np.full((3, 2), UNKNOWN, dtype=np.int8))


def test_quantiles_of_student_agree_with_printed_tables():
    printed = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262, 30: 2.042, 120: 1.980}
    for freedom, value in printed.items():
        assert student(freedom) == pytest.approx(value, rel=3e-3 if freedom < 9 else 5e-4)
    assert student(0) == math.inf


def test_wilson_agrees_with_the_other_implementation():
    from spml_annotate.loop.comparing import wilson as scalar

    hits, counted = np.array([0, 3, 10, 0]), np.array([10, 10, 10, 0])
    low, high = wilson(hits, counted)
    for place in range(4):
        assert (low[place], high[place]) == pytest.approx(scalar(hits[place], int(counted[place])), abs=1e-6)


def test_scores_that_separate_give_the_truth_and_known_cells_bound_it():
    rng = np.random.default_rng(3)
    shares = np.array([0.1, 0.3, 0.5, 0.2])
    truth = rng.random((8000, 4)) < shares
    scores = 1 / (1 + np.exp(-(rng.normal(size=truth.shape) + np.where(truth, 4.0, -4.0))))
    codes = np.where(truth & (rng.random(truth.shape) < 0.3), POSITIVE, UNKNOWN).astype(np.int8)
    codes[:, 3] = UNKNOWN  # a class of which nothing is known
    found = from_scores(scores.astype(np.float16), codes)
    assert found.priors[:3] == pytest.approx(truth.mean(axis=0)[:3], rel=0.1)
    assert (found.priors[3], found.unseen, found.images) == (0.0, 1, 8000)
    assert found.expected_positives == pytest.approx(found.priors.sum())
    assert math.isnan(found.low)
    codes[:4000, 2] = NEGATIVE
    useless = from_scores(np.full(codes.shape, 0.5), codes)
    assert useless.priors[2] == pytest.approx(0.5)  # not 1: half of its cells are known negatives
    everything = np.where(truth, POSITIVE, NEGATIVE).astype(np.int8)
    assert from_scores(rng.random(truth.shape), everything).priors == pytest.approx(truth.mean(axis=0))


def test_what_scores_cannot_say_is_an_error():
    with pytest.raises(DataError, match="no positive is known"):
        from_scores(np.zeros((3, 2)), np.full((3, 2), UNKNOWN, dtype=np.int8))
    with pytest.raises(MismatchError, match="one row per image"):
        from_scores(np.zeros((3, 2)), np.ones((4, 2), dtype=np.int8))
