"""Which image is worth a label: coverage, the weights of a trained model, and what both bring over random images."""

from pathlib import Path

import numpy as np
import pytest

from spml_annotate.acquire import images
from spml_annotate.acquire.images import image_order, uncertainty

FEATURES = Path(__file__).resolve().parents[3] / "shared" / "data" / "features" / "coco525.npz"


@pytest.fixture
def crowd():
    """300 images of 12 kinds, of which one is as common as all others together; (features, kind)."""
    chance = np.random.default_rng(3)
    kinds = np.where(chance.random(300) < 0.5, 0, chance.integers(12, size=300))
    middles = chance.normal(size=(12, 24))
    return (middles[kinds] + 0.2 * chance.normal(size=(300, 24))).astype(np.float16), kinds


def plain_greedy(features, candidates, labelled, weights, count):
    """The same choice, each gain added up anew."""
    vectors = np.asarray(features, dtype=np.float64) - np.asarray(features, dtype=np.float64).mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = np.maximum(vectors @ vectors.T, 0)
    best = similarity[labelled].max(axis=0) if len(labelled) else np.zeros(len(features))
    chosen = []
    for _ in range(count):
        left = [row for row in candidates if row not in chosen]
        gains = [(np.maximum(similarity[row] - best, 0) * weights).sum() for row in left]
        chosen.append(left[int(np.argmax(gains))])
        best = np.maximum(best, similarity[chosen[-1]])
    return chosen


def test_every_kind_is_seen_before_any_comes_twice(crowd):
    features, kinds = crowd
    order = image_order(features, np.arange(300))
    assert sorted(order) == list(range(300))
    assert len(set(kinds[order[:12]])) == 12
    at_random = [len(set(kinds[np.random.default_rng(seed).permutation(300)[:12]])) for seed in range(20)]
    assert np.mean(at_random) < 8


def test_it_is_the_plain_greedy_choice(crowd):
    features, _ = crowd
    chance = np.random.default_rng(0)
    weights, labelled = chance.random(300), np.array([4, 77])
    candidates = np.setdiff1d(np.arange(0, 300, 2), labelled)
    order = image_order(features, candidates, labelled=labelled, weights=weights)
    assert list(order[:25]) == plain_greedy(features, candidates, labelled, weights, 25)


def test_what_is_like_a_labelled_image_comes_late(crowd):
    features, kinds = crowd
    labelled = np.flatnonzero(np.isin(kinds, range(6)))[::3]
    open_ones = np.setdiff1d(np.arange(300), labelled)
    first = image_order(features, open_ones, labelled=labelled)[:6]
    assert set(kinds[first]) == set(range(6, 12))


def test_what_the_model_is_unsure_of_comes_first(crowd):
    features, kinds = crowd
    scores = np.where(kinds[:, None] == 5, 0.5, 0.01) * np.ones((1, 8))
    weights = uncertainty(scores)
    assert kinds[image_order(features, np.arange(300), weights=weights)[0]] == 5
    assert weights[kinds == 5] == pytest.approx(8 * np.log(2))
    assert (uncertainty(scores, block=7) == weights).all()
    assert np.isfinite(uncertainty(np.array([[0.0, 1.0]], dtype=np.float16))).all()


def test_rows_in_another_order_give_the_same_images(crowd):
    features, _ = crowd
    turned = np.random.default_rng(1).permutation(300)
    order = image_order(features, np.arange(300))
    again = image_order(features[turned], np.arange(300))
    assert (turned[again[:100]] == order[:100]).all()


def test_blocks_change_nothing_and_many_images_are_stood_for_by_some(crowd, monkeypatch):
    features, kinds = crowd
    order = image_order(features, np.arange(300), ordered=40)
    monkeypatch.setattr(images, "BLOCK", 64)
    assert (image_order(features, np.arange(300), ordered=40)[:40] == order[:40]).all()
    monkeypatch.setattr(images, "ANCHORS", 100)
    fewer = image_order(features, np.arange(300), ordered=40)
    assert sorted(fewer) == list(range(300))
    assert len(set(kinds[fewer[:14]])) == 12


def test_nobody_to_ask_and_images_that_are_all_alike():
    alike = np.ones((5, 3), dtype=np.float16)
    assert len(image_order(alike, np.array([], dtype=np.int64))) == 0
    assert sorted(image_order(alike, np.arange(5))) == list(range(5))


@pytest.mark.slow
def test_photographs_more_classes_and_better_heads_than_at_random():
    if not FEATURES.exists():
        pytest.skip(f"{FEATURES.name} is not beside the checkout")
    from spml_annotate.datasets.single import single_positives
    from spml_annotate.training import HeadRun, fit_heads
    from spml_annotate.training.metrics import mean_average_precision

    archive = np.load(FEATURES)
    features, truth, split = archive["features"].astype(np.float16), archive["labels"], archive["split"]
    train, test = np.flatnonzero((split == 0) & (truth == 1).any(axis=1)), np.flatnonzero(split == 2)

    def outcome(rows, seed):
        codes = np.full((len(rows), truth.shape[1]), -1, dtype=np.int8)
        codes[np.arange(len(rows)), single_positives(truth, rows, seed=seed)] = 1
        head = fit_heads(features[rows], codes, [HeadRun("an")], epochs=150, device="cpu").heads[0]
        quality = mean_average_precision(head.predict(features[test]), truth[test]).value
        return (truth[rows] == 1).any(axis=0).sum(), quality

    chosen = train[image_order(features[train], np.arange(len(train)))[:40]]
    seeds = range(8)
    covered, quality = np.mean([outcome(chosen, seed) for seed in seeds], axis=0)
    at_random = [outcome(np.random.default_rng(seed).permutation(train)[:40], seed) for seed in seeds]
    assert covered >= np.mean([there for there, _ in at_random]) + 3  # 59 beside 54 classes
    assert quality >= np.mean([value for _, value in at_random]) + 0.015  # .178 beside .149
