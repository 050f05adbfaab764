"""The built-in data: same seed same bytes, disjoint digits, boxes that match the truth, skewed classes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spml_annotate.datasets.scene_drawing import COLOURS
from spml_annotate.datasets.scenes import (
    POOLS,
    class_names,
    class_weights,
    digit_pools,
    draw_scenes,
    load_scenes,
    write_scenes,
)
from spml_annotate.embed.pictures import FilePictures
from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION
from spml_annotate.labels import LabelKind


@pytest.fixture(scope="module")
def small():
    return load_scenes(train=120, validation=30, test=60)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_same_seed_same_bytes(seed):
    first, second = (load_scenes(seed=seed, train=3, validation=1, test=2) for _ in range(2))
    assert first.pictures.array.tobytes() == second.pictures.array.tobytes()
    assert first.labels == second.labels
    assert first.boxes.corners.tobytes() == second.boxes.corners.tobytes()


def test_another_seed_draws_other_pictures(small):
    other = load_scenes(seed=1, train=120, validation=30, test=60)
    assert not (other.pictures.array == small.pictures.array).all((1, 2, 3)).any()


def test_first_pictures_do_not_depend_on_how_many_follow(small):
    fewer = load_scenes(train=10, validation=0, test=5)
    assert np.array_equal(fewer.pictures.array[:10], small.pictures.array[:10])
    assert np.array_equal(fewer.pictures.array[10:], small.pictures.array[150:155])
    assert np.array_equal(fewer.truth[10:], small.truth[150:155])


def test_pools_are_disjoint_and_hold_every_digit():
    pools = digit_pools()
    assert tuple(pools) == POOLS
    for one, other in itertools.combinations(POOLS, 2):
        assert not set(np.concatenate(pools[one])) & set(np.concatenate(pools[other]))
    assert sorted(np.concatenate([part for parts in pools.values() for part in parts])) == list(range(1797))
    assert min(len(part) for parts in pools.values() for part in parts) >= 15


def test_pools_hold_the_digit_they_say():
    from sklearn.datasets import load_digits

    target = load_digits().target
    for parts in digit_pools().values():
        for digit, images in enumerate(parts):
            assert (target[images] == digit).all()


def test_truth_is_complete_and_boxes_match_it(small):
    assert small.labels.kind() is LabelKind.FAL
    drawn = np.zeros_like(small.truth)
    drawn[small.boxes.rows, small.boxes.labels] = 1
    assert np.array_equal(drawn, small.truth)
    left, top, right, bottom = small.boxes.corners.T
    assert small.boxes.corners.dtype == np.float32
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 1).all()
    assert (bottom <= 1).all()
    assert (right > left).all()
    assert (bottom > top).all()


def test_box_of_the_topmost_object_holds_its_colour():
    """The last object drawn is covered by nothing: within its box the brightest pixels have its colour."""
    near = 0
    scenes = list(draw_scenes("train", 60))
    for scene in scenes:
        left, top, right, bottom = scene.corners[-1].astype(int)
        inside = scene.picture[top:bottom, left:right].reshape(-1, 3).astype(float)
        colours = np.array(list(COLOURS.values()), dtype=float)
        wanted = scene.labels[-1] % len(COLOURS)
        angles = inside @ colours.T / (np.linalg.norm(inside, axis=1)[:, None] * np.linalg.norm(colours, axis=1) + 1e-9)
        bright = inside.sum(1) >= np.quantile(inside.sum(1), 0.8)
        near += wanted == np.bincount(angles[bright].argmax(1), minlength=len(COLOURS)).argmax()
    assert near >= 0.75 * len(scenes)  # chance would be one in eight


def test_about_three_objects_at_least_one(small):
    objects = np.bincount(small.boxes.rows, minlength=len(small))
    assert objects.min() >= 1
    assert objects.max() <= 6
    assert set(range(1, 6)) <= set(objects)
    assert 2.6 <= objects.mean() <= 3.4


def test_sizes_and_overlaps_vary(small):
    corners = small.boxes.corners
    height = corners[:, 3] - corners[:, 1]
    assert height.max() > 2 * height.min()
    rows = small.boxes.rows
    overlapping = 0
    for a, b in itertools.combinations(range(len(rows)), 2):
        if rows[a] == rows[b]:
            low, high = np.maximum(corners[a, :2], corners[b, :2]), np.minimum(corners[a, 2:], corners[b, 2:])
            overlapping += bool((low < high).all())
    assert overlapping >= 10


def test_classes_are_skewed_and_named():
    weights = class_weights()
    assert weights.sum() == pytest.approx(1.0)
    assert weights.max() > 8 * weights.min()
    assert np.median(weights) > 1.3 * weights.min()
    assert len(set(class_names())) == 80
    assert "red 3" in class_names()


@pytest.mark.slow
def test_every_class_of_the_default_set_has_positives_everywhere():
    scenes = load_scenes()
    assert len(scenes) == 2600
    for split, least in ((TRAIN, 10), (VALIDATION, 1), (TEST, 5)):
        assert (scenes.truth[scenes.rows(split)] == 1).sum(0).min() >= least


def test_written_and_read_back_equal(small, tmp_path):
    some = load_scenes(train=4, validation=2, test=3)
    root = write_scenes(tmp_path, some)
    read = FilePictures([root / image_id for image_id in some.image_ids])
    for row in range(len(some)):
        assert np.array_equal(np.asarray(read.read(row)), some.pictures.array[row])
    header, *lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert header == "image,label,value,split"
    cells = [line.split(",") for line in lines]
    truth = np.zeros_like(some.truth)
    for image, label, value, split in cells:
        assert image.startswith(f"{split}/")
        truth[some.image_ids.index(image), some.taxonomy.column(label)] = int(value)
    assert np.array_equal(truth, some.truth)
    assert tuple((tmp_path / "classes.txt").read_text().splitlines()) == class_names()


def test_nothing_to_write_without_pictures(small, tmp_path):
    from dataclasses import replace

    with pytest.raises(DataError, match="no pictures to write"):
        write_scenes(tmp_path, replace(small, pictures=None))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed -1"),
        ({"train": -5}, "-5 train pictures"),
        ({"size": 20}, "too small"),
        ({"train": 0, "validation": 0, "test": 0}, "no pictures asked for"),
    ],
)
def test_bad_settings(wrong, message):
    with pytest.raises(SettingError, match=message):
        load_scenes(**wrong)
