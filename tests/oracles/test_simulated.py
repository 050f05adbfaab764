import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.acquire import KINDS, Prices, Query
from spml_annotate.errors import DataError
from spml_annotate.folding import fold
from spml_annotate.oracles.simulated import SimulatedOracle

TRUTH = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 1, 0]], dtype=np.int8)
PICKS = np.array([2, 3])
EVERYTHING = (0, 1, 2, 3, 4)


def answer(*queries, limit=float("inf")):
    oracle = SimulatedOracle(TRUTH, PICKS)
    oracle.ask(queries)
    return oracle, list(oracle.answers(limit))


def known(observations):
    return {(o.row, o.label): o.answer for o in observations}


def test_pick_names_the_annotators_class_only():
    oracle, seen = answer(Query(0, EVERYTHING, "pick"))
    assert known(seen) == {(0, 2): "yes"}
    assert oracle.seconds == 5.0


def test_list_starts_with_the_pick_and_completes_the_image():
    oracle, seen = answer(Query(0, EVERYTHING, "list"))
    assert [(o.label, o.seconds) for o in seen if o.answer == "yes"] == [(2, 5.0), (0, 3.0)]
    assert {o.label for o in seen if o.answer == "no"} == {1, 3, 4}
    assert oracle.seconds == 5.0 + 3.0 + 3.0 == sum(o.seconds for o in seen)


def test_list_after_a_first_positive_costs_another_each_and_one_no_more():
    oracle, seen = answer(Query(0, EVERYTHING, "pick"), Query(0, (0, 1, 3, 4), "list"))
    assert oracle.seconds == 5.0 + 3.0 + 3.0
    assert len(known(seen)) == 5


def test_no_more_costs_its_seconds_even_when_nothing_is_left_to_exclude():
    oracle, seen = answer(Query(0, (0, 2), "list"))
    assert oracle.seconds == 5.0 + 3.0 + 3.0 == sum(o.seconds for o in seen)


def test_verify_pays_one_view_per_image_in_a_row():
    oracle, _ = answer(Query(0, (0,), "verify"), Query(0, (1,), "verify"), Query(1, (0,), "verify"))
    assert oracle.seconds == pytest.approx(3 * 1.7 + 2 * 1.0)


def test_a_page_costs_its_corrections():
    oracle, seen = answer(Query(0, (0, 1, 2), "page", shown=(0, 1)))  # 1 wrongly ticked, 2 missing
    assert oracle.seconds == pytest.approx(1.0 + 3 * 0.22 + 2 * 2.0)
    assert known(seen) == {(0, 0): "yes", (0, 1): "no", (0, 2): "yes"}
    assert {o.label for o in seen if o.shown} == {0, 1}


def test_a_full_check_costs_a_glance_per_class_and_a_tick_per_positive():
    oracle, seen = answer(Query(0, EVERYTHING, "exhaust"))
    assert oracle.seconds == pytest.approx(Prices().full_check(5, 2))
    assert fold(seen, TRUTH.shape).matrix.dense()[0].tolist() == TRUTH[0].tolist()


def test_when_time_is_over_questions_that_no_longer_fit_are_dropped():
    oracle, seen = answer(Query(0, EVERYTHING, "exhaust"), Query(1, (3,), "verify"), limit=3.0)
    assert known(seen) == {(1, 3): "yes"}
    assert oracle.seconds <= 3.0
    assert oracle.questions == {"verify": 1}
    assert list(oracle.answers()) == []


@given(st.integers(0, 1000), st.sampled_from(["list", "verify", "page", "exhaust"]), st.floats(0, 100))
def test_answers_are_true_and_time_is_kept(seed, kind, limit):
    rng = np.random.default_rng(seed)
    truth = (rng.random((8, 5)) < 0.4).astype(np.int8)
    oracle = SimulatedOracle(truth, np.full(8, -1))
    size = 1 if kind == "verify" else 3
    oracle.ask([Query(row, tuple(sorted(rng.choice(5, size, replace=False).tolist())), kind) for row in range(8)])
    seen = list(oracle.answers(limit))
    assert oracle.seconds <= limit + 1e-9
    assert sum(o.seconds for o in seen) == pytest.approx(oracle.seconds)
    assert all((o.answer == "yes") == bool(truth[o.row, o.label]) for o in seen)
    assert len({o.event for o in seen}) == len(seen)


def test_an_unknown_truth_is_refused():
    with pytest.raises(DataError, match="image 0, class 1 is unknown"):
        SimulatedOracle(np.array([[1, -1]], dtype=np.int8), np.array([0]))


def test_every_kind_can_be_answered():
    for kind in KINDS:
        labels = (1,) if kind == "verify" else EVERYTHING
        assert answer(Query(0, labels, kind))[1]
