"""Proposals, their thresholds and their quality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from propose_worlds import evidence_of, partly_known, single_positives, world

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.propose import (
    PROPOSERS,
    calibrate_thresholds,
    default_thresholds,
    proposal_quality,
    propose,
    propose_blocks,
)
from spml_annotate.propose.thresholds import Basis, wilson_lower

LOOSE = {"positive": 0.3, "negative": 0.2}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(PROPOSERS)), st.integers(1, 60))
def test_proposals_touch_unknown_cells_only_and_blocks_do_not_matter(seed, name, block):
    features, _, codes = partly_known(seed=seed, images=50)
    evidence = evidence_of(features, codes)
    limits = default_thresholds(codes.shape[1], **LOOSE)
    made = propose(evidence, proposer=name, thresholds=limits, block=block)
    assert (codes[made.rows, made.labels] == UNKNOWN).all()
    cells = set(zip(made.rows.tolist(), made.labels.tolist(), strict=True))
    assert len(cells) == len(made)
    whole = propose(evidence, proposer=name, thresholds=limits)
    for field in ("rows", "labels", "values", "scores"):
        assert getattr(made, field).tobytes() == getattr(whole, field).tobytes()
    belief = PROPOSERS[name].function(evidence, np.arange(50))
    assert np.array_equal(made.scores, belief[made.rows, made.labels])
    assert (made.scores[made.values == POSITIVE] >= 0.3).all()
    assert (made.scores[made.values == NEGATIVE] <= 0.2).all()
    expected = (codes == UNKNOWN) & ((belief >= 0.3) | (belief <= 0.2))
    if name != "prototypes" or (codes == POSITIVE).any(axis=0).all():
        assert expected.sum() == len(made)


def test_every_proposal_says_who_spoke():
    features, truth = world()
    codes = single_positives(truth)
    codes[:, 1][codes[:, 1] == POSITIVE] = UNKNOWN
    evidence = evidence_of(features, codes)
    made = propose(evidence, thresholds=default_thresholds(codes.shape[1], **LOOSE))
    scores, votes = (PROPOSERS[n].function(evidence, np.arange(len(codes))) for n in ("ema", "prototypes"))
    for proposal in made:
        assert proposal.proposer == "combined"
        assert set(proposal.sources) == ({"ema"} if proposal.label == 1 else {"ema", "prototypes"})
        assert proposal.sources["ema"] == scores[proposal.row, proposal.label]
        if proposal.label != 1:
            assert proposal.sources["prototypes"] == votes[proposal.row, proposal.label]
    assert any(proposal.label == 1 for proposal in made)


def test_prototypes_propose_nothing_about_classes_they_never_saw():
    features, truth = world()
    codes = single_positives(truth)
    codes[:, 1][codes[:, 1] == POSITIVE] = UNKNOWN
    made = propose(evidence_of(features, codes), proposer="prototypes")
    assert len(made) > 0
    assert (made.labels != 1).all()


def test_rows_in_the_order_asked_and_selection():
    features, _, codes = partly_known()
    evidence = evidence_of(features, codes)
    limits = default_thresholds(codes.shape[1], **LOOSE)
    made = propose(evidence, np.array([30, 2]), thresholds=limits)
    assert list(dict.fromkeys(made.rows.tolist())) == [30, 2]
    assert len(made.positives) + len(made.negatives) == len(made)
    assert (made.positives.values == POSITIVE).all()
    assert made.select(np.array([0])).at(0) == made.at(0) == next(iter(made))
    assert len(propose(evidence, np.zeros(0, dtype=np.int64))) == 0
    assert sum(len(part) for part in propose_blocks(evidence, thresholds=limits, block=7)) == len(
        propose(evidence, thresholds=limits)
    )


def test_wrong_requests():
    features, _, codes = partly_known(images=20)
    evidence = evidence_of(features, codes)
    with pytest.raises(DataError, match="row 20"):
        propose(evidence, np.array([20]))
    with pytest.raises(MismatchError, match="3 classes"):
        propose(evidence, thresholds=default_thresholds(3))
    with pytest.raises(SettingError, match="did you mean 'combined'"):
        propose(evidence, proposer="combine")
    with pytest.raises(SettingError, match="no setting 'depth'"):
        propose(evidence, settings={"depth": 3})
    with pytest.raises(SettingError, match="block"):
        propose(evidence, block=0)


def test_quality_counts_by_hand():
    features, truth = world(images=30)
    codes = single_positives(truth)
    hidden = codes == UNKNOWN
    evidence = evidence_of(features, codes, scores=truth.astype(np.float32))
    perfect = proposal_quality(propose(evidence, proposer="ema"), truth, evidence.labels)
    assert perfect.positives == perfect.true_positives == (truth[hidden] == 1).sum()
    assert perfect[2:4] == (1.0, 1.0)
    assert perfect.negatives == (truth[hidden] == 0).sum()
    assert perfect[6:] == (1.0, 1.0)
    reversed_scores = evidence_of(features, codes, scores=1.0 - truth.astype(np.float32))
    wrong = proposal_quality(propose(reversed_scores, proposer="ema"), truth, evidence.labels)
    assert (wrong.positive_precision, wrong.negative_precision) == (0.0, 0.0)
    half = propose(evidence, np.arange(15), proposer="ema")
    assert proposal_quality(half, truth, evidence.labels, np.arange(15)).positive_recall == 1.0
    assert proposal_quality(half, truth, evidence.labels).positive_recall < 1.0
    nothing = propose(evidence, np.zeros(0, dtype=np.int64), proposer="ema")
    assert np.isnan(proposal_quality(nothing, truth, evidence.labels).positive_precision)
    with pytest.raises(MismatchError, match="truth"):
        proposal_quality(half, truth[:, :2], evidence.labels)


def calibrated_table(seed, images=400, classes=5):
    """Honest beliefs: a class is present with the probability that is believed."""
    draw = np.random.default_rng(seed)
    belief = draw.beta(0.4, 0.8, size=(images, classes))
    return belief, (draw.random(belief.shape) < belief).astype(np.int8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.6, 0.97), st.floats(0.6, 0.99))
def test_calibrated_thresholds_keep_their_promise_on_the_sample(seed, positive, negative):
    belief, codes = calibrated_table(seed)
    found = calibrate_thresholds(belief, codes, positive_precision=positive, negative_precision=negative)
    assert (found.positive_basis == Basis.OWN).all()
    assert (found.negative < found.positive).all()
    for label in range(codes.shape[1]):
        up = belief[:, label] >= found.positive[label]
        if up.any():
            right = int((codes[up, label] == POSITIVE).sum())
            assert wilson_lower(np.array(right), np.array(up.sum()), 1.0) >= positive - 1e-12
        else:
            assert found.positive[label] == np.inf
        down = belief[:, label] <= found.negative[label]
        assert (codes[down, label] == POSITIVE).sum() <= 0.1 * (codes[:, label] == POSITIVE).sum()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 0.9), st.floats(0.01, 0.09))
def test_wanting_more_precision_never_proposes_more(seed, wanted, more):
    belief, codes = calibrated_table(seed)
    low = calibrate_thresholds(belief, codes, positive_precision=wanted)
    high = calibrate_thresholds(belief, codes, positive_precision=wanted + more)
    assert (high.positive >= low.positive).all()
    low = calibrate_thresholds(belief, codes, negative_precision=wanted)
    high = calibrate_thresholds(belief, codes, negative_precision=wanted + more)
    assert (high.negative <= low.negative).all()


def test_calibrated_thresholds_hold_on_fresh_cells():
    belief, codes = calibrated_table(1, images=2000)
    found = calibrate_thresholds(belief, codes)
    fresh, truth = calibrated_table(2, images=4000)
    assert (truth[fresh >= found.positive] == POSITIVE).mean() > 0.87
    assert (truth[fresh <= found.negative] == NEGATIVE).mean() > 0.97


def test_enough_means_enough():
    belief, codes = calibrated_table(0, images=300, classes=3)
    few = codes.copy()
    few[:, 0] = UNKNOWN
    few[:9, 0] = POSITIVE
    few[9:200, 0] = NEGATIVE
    found = calibrate_thresholds(belief, few)
    assert found.positive_basis.tolist() == [Basis.DEFAULT, Basis.OWN, Basis.OWN]
    assert found.positive[0] == 0.5
    assert found.negative[0] == 0.02
    assert (found.known_positives[0], found.known_negatives[0]) == (9, 191)
    few[:, 1] = few[:, 0]
    pooled = calibrate_thresholds(belief, few)
    assert pooled.positive_basis.tolist() == [Basis.POOLED, Basis.POOLED, Basis.OWN]
    assert pooled.positive[0] == pooled.positive[1]
    assert "default" in found.describe(0)
    assert "of the class" in found.describe(1)
    assert "few" in pooled.describe(0)


def test_a_belief_without_knowledge_proposes_no_positives():
    draw = np.random.default_rng(0)
    codes = (draw.random((500, 2)) < 0.1).astype(np.int8)
    found = calibrate_thresholds(draw.random((500, 2)), codes)
    assert (found.positive == np.inf).all()
    assert "never" in found.describe(0)
    constant = calibrate_thresholds(np.full((500, 2), 0.3), codes)
    assert (constant.negative == -np.inf).all()


def test_empty_and_wrong_tables():
    empty = calibrate_thresholds(np.zeros((0, 4)), np.zeros((0, 4), dtype=np.int8))
    assert (empty.positive_basis == Basis.DEFAULT).all()
    with pytest.raises(MismatchError, match="one table"):
        calibrate_thresholds(np.zeros((2, 4)), np.zeros((2, 3), dtype=np.int8))
    with pytest.raises(SettingError, match="precision"):
        calibrate_thresholds(np.zeros((2, 4)), np.zeros((2, 4), dtype=np.int8), positive_precision=1.0)
    with pytest.raises(SettingError, match="below positive"):
        default_thresholds(4, positive=0.1, negative=0.2)


def test_wilson_bound_against_known_figures():
    """8 of 10 at 1.96 standard deviations: 0.4902, the value of the textbooks; nothing seen proves nothing."""
    assert wilson_lower(np.array([8, 0, 0]), np.array([10, 10, 0]), 1.96) == pytest.approx([0.4902, 0.0, 0.0], abs=1e-4)
