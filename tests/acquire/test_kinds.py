"""Kinds of question: with a belief that is right, the expected seconds are those of a truthful answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.acquire import KINDS, Prices, Query, strategy
from spml_annotate.errors import SettingError

PRICES = Prices(pick=5.5, another=3.25, verify=1.75, view=0.5, open=1.25, glance=0.25, fix=2.5)
BUILT = {
    "pick": KINDS["pick"].function(),
    "list": KINDS["list"].function(),
    "page": KINDS["page"].function(size=3),
    "blind": KINDS["exhaust"].function(),
    "prefilled": KINDS["exhaust"].function(prefilled=True),
}


@pytest.mark.parametrize("name", list(BUILT))
@given(seed=st.integers(0, 1000))
def test_with_the_truth_believed_answers_cost_what_was_expected(name, seed):
    rng = np.random.default_rng(seed)
    kind = BUILT[name]
    truth = rng.random((12, 6)) < 0.4
    truth[np.arange(12), rng.integers(0, 6, 12)] = True
    known = (rng.random((12, 6)) < 0.3) & (rng.random(12) < 0.5)[:, None]
    started = (known & truth).any(axis=1)
    asked = kind.select(rng.random((12, 6)), ~known)
    expected = kind.expect(PRICES, truth.astype(np.float64), asked, started)
    for row in np.flatnonzero(asked.any(axis=1)):
        if name == "list" and not started[row] and not (truth & asked)[row].any():
            continue  # a list expects at least one class of a new image
        labels = tuple(np.flatnonzero(asked[row]).tolist())
        shown = tuple(np.flatnonzero(asked[row] & truth[row]).tolist()) if kind.prefilled else ()
        picked = int(rng.choice(np.flatnonzero(truth[row])))
        parts = kind.reply(PRICES, Query(int(row), labels, name, shown), truth[row], (known & truth)[row], picked)
        assert sum(part.seconds for part in parts) == pytest.approx(expected[row])
        answered = dict(cell for part in parts for cell in part.cells)
        assert all(truth[row, label] == present for label, present in answered.items())
        assert set(answered) == ({picked} if name == "pick" else set(labels))


def test_finding_nothing_on_a_new_image_takes_as_long_as_finding_one_class():
    nothing = np.zeros(4, dtype=bool)
    for name in ("pick", "list"):
        parts = BUILT[name].reply(PRICES, Query(0, (0, 1, 2, 3), name), nothing, nothing, -1)
        assert [part.seconds for part in parts] == [PRICES.pick]
    seen = np.array([True, False, False, False])
    parts = BUILT["list"].reply(PRICES, Query(0, (1, 2, 3), "list"), seen, seen, 0)
    assert [part.seconds for part in parts] == [PRICES.another]


def test_a_list_on_a_new_image_expects_one_class_and_no_more_at_least():
    asked, new, started = np.ones((2, 4), dtype=bool), np.zeros(2, dtype=bool), np.ones(2, dtype=bool)
    belief = np.array([[0.0, 0.0, 0.0, 0.1], [1.0, 1.0, 0.5, 0.0]])
    assert BUILT["list"].expect(PRICES, belief, asked, new).tolist() == [5.5 + 3.25, 5.5 + 3.25 * 2.5]
    assert BUILT["list"].expect(PRICES, belief, asked, started).tolist() == [3.25 * 1.1, 3.25 * 3.5]


def test_only_images_of_which_nothing_is_known_are_picked_from():
    unknown = np.array([[True, True], [True, False]])
    assert BUILT["pick"].select(np.zeros((2, 2)), unknown).tolist() == [[True, True], [False, False]]


@given(seed=st.integers(0, 1000))
def test_a_page_holds_the_worthiest_open_classes(seed):
    rng = np.random.default_rng(seed)
    worth, unknown = rng.random((5, 7)), rng.random((5, 7)) < 0.6
    asked = BUILT["page"].select(worth, unknown)
    for row in range(5):
        best = sorted(np.flatnonzero(unknown[row]), key=lambda label: -worth[row, label])[:3]
        assert sorted(best) == np.flatnonzero(asked[row]).tolist()


@pytest.mark.parametrize("size", [0, -1])
def test_a_page_without_classes_is_refused(size):
    with pytest.raises(SettingError, match=f"page.size is {size}"):
        strategy("expected-positives:page", {"page": {"size": size}})
