"""Class priors and the expected number of positives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from propose_worlds import single_positives, world

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import UNKNOWN, LabelMatrix
from spml_annotate.propose import estimate_priors


def spl(classes=8, images=60):
    _, truth = world(images=images, classes=classes)
    return truth, LabelMatrix.from_dense(single_positives(truth))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40), st.floats(0.05, 1.0))
def test_shares_sum_to_k_and_stay_below_one(classes, images, share):
    codes = np.full((images, classes), UNKNOWN, dtype=np.int8)
    codes[:, 0] = 1
    found = estimate_priors(LabelMatrix.from_dense(codes), expected_positives=share * classes)
    assert found.priors.sum() == pytest.approx(share * classes)
    assert found.priors.min() >= 0.0
    assert found.priors.max() <= 1.0 + 1e-12


def test_default_k_is_named_as_default():
    _, labels = spl()
    found = estimate_priors(labels)
    assert found.expected_positives == 1.5
    assert "default" in found.source
    assert "given" in estimate_priors(labels, expected_positives=3.0).source


def test_more_known_positives_than_the_default_raise_k():
    truth, _ = spl()
    found = estimate_priors(LabelMatrix.from_dense(truth))
    assert found.expected_positives == pytest.approx(truth.sum(1).mean())


def test_a_checked_sample_gives_k_unsmoothed_and_no_zero_share():
    truth, labels = spl()
    sample = truth[:20].copy()
    sample[:, 3] = 0
    found = estimate_priors(labels, validation=sample)
    assert found.expected_positives == pytest.approx(sample.sum(1).mean())
    assert found.priors.sum() == pytest.approx(found.expected_positives)
    assert found.priors[3] > 0
    assert "20 checked images" in found.source
    assert estimate_priors(labels, validation=sample, expected_positives=2.0).priors.sum() == pytest.approx(2.0)


def test_common_classes_get_larger_shares():
    _, labels = spl()
    observed = labels.count(1)
    priors = estimate_priors(labels).priors
    assert priors[observed.argmax()] == priors.max()


def test_wrong_figures():
    truth, labels = spl()
    with pytest.raises(SettingError, match="above 0"):
        estimate_priors(labels, expected_positives=0.0)
    with pytest.raises(SettingError, match="at most 8"):
        estimate_priors(labels, expected_positives=9.0)
    with pytest.raises(MismatchError, match="8 classes"):
        estimate_priors(labels, validation=truth[:, :3])
    with pytest.raises(DataError, match="full checks"):
        estimate_priors(labels, validation=np.full((4, 8), UNKNOWN, dtype=np.int8))
