"""Extraction: order, faults, blocks, resuming; and the real pretrained network on real photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spml_annotate.datasets.scenes import load_scenes
from spml_annotate.embed.backbones import load_backbone
from spml_annotate.embed.images import embed_pictures, extract
from spml_annotate.embed.pictures import FilePictures
from spml_annotate.errors import SettingError
from spml_annotate.stores.features import FeatureStore

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("builtin", "none", device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return load_scenes(train=20, validation=0, test=0).pictures


def together(blocks):
    return np.concatenate([block.features for block in blocks])


def test_rows_keep_their_order_and_blocks_their_size(backbone, pictures):
    wanted = np.array([7, 3, 3, 19, 0])
    blocks = list(extract(backbone, pictures, wanted, batch_size=2))
    assert [block.rows.tolist() for block in blocks] == [[7, 3], [3, 19], [0]]
    every = together(extract(backbone, pictures))
    np.testing.assert_allclose(together(blocks), every[wanted], rtol=1e-4, atol=1e-5)
    assert every.dtype == np.float32
    assert every.shape == (20, backbone.features_dim)


def test_same_pictures_same_bytes(backbone, pictures):
    first, second = (together(extract(backbone, pictures, batch_size=8)).tobytes() for _ in range(2))
    assert first == second


def test_nothing_to_do_gives_nothing(backbone, pictures):
    assert list(extract(backbone, pictures, [])) == []


@pytest.fixture
def folder(tmp_path, pictures):
    paths = [tmp_path / f"{row}.png" for row in range(10)]
    for row, path in enumerate(paths):
        pictures.read(row).save(path)
    paths[4].write_bytes(b"broken")
    paths[7].unlink()
    return paths


def test_unreadable_pictures_are_zero_rows_and_reported(backbone, pictures, folder):
    blocks = list(extract(backbone, FilePictures(folder), batch_size=4))
    features = together(blocks)
    faults = dict(fault for block in blocks for fault in block.faults)
    assert sorted(faults) == [4, 7]
    assert "4.png" in faults[4]
    assert "7.png" in faults[7]
    assert not features[[4, 7]].any()
    good = [0, 1, 2, 3, 5, 6, 8, 9]
    expected = together(extract(backbone, pictures, np.arange(10)))
    np.testing.assert_allclose(features[good], expected[good], rtol=1e-4, atol=1e-5)


def test_features_that_are_not_finite_are_a_fault(pictures):
    broken = load_backbone("builtin", "none", device="cpu")
    with torch.no_grad():
        next(broken.network.parameters()).fill_(float("nan"))
    (block,) = extract(broken, pictures, [0, 1])
    assert not block.features.any()
    assert [row for row, _ in block.faults] == [0, 1]


def test_half_precision_is_near_full_precision(backbone, pictures):
    full, half = (together(extract(backbone, pictures, precision=p)) for p in ("float32", "bfloat16"))
    assert np.abs(full - half).max() < 0.05 * np.abs(full).max()
    assert half.dtype == np.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_is_near_cpu(backbone, pictures):
    gpu = load_backbone("builtin", "none", device="cuda")
    full, mixed = together(extract(backbone, pictures)), together(extract(gpu, pictures))
    assert np.abs(full - mixed).max() < 0.02 * np.abs(full).max()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"batch_size": 0}, "--batch-size 0"), ({"precision": "int8"}, "choose from"), ({"precision": "float16"}, "CPU")],
)
def test_bad_settings(backbone, pictures, wrong, message):
    with pytest.raises(SettingError, match=message):
        extract(backbone, pictures, **wrong)


class StoppingPictures:
    """Pictures whose reading is interrupted at a row, as by Ctrl-C."""

    def __init__(self, pictures, stop):
        self.pictures, self.stop = pictures, stop

    def __len__(self):
        return len(self.pictures)

    def read(self, row):
        if row == self.stop:
            raise KeyboardInterrupt
        return self.pictures.read(row)


def prefix(count=None):
    return f"images-{count}"


def test_interrupted_embedding_goes_on_and_ends_with_the_same_bytes(backbone, pictures, tmp_path):
    def writer(folder):
        return FeatureStore(tmp_path / folder).writer(
            "builtin", prefix, len(pictures), backbone.features_dim, backbone=backbone.key
        )

    with writer("whole") as whole:
        embed_pictures(pictures, backbone, whole, batch_size=4)
    with writer("resumed") as half, pytest.raises(KeyboardInterrupt):
        embed_pictures(StoppingPictures(pictures, 13), backbone, half, batch_size=4)
    with writer("resumed") as again:
        assert 8 <= again.done <= 12
        embed_pictures(pictures, backbone, again, batch_size=4)
    whole, resumed = (
        FeatureStore(tmp_path / folder).read("builtin", prefix, backbone=backbone.key)
        for folder in ("whole", "resumed")
    )
    assert whole.shape == (20, backbone.features_dim)
    assert whole.tobytes() == resumed.tobytes()
    assert whole.any(1).all()


def test_faults_are_flagged_before_their_block_is_written(backbone, folder):
    events = []

    class Writer:
        done = 0

        def write(self, start_row, block):
            events.append(("write", start_row, len(block)))

        def commit(self):
            events.append(("commit",))

    faults = embed_pictures(
        FilePictures(folder), backbone, Writer(), batch_size=5, flag=lambda row, _: events.append(("flag", row))
    )
    assert [row for row, _ in faults] == [4, 7]
    assert events == [("flag", 4), ("write", 0, 5), ("flag", 7), ("write", 5, 5), ("commit",)]


def test_real_weights_on_real_photographs_agree_with_stored_features():
    weights = SHARED / "weights" / "mobilenet_v2_tf2ptq.safetensors"
    if not weights.exists():
        pytest.skip(f"needs the shared data folder: {weights.name} is not there")
    stored = np.load(SHARED / "features" / "coco525.npz")
    rows = np.arange(0, 520, 65)
    paths = [SHARED / "images" / "coco525" / f"{stored['image_ids'][row]}.jpg" for row in rows]
    network = load_backbone("mobilenet_v2", weights, mean=0.5, std=0.5, size=289, device="cpu")
    blocks = list(extract(network, FilePictures(paths), batch_size=8))
    ours, theirs = together(blocks), stored["features"][rows].astype(np.float32)
    assert not any(block.faults for block in blocks)

    def cosine(a, b):
        return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    # The stored ones were made from larger originals; the photographs here have been shrunk.
    own, other = cosine(ours, theirs), cosine(ours, np.roll(theirs, 1, axis=0))
    assert own.mean() > 0.85
    assert own.min() > 0.75
    assert (own > other + 0.1).all()
