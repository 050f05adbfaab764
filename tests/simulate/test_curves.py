"""Statistics of cost curves against slow, plain recomputation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spml_annotate.simulate.curves import area, curves, interval, summarize

NAN = float("nan")


def row(strategy, seed, hours, value, known=0.5, loss="an"):
    return {"loss": loss, "strategy": strategy, "seed": seed, "hours": hours, "map": value, "known_share": known}


def lane(strategy, seed, hours, values, loss="an"):
    last = len(hours) - 1
    return [
        row(strategy, seed, h, v, 1.0 if i == last else 0.5, loss)
        for i, (h, v) in enumerate(zip(hours, values, strict=True))
    ]


def plain(hours, values, at):
    """Linear in log hours, flat beyond the ends, one point at a time."""
    if at <= hours[0]:
        return values[0]
    for (h0, v0), (h1, v1) in zip(
        zip(hours, values, strict=True), zip(hours[1:], values[1:], strict=False), strict=False
    ):
        if at <= h1:
            return v0 + (v1 - v0) * (math.log(at) - math.log(h0)) / (math.log(h1) - math.log(h0))
    return values[-1]


def plain_area(hours, values, start, end, steps=20_000):
    middles = [math.exp(math.log(start) + (i + 0.5) / steps * math.log(end / start)) for i in range(steps)]
    return float(np.mean([plain(hours, values, at) for at in middles]))


def measured(seed, points=5):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.random(points) + 0.05).tolist(), rng.random(points).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_the_mean_over_log_hours(seed):
    hours, values = measured(seed)
    (curve,) = curves(lane("a", 0, hours, values))
    for start, end in ((hours[0], hours[-1]), (hours[0] / 3, hours[-1] * 2), (hours[1] * 1.01, hours[2] * 1.5)):
        assert area(curve, start, end) == pytest.approx(plain_area(hours, values, start, end), abs=2e-4)
    assert area(curve, hours[2], hours[2]) == pytest.approx(values[2])


@given(st.integers(0, 1000), st.floats(0, 1))
def test_hours_to_a_value_are_where_the_curve_first_has_it(seed, value):
    hours, values = measured(seed)
    (curve,) = curves(lane("a", 0, hours, values))
    reached = curve.reaches(value)
    if max(values) < value:
        assert math.isnan(reached)
    else:
        assert plain(hours, values, reached) == pytest.approx(max(value, values[0]), abs=1e-9)
        before = np.geomspace(hours[0], reached, 50, endpoint=False)
        assert all(plain(hours, values, at) < value for at in before if at < reached * (1 - 1e-9))


@pytest.mark.parametrize("count", [2, 3, 8, 31, 32, 200])
def test_the_interval_is_students(count):
    values = np.random.default_rng(count).normal(size=count)
    mean, half = interval(values.tolist())
    assert mean == pytest.approx(values.mean())
    assert half == pytest.approx(stats.t.ppf(0.975, count - 1) * stats.sem(values), rel=2e-3)


def test_one_value_has_no_interval():
    assert interval([0.5])[0] == 0.5
    assert math.isnan(interval([0.5])[1])
    assert all(math.isnan(number) for number in interval([]))


def test_the_gain_is_paired_by_seed_and_measured_over_the_same_hours():
    base = {0: [0.1, 0.2, 0.6], 1: [0.3, 0.4, 0.6]}
    other = {1: [0.5, 0.6, 0.6], 0: [0.2, 0.4, 0.6]}  # seeds in another order
    rows = [r for seed, v in base.items() for r in lane("full", seed, [0.9, 2.0, 9.0], v)]
    rows += [r for seed, v in other.items() for r in lane("b", seed, [1.0, 2.0, 5.0], v)]
    entries = {e["strategy"]: e for e in summarize(rows, "full")}
    assert entries["b"]["hours"] == [1.0, 9.0]
    gains = [
        plain_area([1.0, 2.0, 5.0], other[s], 1.0, 9.0) - plain_area([0.9, 2.0, 9.0], base[s], 1.0, 9.0) for s in (0, 1)
    ]
    assert entries["b"]["aubc_gain_over_baseline"] == pytest.approx(np.mean(gains), abs=2e-4)
    half = stats.t.ppf(0.975, 1) * abs(gains[0] - gains[1]) / 2
    assert entries["b"]["aubc_gain_half_width_95"] == pytest.approx(half, abs=5e-3)
    assert entries["full"]["aubc_gain_over_baseline"] == 0.0
    assert entries["b"]["map_start"] == pytest.approx(0.35)
    assert entries["b"]["map_full"] == pytest.approx(0.6)
    assert (entries["b"]["hours_to_everything"], entries["full"]["hours_to_everything"]) == (5.0, 9.0)
    # The mean curve of b is 0.35, 0.5, 0.6 at 1, 2, 5 hours; 90 % of 0.6 is 0.54.
    share = 0.4
    assert entries["b"]["hours_to_90%"] == pytest.approx(2.0 * 2.5**share)
    assert entries["b"]["seeds"] == 2


def test_losses_are_summarised_apart():
    rows = lane("full", 0, [1.0, 2.0], [0.1, 0.4]) + lane("full", 0, [1.0, 2.0], [0.1, 0.8], loss="en")
    assert [(e["loss"], e["map_full"]) for e in summarize(rows, "full")] == [("an", 0.4), ("en", 0.8)]


def test_rounds_without_a_model_are_left_out():
    rows = lane("full", 0, [1.0, 2.0, 4.0], [0.1, 0.2, 0.3]) + lane("b", 0, [1.0, 2.0, 4.0], [NAN, 0.2, 0.3])
    found = {c.strategy: c for c in curves(rows)}
    assert found["b"].hours.tolist() == [2.0, 4.0]
    entry = {e["strategy"]: e for e in summarize(rows, "full")}["b"]
    assert entry["hours"] == [2.0, 4.0]  # where all lanes have a model
    assert entry["aubc_gain_over_baseline"] == pytest.approx(0.0)


def test_a_lane_without_any_model_or_without_everything_known_is_no_warning():
    rows = lane("full", 0, [1.0, 2.0], [0.1, 0.3]) + lane("b", 0, [1.0, 2.0], [NAN, NAN])
    rows += [row("c", 0, 1.0, 0.2), row("c", 0, 2.0, 0.3)]
    entries = {e["strategy"]: e for e in summarize(rows, "full")}
    assert set(entries) == {"full", "c"}
    assert math.isnan(entries["c"]["hours_to_everything"])
    assert summarize([row("full", 0, 1.0, NAN)], "full") == []


def test_of_rounds_at_the_same_hours_the_last_counts():
    rows = [row("full", 0, 1.0, 0.1), row("full", 0, 2.0, 0.2), row("full", 0, 2.0, 0.3, 1.0)]
    (curve,) = curves(rows)
    assert (curve.hours.tolist(), curve.map.tolist(), curve.known_share[-1]) == ([1.0, 2.0], [0.1, 0.3], 1.0)
