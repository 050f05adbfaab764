"""Prices are found again in times that were made from known ones, with noise, idle gaps and two annotators."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spml_annotate.acquire import KINDS, PRICES, Prices, Query
from spml_annotate.acquire.acts import Act, uses_of
from spml_annotate.acquire.fitting import fit_prices
from spml_annotate.errors import DataError, SettingError

TRUE = Prices(pick=4.1, another=2.2, verify=1.1, view=0.8, open=1.6, glance=0.35, fix=1.4)
KIND_NAMES = ("pick", "list", "verify", "page", "exhaust")


def drawn_uses(random, kind):
    """Uses of a question as they come in life."""
    classes = {"pick": 1, "verify": 1, "page": int(random.integers(3, 11))}.get(kind, int(random.integers(15, 20)))
    return uses_of(
        kind,
        classes=classes,
        yes=int(random.poisson(2)) if kind == "list" else 1,
        wrong=int(random.poisson(1.5)),
        started=bool(random.integers(2)),
        seen=bool(random.integers(2)),
    )


def made_acts(seed, count=800, *, prices=TRUE, sigma=0.5, gaps=0.03, slips=0.01, paces=(0.7, 1.3)):
    """Log-normal noise of mean one, gaps that are cut at a minute or not at all, and keys hit by accident."""
    random = np.random.default_rng(seed)
    acts = []
    for _ in range(count):
        kind = KIND_NAMES[random.integers(len(KIND_NAMES))]
        uses, who = drawn_uses(random, kind), int(random.integers(len(paces)))
        seconds = paces[who] * sum(getattr(prices, name) * times for name, times in uses.items())
        seconds *= np.exp(sigma * random.normal() - sigma**2 / 2)
        if random.random() < gaps:
            seconds = 60.0 if random.random() < 0.5 else seconds + random.uniform(60, 2000)
        if random.random() < slips:
            seconds = 0.12
        acts.append(Act(f"person {who}", kind, float(seconds), uses))
    return acts


def test_a_reply_costs_what_its_uses_say():
    random = np.random.default_rng(0)
    for kind in KIND_NAMES:
        for _ in range(20):
            truth, known = random.random(8) < 0.3, np.zeros(8, dtype=bool)
            started = bool(truth.any() and random.integers(2))
            known[np.flatnonzero(truth)[:1]] = started
            labels = tuple(np.flatnonzero(~known).tolist()) if kind != "verify" else (7,)
            present = [label for label in labels if truth[label]]
            if kind == "pick" and started:
                continue
            query = Query(0, labels, kind, tuple(random.permutation(labels)[:2].tolist()))
            picked = present[0] if present else -1
            parts = KINDS[kind].function().reply(TRUE, query, truth, known, picked)
            uses = uses_of(
                kind,
                classes=1 if kind == "pick" else len(labels),
                yes=len(present) if kind != "pick" else int(bool(present)),
                wrong=sum(truth[label] != (label in query.shown) for label in labels),
                started=started,
                seen=True,
            )
            seconds = sum(getattr(TRUE, name) * times for name, times in uses.items())
            assert seconds == pytest.approx(sum(part.seconds for part in parts)), (kind, query, truth)


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    worlds = 40
    held, estimates, paces_held = 0, [], 0
    for seed in range(worlds):
        found = fit_prices(made_acts(seed), draws=150)
        assert all(price.fitted for price in found.prices)
        held += sum(price.low <= getattr(TRUE, price.name) <= price.high for price in found.prices)
        estimates.append([price.seconds for price in found.prices])
        paces_held += sum(p.low <= true <= p.high for p, true in zip(found.paces, (0.7, 1.3), strict=True))
    # 280 intervals at 95 %: 0.90 is four standard errors below
    assert 0.90 <= held / (7 * worlds) <= 1.0
    assert paces_held / (2 * worlds) >= 0.85
    mean = np.mean(estimates, axis=0)
    np.testing.assert_allclose(mean, [getattr(TRUE, name) for name in PRICES], rtol=0.08)


def test_idle_gaps_hardly_move_what_questions_cost():
    acts = made_acts(2, 3000, gaps=0.10, slips=0.02, paces=(1.0,))
    found = fit_prices(acts, draws=20)
    assert found.cut > 250
    for kind in KIND_NAMES:
        here = [act for act in acts if act.kind == kind]

        def total(prices, here=here):
            return sum(getattr(prices, name) * times for act in here for name, times in act.uses.items())

        assert total(Prices(**found.seconds)) == pytest.approx(total(TRUE), rel=0.08), kind
        assert sum(act.seconds for act in here) > 3 * total(TRUE), kind  # what plain means would have said


def test_one_annotator_or_a_few_acts_have_no_pace_of_their_own():
    assert fit_prices(made_acts(2, 400, paces=(1.0,)), draws=20).paces == ()
    assert fit_prices(made_acts(2, 90, paces=(0.5, 2.0)), draws=20).paces == ()


def test_annotators_who_are_alike_are_drawn_together():
    found = fit_prices(made_acts(3, 1500, paces=(1.0,) * 5), draws=20)
    assert len(found.paces) == 5
    assert all(pace.factor == pytest.approx(1.0, abs=0.05) for pace in found.paces)


def test_prices_with_too_little_data_stay_and_say_so():
    acts = [act for act in made_acts(4, 600) if act.kind in ("pick", "verify")]
    found = {price.name: price for price in fit_prices(acts, base=replace(Prices(), glance=0.5), draws=20).prices}
    assert found["pick"].fitted
    assert found["verify"].fitted
    assert not found["glance"].fitted
    assert (found["glance"].seconds, found["glance"].low, found["glance"].note) == (0.5, None, "no act paid it")
    few = fit_prices(acts[:40], least=30, draws=20)
    assert "acts paid it, 30 are needed" in next(price.note for price in few.prices if price.name == "view")


def test_prices_that_are_always_paid_together_are_not_told_apart():
    random = np.random.default_rng(5)
    uses = {"open": 1.0, "glance": 10.0}
    acts = [Act("a", "page", float(5.0 * np.exp(0.3 * random.normal() - 0.045)), uses) for _ in range(300)]
    found = {price.name: price for price in fit_prices(acts, draws=50).prices}
    assert not found["open"].fitted
    assert "cannot be told apart" in found["open"].note
    assert found["open"].seconds + 10 * found["glance"].seconds == pytest.approx(5.0, rel=0.05)


def test_the_same_seed_gives_the_same_fit():
    assert fit_prices(made_acts(6, 300), draws=30, seed=7) == fit_prices(made_acts(6, 300), draws=30, seed=7)


def test_settled_prices_are_rounded_and_usable():
    found = fit_prices(made_acts(6, 300), draws=30)
    assert set(found.seconds) == set(PRICES)
    assert all(float(f"{value:.3g}") == value for value in found.seconds.values())
    assert Prices(**found.seconds).pick == pytest.approx(TRUE.pick, rel=0.3)


numbers = st.floats(0.01, 1e5)


@example(times=[("pick", 72039.0, "a"), ("pick", 0.015625, "a")], seed=0)
@given(
    times=st.lists(st.tuples(st.sampled_from(KIND_NAMES), numbers, st.sampled_from("ab")), min_size=1, max_size=80),
    seed=st.integers(0, 1000),
)
def test_any_times_give_prices_that_can_be_used(times, seed):
    random = np.random.default_rng(seed)
    acts = [Act(who, kind, seconds, drawn_uses(random, kind)) for kind, seconds, who in times]
    found = fit_prices(acts, least=5, draws=10)
    for price in found.prices:
        assert np.isfinite(price.seconds)
        assert price.seconds >= 0
        assert (price.low is None) == bool(price.note)
        if price.low is not None:
            assert price.low <= price.high
    assert 0 <= found.cut <= found.acts == len(acts)


@settings(max_examples=10)
@given(scale=st.floats(0.1, 10.0))
def test_twice_the_times_are_twice_the_prices(scale):
    acts = made_acts(8, 250, paces=(1.0,))
    one = fit_prices(acts, draws=10)
    other = fit_prices([act._replace(seconds=act.seconds * scale) for act in acts], draws=10)
    for a, b in zip(one.prices, other.prices, strict=True):
        assert b.seconds == pytest.approx(a.seconds * scale, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("acts", "options", "error", "message"),
    [
        ([], {}, DataError, "there is no measured act"),
        ([Act("a", "pick", 0.0, {"pick": 1.0})], {}, DataError, "without a duration"),
        ([Act("a", "pick", 1.0, {"pick": 1.0})], {"least": 1}, SettingError, "least 1"),
        ([Act("a", "pick", 1.0, {"pick": 1.0})], {"level": 1.0}, SettingError, "level 1.0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(acts, options, error, message):
    with pytest.raises(error, match=message):
        fit_prices(acts, **options)


def test_an_unknown_kind_has_no_price():
    with pytest.raises(SettingError, match="there is no price for questions of kind 'guess'"):
        uses_of("guess", classes=1, yes=1, wrong=0, started=False, seen=False)
