"""Which one positive is picked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spml_annotate.datasets import single
from spml_annotate.datasets.single import BIASES, single_positives
from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.dataset import Boxes


def some_truth(seed, rows=40, classes=7):
    random = np.random.default_rng(seed)
    return random.choice(np.array([1, 0, -1], dtype=np.int8), (rows, classes), p=[0.3, 0.5, 0.2])


def some_boxes(truth, seed):
    random = np.random.default_rng(seed)
    rows, labels = np.nonzero(truth == 1)
    order = random.permutation(len(rows))
    corners = np.sort(random.uniform(0, 1, (len(rows), 2, 2)), axis=1).reshape(len(rows), 4).astype(np.float32)
    return Boxes(rows[order], labels[order], corners[order])


def boxes(*items):
    rows, labels, corners = zip(*items, strict=True)
    return Boxes(np.array(rows), np.array(labels), np.array(corners, dtype=np.float32))


@settings(deadline=None)
@given(st.integers(-(2**70), 2**70), st.sampled_from(BIASES), st.integers(0, 99))
def test_a_pick_is_a_positive_and_depends_on_seed_and_row_only(seed, bias, draw):
    truth = some_truth(draw)
    found = some_boxes(truth, draw)
    every = np.arange(len(truth))
    picks = single_positives(truth, every, seed=seed, bias=bias, boxes=found)
    has = (truth == 1).any(1)
    assert (picks[~has] == -1).all()
    assert (truth[every[has], picks[has]] == 1).all()
    order = np.random.default_rng(draw).permutation(len(truth))[:17]
    assert np.array_equal(single_positives(truth, order, seed=seed, bias=bias, boxes=found), picks[order])
    assert single_positives(truth, [3], seed=seed, bias=bias, boxes=found)[0] == picks[3]


@pytest.mark.parametrize("bias", BIASES)
def test_blocks_do_not_change_the_picks(monkeypatch, bias):
    truth = some_truth(5)
    arguments = {"seed": 3, "bias": bias, "boxes": some_boxes(truth, 5)}
    whole = single_positives(truth, np.arange(40), **arguments)
    monkeypatch.setattr(single, "_BLOCK", 7)
    assert np.array_equal(single_positives(truth, np.arange(40), **arguments), whole)


def test_seeds_differ():
    truth = np.ones((200, 5), dtype=np.int8)
    one, two = (single_positives(truth, np.arange(200), seed=seed) for seed in (0, 1))
    assert 100 < (one != two).sum() < 200


def shares(truth, bias, found=None, rows=20_000):
    picks = single_positives(np.repeat(truth, rows, 0), np.arange(rows), seed=0, bias=bias, boxes=found)
    return np.bincount(picks, minlength=truth.shape[1]) / rows


def test_uniform_shares():
    assert shares(np.array([[1, 0, 1, -1, 1]], dtype=np.int8), "uniform") == pytest.approx(
        [1 / 3, 0, 1 / 3, 0, 1 / 3], abs=0.02
    )


def repeated(rows, *items):
    return boxes(*((row, *item) for row in range(rows) for item in items))


def test_size_shares():
    found = repeated(20_000, (0, (0, 0, 0.5, 0.5)), (2, (0, 0, 0.5, 0.25)), (2, (0.5, 0.5, 1, 1.0)), (1, (0, 0, 1, 1)))
    expected = [0.25 / 0.625, 0, 0.375 / 0.625]
    assert shares(np.array([[1, 0, 1]], dtype=np.int8), "size", found) == pytest.approx(expected, abs=0.02)


def test_location_shares():
    near, far, middle = (0.5, 0.6, 0.5, 0.8), (0.0, 0.5, 0.2, 0.5), (0.4, 0.4, 0.6, 0.6)
    found = repeated(20_000, (0, near), (0, near), (1, far))
    weights = np.array([2 / 0.2, 1 / 0.4])
    assert shares(np.array([[1, 1]], dtype=np.int8), "location", found) == pytest.approx(
        weights / weights.sum(), abs=0.02
    )
    centred = repeated(20_000, (0, near), (1, middle))
    weights = np.array([1 / 0.2, 1 / 0.0005])
    assert shares(np.array([[1, 1]], dtype=np.int8), "location", centred) == pytest.approx(
        weights / weights.sum(), abs=0.01
    )


def test_frequency_shares():
    truth = np.zeros((20_000, 3), dtype=np.int8)
    truth[:, 0] = 1
    truth[:5000, 2] = 1
    picks = single_positives(truth, np.arange(5000), seed=0, bias="frequency")
    assert np.bincount(picks, minlength=3) / 5000 == pytest.approx([0.8, 0, 0.2], abs=0.03)


def test_positives_without_boxes():
    truth = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=np.int8)
    found = boxes((0, 1, (0, 0, 0.1, 0.1)))
    picks = np.array([single_positives(truth, [0, 1, 2], seed=seed, bias="size", boxes=found) for seed in range(60)])
    assert set(picks[:, 0]) == {1}
    assert set(picks[:, 1]) == {0, 1}
    assert set(picks[:, 2]) == {-1}


def test_errors():
    truth = np.ones((1, 2), dtype=np.int8)
    with pytest.raises(SettingError, match="there is no label bias 'colour'; choose from: uniform"):
        single_positives(truth, [0], seed=0, bias="colour")
    for bias in ("size", "location"):
        with pytest.raises(DataError, match="needs the objects' boxes"):
            single_positives(truth, [0], seed=0, bias=bias)


def test_no_rows():
    truth = np.ones((1, 2), dtype=np.int8)
    assert single_positives(truth, [], seed=0).shape == (0,)
