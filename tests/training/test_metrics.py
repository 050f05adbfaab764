import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.training import metrics


def table(seed, images, classes, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (images, classes)) / levels  # few levels: many ties
    codes = (rng.random((images, classes)) < 0.4).astype(np.int8)
    return scores, codes


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 6), st.sampled_from([2, 5, 1000]))
def test_average_precision_agrees_with_scikit_learn(seed, images, classes, levels):
    scores, codes = table(seed, images, classes, levels)
    ours = metrics.average_precision(scores, codes)
    for label in range(classes):
        if codes[:, label].any():
            assert ours[label] == pytest.approx(average_precision_score(codes[:, label], scores[:, label]), abs=1e-12)
        else:
            assert np.isnan(ours[label])


@given(st.integers(0, 10_000))
def test_unknown_cells_do_not_take_part(seed):
    scores, codes = table(seed, 25, 3, 7)
    hidden = np.random.default_rng(seed + 1).random(codes.shape) < 0.3
    ours = metrics.average_precision(scores, np.where(hidden, UNKNOWN, codes).astype(np.int8))
    for label in range(3):
        seen = ~hidden[:, label]
        if codes[seen, label].any():
            expected = average_precision_score(codes[seen, label], scores[seen, label])
            assert ours[label] == pytest.approx(expected, abs=1e-12)


def test_leading_axes_are_models():
    scores, codes = table(0, 20, 4, 9)
    both = np.stack([scores, scores[::-1]])
    np.testing.assert_allclose(
        metrics.average_precision(both, codes)[1], metrics.average_precision(scores[::-1], codes)
    )


def test_mean_leaves_out_and_counts_classes_without_positives():
    codes = np.array([[1, 0], [0, 0]], dtype=np.int8)
    result = metrics.mean_average_precision(np.array([[0.9, 0.5], [0.1, 0.5]]), codes)
    assert (result.value, result.classes, result.left_out) == (1.0, 1, 1)
    nothing = metrics.mean_average_precision(np.ones((2, 2)), np.zeros((2, 2), dtype=np.int8))
    assert np.isnan(nothing.value)
    assert nothing.left_out == 2


@given(st.integers(0, 10_000))
def test_f1_agrees_with_scikit_learn(seed):
    scores, codes = table(seed, 40, 5, 50)
    codes[0] = POSITIVE
    result = metrics.f1(scores, codes, 0.5)
    said = scores >= 0.5
    assert result.overall_f1 == pytest.approx(f1_score(codes, said, average="micro", zero_division=0))
    assert result.class_precision == pytest.approx(precision_score(codes, said, average="macro", zero_division=0))
    assert result.left_out == 0


def test_agreement_counts_only_what_was_proposed_and_is_known():
    truth = np.array([[1, 0, UNKNOWN, 1]], dtype=np.int8)
    values = np.array([[1, 1, 1, UNKNOWN]], dtype=np.int8)
    assert metrics.agreement(values, truth, POSITIVE) == (0.5, 0.5, 2)
    assert np.isnan(metrics.agreement(values, truth, NEGATIVE).precision)
    with pytest.raises(ValueError, match="POSITIVE or NEGATIVE"):
        metrics.agreement(values, truth, UNKNOWN)
