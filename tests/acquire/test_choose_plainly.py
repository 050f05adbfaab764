"""`choose` against a slow, plain greedy; what each strategy takes first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.acquire import VALUES, Prices, choose, strategy
from spml_annotate.labels import POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.propose import PROPOSERS, Evidence

PRICES = Prices(verify=1.75, view=1.25, open=1.25, another=3.25)
EVERY_ROW = np.arange(30)


def evidence(seed, *, known=0.3, flat=False):
    rng = np.random.default_rng(seed)
    codes = np.where(rng.random((30, 5)) < known, rng.integers(0, 2, (30, 5)), UNKNOWN).astype(np.int8)
    scores = np.full((30, 5), 0.3) if flat else rng.random((30, 5))
    features = rng.normal(size=(30, 8)).astype(np.float32)
    return Evidence(features, LabelMatrix.from_dense(codes), scores.astype(np.float16), np.full(5, 0.3), seed=seed)


def looked_at(seen, chosen):
    """Belief, worth and cells asked about of all images at once."""
    belief = np.asarray(PROPOSERS[chosen.proposer].function(seen, EVERY_ROW), dtype=np.float64)
    worth = np.asarray(VALUES[chosen.value].function(seen, EVERY_ROW, belief), dtype=np.float64)
    return belief, worth, chosen.kind.select(worth, seen.unknown)


def plain_images(seen, chosen, budget):
    belief, worth, asked = looked_at(seen, chosen)
    seconds = chosen.kind.expect(PRICES, belief, asked, (seen.codes == POSITIVE).any(axis=1))
    priority = {}
    for row in np.flatnonzero(asked.any(axis=1)):
        mine = worth[row][asked[row]]
        priority[row] = mine.sum() / seconds[row] if chosen.per_second else mine.mean()
    taken = []
    for row in sorted(priority, key=lambda row: -round(priority[row], 12)):
        if seconds[row] <= budget:
            budget -= seconds[row]
            taken.append((row, tuple(np.flatnonzero(asked[row]).tolist())))
    return taken


def plain_cells(seen, chosen, budget):
    _, worth, asked = looked_at(seen, chosen)
    viewed, taken = set(), []
    for row, label in sorted(zip(*np.nonzero(asked), strict=True), key=lambda cell: -worth[cell]):
        price = PRICES.verify + (0.0 if row in viewed else PRICES.view)
        if price <= budget:
            budget -= price
            viewed.add(row)
            taken.append((row, (label,)))
    return taken


IMAGE_KINDS = ("random-images", "random-images:list", "random-pairs:page", "expected-positives:list", "disagreement")


@pytest.mark.parametrize("spelling", [*IMAGE_KINDS, "expected-positives:exhaust"])
@given(seed=st.integers(0, 500), budget=st.floats(1.0, 150.0))
def test_images_are_those_of_a_plain_greedy(spelling, seed, budget):
    seen, chosen = evidence(seed), strategy(spelling, {"page": {"size": 3}})
    queries = choose(seen, chosen, budget, prices=PRICES)
    assert [(q.row, q.labels) for q in queries] == plain_images(seen, chosen, budget)


@pytest.mark.parametrize("spelling", ["random-pairs", "disagreement:verify"])
@given(seed=st.integers(0, 500), budget=st.floats(1.0, 150.0))
def test_pairs_are_those_of_a_plain_greedy(spelling, seed, budget):
    seen, chosen = evidence(seed), strategy(spelling)
    queries = choose(seen, chosen, budget, prices=PRICES)
    plain = plain_cells(seen, chosen, budget)
    cells = {(q.row, q.labels) for q in queries}
    assert cells <= set(plain)
    assert len(plain) - len(cells) <= 1  # one pair far down the list may share a view that is paid for
    assert list(dict.fromkeys(q.row for q in queries)) == list(dict.fromkeys(row for row, _ in plain))


@pytest.mark.parametrize("spelling", ["expected-positives:exhaust", "expected-positives:verify"])
def test_equals_are_drawn_by_lot(spelling):
    chosen, drawn = strategy(spelling), []
    for seed in (0, 1):
        queries = choose(evidence(seed, known=0.0, flat=True), chosen, 20.0)
        drawn.append({(q.row, q.labels) for q in queries})
        assert max(row for row, _ in drawn[-1]) > len(drawn[-1])  # not simply the first ones
    assert drawn[0] != drawn[1]


def test_what_is_believed_is_ticked():
    seen, chosen = evidence(1), strategy("expected-positives:page", {"page": {"size": 3}})
    belief, _, _ = looked_at(seen, chosen)
    queries = choose(seen, chosen, 1e6)
    assert any(q.shown for q in queries)
    for q in queries:
        assert q.shown == tuple(label for label in q.labels if belief[q.row, label] > 0.5)


def test_within_a_class_the_least_decided_cells_come_first():
    seen = evidence(2, known=0.0)
    queries = choose(seen, strategy("uncertain-per-label"), 50 * 2.7)
    distance = np.abs(seen.scores.astype(np.float64) - 0.5)
    asked = np.zeros(distance.shape, dtype=bool)
    asked[[q.row for q in queries], [q.labels[0] for q in queries]] = True
    for label in range(5):
        assert 5 < asked[:, label].sum() < 30
        assert distance[asked[:, label], label].max() <= distance[~asked[:, label], label].min()


def test_disagreement_is_the_distance_of_scores_and_prototypes():
    seen = evidence(3)
    scores, prototypes = (PROPOSERS[name].function(seen, EVERY_ROW) for name in ("ema", "prototypes"))
    worth = VALUES["disagreement"].function(seen, EVERY_ROW, scores)
    np.testing.assert_allclose(worth, np.abs(scores - prototypes))
    assert worth.max() > 0.3
