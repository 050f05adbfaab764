"""Class priors reach the losses that ask for them, and no others."""

import numpy as np
import pytest

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.training import HeadRun, fit_heads

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(90, 10)).astype(np.float32)
TRUTH = (RNG.random((90, 4)) < 0.4).astype(np.int8)
ONE = np.where((TRUTH == POSITIVE) & (TRUTH.cumsum(axis=1) == 1), POSITIVE, UNKNOWN).astype(np.int8)
# Nothing but frequent classes is left out: the batch's most probable cells are not.
SELECTIVE = {"mode": "selective", "ignored_per_image": 0, "prior_threshold": 0.3}


def weights(run, priors=None, labels=ONE):
    (head,) = fit_heads(FEATURES, labels, [run], priors=priors, epochs=3, device="cpu").heads
    return head.weight


def test_selective_loss_leaves_out_the_unknown_cells_of_frequent_classes():
    priors = np.array([0.9, 0.1, 0.31, 0.3])
    chosen, plain = weights(HeadRun("csl", SELECTIVE), priors), weights(HeadRun("csl", {"mode": "negative"}))
    same = np.isclose(chosen, plain, atol=1e-6).all(axis=0)
    assert same.tolist() == [False, True, False, True]  # above the threshold, not at it
    ignored = weights(HeadRun("csl", {"mode": "ignore"}))
    np.testing.assert_allclose(chosen[:, [0, 2]], ignored[:, [0, 2]], atol=1e-6)


def test_without_priors_no_class_is_frequent():
    np.testing.assert_allclose(
        weights(HeadRun("csl", SELECTIVE)), weights(HeadRun("csl", {"mode": "negative"})), atol=1e-6
    )


@pytest.mark.parametrize("loss", ["an", "crisp"])
def test_a_loss_that_does_not_ask_or_whose_state_knows_is_not_told(loss):
    assert weights(HeadRun(loss), np.full(4, 0.9)).tobytes() == weights(HeadRun(loss)).tobytes()


def test_runs_of_several_losses_share_them():
    labels = np.where(RNG.random(TRUTH.shape) < 0.5, TRUTH, UNKNOWN).astype(np.int8)
    labels[0, 0] = NEGATIVE
    priors = np.array([0.9, 0.1, 0.31, 0.3])
    runs = [HeadRun("an"), HeadRun("csl", SELECTIVE), HeadRun("en")]
    together = fit_heads(FEATURES, labels, runs, priors=priors, epochs=3, device="cpu").heads
    for run, head in zip(runs, together, strict=True):
        np.testing.assert_allclose(head.weight, weights(run, priors, labels), atol=1e-6)


def test_priors_that_cannot_be_are_refused():
    with pytest.raises(MismatchError, match="one for each of 4 classes"):
        weights(HeadRun("an"), np.full(3, 0.5))
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(DataError, match="a share of images is below 0"):
            weights(HeadRun("an"), np.array([0.5, 0.5, 0.5, wrong]))
