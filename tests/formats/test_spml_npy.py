"""The NumPy files of SPML research: ours as that code reads them, theirs as we read them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from strategies_formats import tables

from spml_annotate.errors import DataError, MismatchError, SettingError, SpmlError
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import clean_id
from spml_annotate.formats.spml_npy import load_spml_npy, save_spml_npy
from spml_annotate.taxonomy import Taxonomy

FULL = np.array([[1, 0, 1], [0, 1, 0]], dtype=np.float64)
SEEN = np.array([[1, 0, 0], [0, 1, -1]], dtype=np.float64)


def theirs(folder, phase="train", *, images=("train2014/COCO_train2014_000000000009.jpg", "b.jpg"), **arrays):
    """Files as the preparation scripts of that code write them."""
    np.save(folder / f"formatted_{phase}_images.npy", np.array(images))
    for part, array in arrays.items():
        np.save(folder / f"formatted_{phase}_{part}.npy", array)
    return folder


def test_their_codes_become_ours(tmp_path):
    theirs(tmp_path, labels=FULL, labels_obs=SEEN)
    theirs(tmp_path, "val", images=("c.jpg",), labels=FULL[:1], labels_obs=FULL[:1])
    found = load_spml_npy(tmp_path)
    assert found.truth.tolist() == [[1, -1, -1], [-1, 1, 0], [1, -1, 1]]
    assert found.image_ids == ("train2014/COCO_train2014_000000000009.jpg", "b.jpg", "c.jpg")
    assert found.split.tolist() == [0, 0, 2]
    assert found.taxonomy.names == ("class 0", "class 1", "class 2")
    assert load_spml_npy(tmp_path, use="full").truth.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert load_spml_npy(tmp_path, classes=["a", "b", "c"]).taxonomy.names == ("a", "b", "c")


def test_one_file_is_enough_and_integers_will_do(tmp_path):
    theirs(tmp_path, labels=FULL.astype(np.int8))
    assert load_spml_npy(tmp_path).truth.tolist() == [[1, 0, 1], [0, 1, 0]]
    theirs(tmp_path, labels_obs=SEEN.astype(np.float32))
    assert load_spml_npy(tmp_path).truth.tolist() == [[1, -1, -1], [-1, 1, 0]]


def test_observed_labels_with_a_bias(tmp_path):
    theirs(tmp_path, labels=FULL, uniform_labels_obs=SEEN)
    assert load_spml_npy(tmp_path).truth.tolist() == [[1, -1, -1], [-1, 1, 0]]
    theirs(tmp_path, size_labels_obs=-SEEN)
    with pytest.raises(DataError, match="several observed labels of 'train'; choose a bias: size, uniform"):
        load_spml_npy(tmp_path)
    assert load_spml_npy(tmp_path, bias="size").truth.tolist() == [[0, -1, -1], [-1, 0, 1]]


def test_pictures(tmp_path):
    theirs(tmp_path, images=("x/a.png", "x\\b.png"), labels=FULL)
    (tmp_path / "x").mkdir()
    for name in "ab":
        Image.new("RGB", (7, 5)).save(tmp_path / "x" / f"{name}.png")
    assert load_spml_npy(tmp_path, root=tmp_path).pictures.read(1).size == (7, 5)


@settings(deadline=None)
@given(tables())
def test_round_trip(drawn):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        if any(clean_id(name) != name for name in drawn.image_ids):
            with pytest.raises(DataError, match="would be read back as"):
                save_spml_npy(path, drawn)
            return
        save_spml_npy(path, drawn)
        found = load_spml_npy(path)
    order = [drawn.image_ids.index(name) for name in found.image_ids]
    assert sorted(order) == list(range(len(drawn.image_ids)))
    assert order == sorted(order, key=lambda row: (drawn.split[row] == 2, row)), "the order within a phase is kept"
    assert found.taxonomy.names == drawn.taxonomy.names
    assert found.truth.tolist() == drawn.matrix().dense(np.array(order, dtype=np.int64)).tolist()
    assert found.split.tolist() == drawn.split[order].tolist()


def test_the_files_are_what_that_code_expects(tmp_path):
    """It loads without options, indexes rows, asks for 0/1 and -1/0/1, and joins file names to a folder."""
    table = LabelTable.of(
        Taxonomy(("cat", "dog")), ["a.jpg", "é/b.jpg", "c.jpg"], [0, 1, 2], [0, 0, 1, 2], [0, 1, 1, 0], [1, 0, 1, 0]
    )
    save_spml_npy(tmp_path / "data", table)
    data = {
        phase: {
            part: np.load(tmp_path / "data" / f"formatted_{phase}_{part}.npy")
            for part in ("labels", "labels_obs", "images")
        }
        for phase in ("train", "val")
    }
    train, test = data["train"], data["val"]
    assert train["labels"].tolist() == [[1, 0], [0, 1]]
    assert train["labels"].dtype == train["labels_obs"].dtype == np.float64
    assert set(np.unique(train["labels"])) == {0, 1}
    assert train["labels_obs"][np.array([0, 1]), :].tolist() == [[1, -1], [0, 1]]
    assert test["labels_obs"].tolist() == [[-1, 0]]
    assert [str(Path("images") / name) for name in train["images"]] == ["images/a.jpg", "images/é/b.jpg"]


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"labels": FULL * 2}, DataError, r"labels\.npy: \[0, 0\] is 2\.0; the codes are 1 positive, 0 negative"),
        ({"labels": -FULL}, DataError, r"\[0, 0\] is -1\.0; the codes are 1 positive, 0 negative"),
        ({"labels_obs": SEEN + 0.5}, DataError, r"labels_obs\.npy: \[0, 0\] is 1\.5; .* 0 unknown, -1 negative"),
        ({"labels": FULL * np.nan}, DataError, r"\[0, 0\] is nan"),
        ({"labels": FULL[0]}, DataError, r"this is float64 \[3\], not a matrix"),
        ({"labels": FULL.astype(str)}, DataError, "not a matrix of codes"),
        ({"labels": FULL[:1]}, MismatchError, r"1 rows, but formatted_train_images\.npy has 2 images"),
        ({"labels": FULL, "split": np.array([0, 3])}, DataError, "a split is not 0"),
        ({"images": [1, 2], "labels": FULL}, DataError, "not a list of file names"),
        ({"images": ("a", ""), "labels": FULL}, DataError, "image name is empty"),
        ({"images": ("a", "a"), "labels": FULL}, DataError, "image id 'a' appears twice"),
        ({}, DataError, r"formatted_train_labels\.npy: there is no such file"),
    ],
)
def test_malformed_files_are_named(tmp_path, arrays, error, message):
    theirs(tmp_path, **arrays)
    with pytest.raises(error, match=message) as caught:
        load_spml_npy(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_such_folder(tmp_path):
    with pytest.raises(DataError, match="no formatted_train_images"):
        load_spml_npy(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        load_spml_npy(tmp_path / "x")
    theirs(tmp_path, labels=FULL)
    with pytest.raises(SettingError, match="choose from auto, observed, full"):
        load_spml_npy(tmp_path, use="obs")
    with pytest.raises(MismatchError, match="3 columns, the class list 1 names"):
        load_spml_npy(tmp_path, classes=["a"])
    with pytest.raises(DataError, match="labels_obs"):
        load_spml_npy(tmp_path, use="observed")
    theirs(tmp_path, "val", labels=FULL[:, :2])
    with pytest.raises(MismatchError, match="2 and 3 classes"):
        load_spml_npy(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(60), b"x" * 99],
)
def test_damaged_files(tmp_path, content):
    theirs(tmp_path, labels=FULL)
    (tmp_path / "formatted_train_labels.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"formatted_train_labels\.npy: this is"):
        load_spml_npy(tmp_path)


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing:UserWarning")
def test_files_with_any_byte_changed_are_refused_or_read(tmp_path):
    save_spml_npy(tmp_path / "out", LabelTable.of(Taxonomy(("cat",)), ["a", "é"], [0, 2], [0], [0], [1]))
    refused = []
    for file in sorted((tmp_path / "out").glob("*.npy")):
        whole = file.read_bytes()
        for place in range(0, len(whole), 2):
            for changed in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
                file.write_bytes(changed)
                try:
                    assert len(load_spml_npy(tmp_path / "out")) <= 2
                except SpmlError as error:
                    refused.append(str(error))
        file.write_bytes(whole)
    assert len(refused) > 300
    assert not any("\n" in message for message in refused)


def test_python_objects_are_not_loaded(tmp_path):
    theirs(tmp_path, labels=FULL)
    np.save(tmp_path / "formatted_train_labels.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="these are Python objects, which are not opened"):
        load_spml_npy(tmp_path)
