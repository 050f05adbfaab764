"""What every strategy and every kind of question must keep: known cells, budgets, seeds, blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.acquire import KINDS, VALUES, Prices, choose, strategy
from spml_annotate.errors import SettingError
from spml_annotate.labels import UNKNOWN, LabelMatrix
from spml_annotate.propose import PROPOSERS, Evidence

SPELLINGS = [
    *VALUES,
    "random-images:list",
    "random-pairs:page",
    "uncertain-per-label:page",
    "expected-positives:verify",
    "expected-positives:list",
    "expected-positives:exhaust",
    "disagreement:verify",
]


def evidence(seed, images=40, classes=6, *, known=0.2):
    rng = np.random.default_rng(seed)
    codes = np.where(rng.random((images, classes)) < known, rng.integers(0, 2, (images, classes)), UNKNOWN)
    codes[: images // 2, 0] = 1
    return Evidence(
        rng.normal(size=(images, 8)).astype(np.float32),
        LabelMatrix.from_dense(codes.astype(np.int8)),
        rng.random((images, classes)).astype(np.float16),
        np.full(classes, 1.5 / classes),
        seed=seed,
    )


def spent(queries, prices):
    """Expected seconds as a person would be charged: verify questions pay one view per image in a row."""
    total, viewed = 0.0, -1
    for query in queries:
        total += query.seconds
        if query.kind == "verify" and query.row != viewed:
            total += prices.view
        viewed = query.row
    return total


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(seed=st.integers(0, 1000), budget=st.sampled_from([0.0, 1.6, 30.0, 500.0, 1e6]))
def test_known_cells_are_never_asked_and_the_budget_is_kept(spelling, seed, budget):
    seen, prices = evidence(seed), Prices()
    queries = choose(seen, strategy(spelling), budget, prices=prices)
    assert spent(queries, prices) <= budget + 1e-6
    cells = [(q.row, label) for q in queries for label in q.labels]
    assert len(cells) == len(set(cells))
    assert all(seen.codes[cell] == UNKNOWN for cell in cells)
    assert all(set(q.shown) <= set(q.labels) for q in queries)
    assert len({q.id for q in queries}) == len(queries)
    if budget == 1e6 and strategy(spelling).kind_name != "page":
        assert len(cells) == int(seen.unknown.sum())


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_blocked_equals_unblocked_and_the_same_seed_asks_the_same(spelling):
    chosen = strategy(spelling)
    whole = choose(evidence(3), chosen, 200.0)
    assert whole
    assert choose(evidence(3), chosen, 200.0, block=7) == whole
    assert choose(evidence(3), chosen, 200.0) == whole
    assert choose(evidence(4), chosen, 200.0) != whole


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_only_the_rows_offered_are_asked_about(spelling):
    rows = np.array([1, 5, 20])
    assert {q.row for q in choose(evidence(0), strategy(spelling), 1e6, rows=rows)} <= set(rows.tolist())
    assert choose(evidence(0), strategy(spelling), 1e6, rows=rows[:0]) == []


def test_uncertain_per_label_gives_every_class_its_share_and_rare_ones_more():
    seen = evidence(1, images=400, classes=6, known=0.0)
    queries = choose(seen, strategy("uncertain-per-label"), 120 * 2.7)
    asked = np.bincount([q.labels[0] for q in queries], minlength=6)
    assert asked[1:].max() - asked[1:].min() <= 1  # five rare classes alike
    assert asked[0] == pytest.approx(asked[1] / 2, abs=1)  # 200 known positives: no floor needed


def test_the_most_expected_positives_per_second_come_first():
    seen = evidence(2, known=0.0)
    chosen = strategy("expected-positives:exhaust")
    queries = choose(seen, chosen, 1e6)
    rows = np.array([q.row for q in queries])
    belief = PROPOSERS[chosen.proposer].function(seen, rows).astype(np.float64) * seen.unknown[rows]
    per_second = belief.sum(axis=1) / [q.seconds for q in queries]
    assert (np.diff(per_second) <= 1e-9).all()
    assert per_second[0] > per_second[-1]


def test_a_page_shows_its_size_and_ticks_what_is_likely():
    seen = evidence(5, known=0.0)
    queries = choose(seen, strategy("expected-positives:page", {"page": {"size": 3}}), 1e6)
    assert {len(q.labels) for q in queries} == {3}
    assert any(q.shown for q in queries)
    blind = choose(seen, strategy("expected-positives:exhaust"), 1e6)
    assert not any(q.shown for q in blind)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("nonsense", "there is no strategy 'nonsense'"),
        ("random-pair", "did you mean 'random-pairs'"),
        ("random-pairs:nonsense", "there is no kind of question 'nonsense'"),
        ("random-images:verify", "random-images completes images"),
        ("random-pairs:pick", "pick gives the first label"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(spelling, message):
    with pytest.raises(SettingError, match=message):
        strategy(spelling)


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_is_a_number_of_seconds(budget):
    with pytest.raises(SettingError, match="budget"):
        choose(evidence(0), strategy("random-pairs"), budget)


def test_every_kind_says_what_it_asks():
    assert set(KINDS) == {"pick", "list", "verify", "page", "exhaust"}
    assert all(KINDS[name].facts["asks"] for name in KINDS)
