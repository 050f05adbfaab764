"""Formats: every bad input gives one line that says what was wrong, where, and what to do."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from spml_annotate.errors import DataError, MismatchError, SpmlError
from spml_annotate.formats.classes import load_classes
from spml_annotate.formats.csv_table import load_csv
from spml_annotate.formats.dataset import TEST, VALIDATION
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.features_npz import load_features, save_features
from spml_annotate.formats.folder import load_folder
from spml_annotate.formats.images import match_rows
from spml_annotate.formats.open_images import load_open_images, save_open_images
from spml_annotate.formats.parquet import load_parquet, save_parquet
from spml_annotate.taxonomy import Taxonomy

CSV = [
    (b"", "the file is empty"),
    (b"\n \n", "the file is empty"),
    (b"image,label\n", "no image below it"),
    (b"image,cat,dog\n", "no image below it"),
    (b"image|label\na.jpg|cat\n", "line 1: columns are separated by '|'; separate columns by commas"),
    (b"image\na.jpg\n", "line 1: there is only one column"),
    (b"image,label\na.jpg,caf\xe9\n", "line 2: this is not UTF-8 text; save the file with the encoding UTF-8"),
    ("image,label\na.jpg,cat\n".encode("utf-16"), "line 1: this is not UTF-8 text"),
    (b'image,label\na.jpg,cat\nb.jpg,"dog\n', "line 3: this is not CSV"),
    (b"image,label\na.jpg,cat,dog\n", "line 2: 3 columns where the header has 2"),
    (b'image,label\n"a\nb.jpg",cat\nc.jpg,cat,dog\n', "line 4: 3 columns where the header has 2"),
    (b"image,label\n,cat\n", "line 2: the image name is empty"),
    (b"image,label\na.jpg,ca\n", "line 2: there is no class 'ca'; did you mean 'cat'?"),
    (b"image,label,value\na.jpg,cat,2\n", "line 2: value '2' is not 1 (positive), 0 (negative) or -1"),
    (b"image,label,value\na.jpg,cat,maybe\n", "line 2: value 'maybe' is not 1"),
    (b"image,label,value\na.jpg,cat,\n", "line 2: value '' is not 1"),
    (b"image,label,value\na.jpg,,1\n", "line 2: there is a value '1' but no label"),
    (b"image,label,value\na.jpg,cat,1\na.jpg,cat,0\n", "line 3: the same image and class have another value on line 2"),
    (b"image,label,split\na.jpg,cat,tran\n", "line 2: 'tran' is not a split; write train, validation or test"),
    (b"image,label,split\na.jpg,cat,\n", "line 2: the split is empty; write train"),
    (b"image,label,split\na.jpg,cat,test\na.jpg,dog,val\n", "line 3: image 'a.jpg' is in validation here and in test"),
    (b"image,cat,dog\na.jpg,1,2\n", "line 2: '2' in column 'dog' is not 1 (positive), 0 (negative), -1 or empty"),
    (b"image,cat,dog\na.jpg,1,yes\n", "line 2: 'yes' in column 'dog' is not 1"),
    (b"a.jpg,cat\nb.jpg,dog\n", "line 2: 'dog' in column 'cat' is not 1 (positive), 0 (negative), -1 or empty"),
    (b"image,cat,dog\na.jpg,1\n", "line 2: 2 columns where the header has 3"),
    (b"image,cat,dog\na.jpg,1,0\na.jpg,0,0\n", "line 3: image 'a.jpg' is on line 2 already"),
    (b"image,cat,dgo\na.jpg,1,0\n", "line 1: there is no class 'dgo'; did you mean 'dog'?"),
    (b"image,cat,cat\na.jpg,1,0\n", "line 1: class 'cat' has two columns"),
    (b"image,cat,split,SPLIT\na.jpg,1,test,test\n", "line 1: two columns are called split"),
]


def one_line(error: pytest.ExceptionInfo[SpmlError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("content", "message"), CSV)
def test_csv(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_csv(path, classes=["cat", "dog"])
    assert message in one_line(error)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image,label\na.jpg, cat\n", "line 2: class ' cat' begins or ends with a space"),
        (b"image,cat,\na.jpg,1,0\n", "line 1: the class name is empty"),
        (b"image,label\na.jpg,\n", "no class is named in the file; give a class list"),
        (b"image,split\na.jpg,test\n", "no class is named in the file"),
    ],
)
def test_csv_without_a_class_list(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_csv(path)
    assert message in one_line(error)


def test_csv_naming_an_image_that_is_not_in_the_folder(tmp_path):
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "a.jpg").write_bytes(b"x")
    path = tmp_path / "labels.csv"
    for name, hint in (
        ("a.jpg", "did you mean 'pets/a.jpg'?"),
        ("pets/../pets/a.jpg", "did you mean"),
        ("q", "check the names"),
    ):
        path.write_text(f"image,label\n{name},cat\n")
        with pytest.raises(DataError) as error:
            load_csv(path, root=tmp_path)
        assert f"image {name!r} is not in the folder" in one_line(error)
        assert hint in str(error.value)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("load", [load_csv, load_features, load_parquet, load_open_images, load_classes])
def test_missing_files(tmp_path, load):
    with pytest.raises(DataError, match="there is no such file; check the path") as error:
        load(tmp_path / "nothing.x")
    assert "nothing.x" in one_line(error)


@pytest.mark.parametrize("load", [load_csv, load_features, load_open_images, load_classes])
def test_a_folder_where_a_file_is_needed(tmp_path, load):
    with pytest.raises(DataError, match="this is a folder, not a file"):
        load(tmp_path)


def good() -> dict[str, np.ndarray]:
    return {
        "features": np.arange(6, dtype=np.float32).reshape(3, 2),
        "labels": np.array([[1, 0], [-1, 1], [0, 0]], dtype=np.int8),
        "label_names": np.array(["cat", "dog"]),
        "split": np.array([0, 1, 2], dtype=np.uint8),
        "image_ids": np.array(["a", "b", "c"]),
    }


NPZ = [
    ({"features": None}, DataError, "there is no array 'features', only labels"),
    ({"labels": None}, DataError, "there is no array 'labels'"),
    ({"features": np.zeros((2, 2))}, MismatchError, "features has 2 rows but labels has 3"),
    ({"features": np.zeros(3)}, DataError, "features has the shape (3,)"),
    ({"features": np.zeros((3, 0))}, DataError, "features has the shape (3, 0)"),
    ({"features": np.array([["x", "y"]] * 3)}, DataError, "features holds <U1, not numbers"),
    ({"features": np.array([[0, 1], [2, np.nan], [0, 0]])}, DataError, "features[1, 1] is nan"),
    ({"features": np.array([[0, 1], [2, 3], [1e300, 0]])}, DataError, "features[2, 0] is 1e+300"),
    ({"labels": np.zeros(3, dtype=np.int8)}, DataError, "labels has the shape (3,)"),
    ({"labels": np.zeros((0, 2), dtype=np.int8)}, DataError, "there must be images and classes"),
    ({"labels": np.array([[1, 0], [2, 1], [0, 0]])}, DataError, "labels[1, 0] is 2; write 1 positive, 0 negative"),
    ({"labels": np.array([[1, 0], [255, 1], [0, 0]], dtype=np.uint8)}, DataError, "labels[1, 0] is 255"),
    ({"labels": np.zeros((3, 2))}, DataError, "labels holds float64, not integers"),
    ({"label_names": np.array(["cat"])}, MismatchError, "label_names has the shape (1,) but labels asks for (2,)"),
    ({"label_names": np.array(["cat", "cat"])}, DataError, "class 'cat' appears twice"),
    ({"label_names": np.array(["cat", ""])}, DataError, "label_names[1] is empty"),
    ({"label_names": np.array([0.5, 1.5])}, DataError, "label_names holds float64, not text"),
    ({"label_names": np.array(["cat", "dog"], dtype=object)}, DataError, "label_names holds Python objects"),
    ({"image_ids": np.array(["a", "b"])}, MismatchError, "image_ids has the shape (2,)"),
    ({"image_ids": np.array(["a", "b", "a"])}, DataError, "image id 'a' appears twice"),
    ({"split": np.array([0, 1])}, MismatchError, "split has the shape (2,)"),
    ({"split": np.array([0, 1, 3])}, DataError, "split[2] is 3; write 0 train, 1 validation, 2 test"),
    ({"split": np.array(["train", "val", "test"])}, DataError, "split[0] is train; write 0 train"),
]


@pytest.mark.parametrize(("change", "kind", "message"), NPZ)
def test_features(tmp_path, change, kind, message):
    arrays = {key: value for key, value in (good() | change).items() if value is not None}
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(kind) as error:
        load_features(path)
    assert message in one_line(error)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_npz_and_a_truncated_one(tmp_path):
    path = tmp_path / "set.npz"
    path.write_text("hello")
    with pytest.raises(DataError, match=r"this is not an \.npz file"):
        load_features(path)
    np.savez(path, **good())
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            load_features(path)


def test_a_features_file_with_any_byte_changed_never_crashes(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **good())
    whole = path.read_bytes()
    for place in range(0, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            load_features(path)
        except SpmlError as error:
            assert str(path) in str(error)  # noqa: PT017  (whether it is refused depends on the byte)


def test_saving_features_that_are_not_there(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,label\na.jpg,cat\n")
    with pytest.raises(DataError, match="no features to save"):
        save_features(tmp_path / "set.npz", load_csv(path))


def test_no_validation_split_where_one_is_needed(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,label,split\na.jpg,cat,train\nb.jpg,cat,test\n")
    dataset = load_csv(path)
    dataset.require_splits(TEST)
    with pytest.raises(DataError, match="the validation split is empty; give at least one image of it"):
        dataset.require_splits(VALIDATION, TEST)


def test_empty_and_missing_folders(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="there is no image in this folder"):
        load_folder(tmp_path, ["cat"])
    with pytest.raises(DataError, match="there is no such folder"):
        load_folder(tmp_path / "nothing", ["cat"])
    with pytest.raises(DataError, match="this is not a folder"):
        load_folder(tmp_path / "notes.txt", ["cat"])
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"there is no class list; put classes\.txt there"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", b"", "the class list is empty"),
        ("classes.txt", b"cat\n\ndog\ncat\n", "line 4: class 'cat' is on line 1 already"),
        ("classes.txt", b"caf\xe9\n", "line 1: this is not UTF-8"),
        ("classes.json", b"[]", "the class list is empty"),
        ("classes.json", b'{"cat": 1}', "expected a JSON list of names"),
        ("classes.json", b'["cat", 1]', "expected a JSON list of names"),
        ("classes.json", b'["cat",\n', "line 2: this is not JSON"),
        ("classes.json", b'["cat", "cat"]', "class 'cat' appears twice"),
        ("classes.json", b'["cat", ""]', "class name is empty"),
        ("classes.json", b'["\\ud800"]', "is not valid Unicode"),
    ],
)
def test_class_lists(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        load_classes(tmp_path / name)
    assert message in one_line(error)
    assert name in str(error.value)


def test_matching_ids():
    assert match_rows(["b", "a"], ["a", "b"]).tolist() == [1, 0]
    with pytest.raises(DataError, match=r"image 'x/a\.jpg' is not among the 1 images; did you mean 'y/a\.jpg'"):
        match_rows(["x/a.jpg"], ["y/a.jpg"])


OPEN_IMAGES = [
    ("", "the file is empty"),
    ("ImageID,LabelName\na,cat\n", "line 1: the column 'Source' is missing"),
    ("ImageID,Source,LabelName,Confidence\na,human,cat\n", "line 2: 3 columns where the header has 4"),
    ("ImageID,Source,LabelName,Confidence\n,human,cat,1\n", "line 2: the image id is empty"),
    ("ImageID,Source,LabelName,Confidence\na,human,cat,0.5\n", "line 2: confidence 0.5 is neither 0 nor 1"),
    ("ImageID,Source,LabelName,Confidence\na,machine,cat,1.5\n", "line 2: confidence 1.5 lies outside [0, 1]"),
    ("ImageID,Source,LabelName,Confidence\na,human,cat,\n", "line 2: confidence nan lies outside [0, 1]"),
    ("ImageID,Source,LabelName,Confidence\na,human,cat,yes\n", "line 2: Confidence 'yes' is not a number"),
    ("ImageID,Source,LabelName,Confidence\na,proposal:,cat,1\n", "line 2: source 'proposal:' is neither"),
    ("ImageID,Source,LabelName,Confidence\na,,cat,1\n", "line 2: the source is empty"),
    ("ImageID,Source,LabelName,Confidence,Split\na,human,cat,1,x\n", "line 2: 'x' is not a split"),
    ("ImageID,Source,LabelName,Confidence,Shown\na,human,cat,1,x\n", "line 2: Shown is 'x'; write 1 or 0"),
    (
        "ImageID,Source,LabelName,Confidence,Split\na,human,cat,1,test\na,human,dog,1,train\n",
        "line 3: image 'a' is in train here and in test above",
    ),
]


@pytest.mark.parametrize(("content", "message"), OPEN_IMAGES)
def test_open_images(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        load_open_images(path)
    assert message in one_line(error)
    assert str(error.value).count(str(path)) == 1


def test_open_images_with_an_unknown_class(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("ImageID,Source,LabelName,Confidence\na,human,ca,1\n")
    with pytest.raises(DataError, match="line 2: there is no class 'ca'; did you mean 'cat'"):
        load_open_images(path, classes=("cat",))


def table() -> LabelTable:
    return LabelTable.of(Taxonomy(("cat", "dog")), ["a", "b"], [0, 1], [0, 0], [0, 1], [1, 0])


def test_parquet_that_is_foreign_damaged_or_changed(tmp_path):
    import pyarrow.parquet as pq

    save_parquet(tmp_path, table())
    path = tmp_path / "labels.parquet"
    whole, content = path.read_bytes(), pq.read_table(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a Parquet file, or it is damaged") as error:
        load_parquet(tmp_path)
    one_line(error)
    pq.write_table(content.replace_schema_metadata({}), path)
    with pytest.raises(DataError, match=r"not an export of spml-annotate \(it has no manifest"):
        load_parquet(tmp_path)
    pq.write_table(content.drop_columns(["score"]), path)
    with pytest.raises(DataError, match="it lacks score"):
        load_parquet(tmp_path)
    for kept in (content.slice(0, 1), content.slice(0, 2), content.slice(1, 2)):
        pq.write_table(kept, path)
        with pytest.raises(MismatchError, match="by another program; export again"):
            load_parquet(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="there is no such file"):
        load_parquet(tmp_path)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"format_version": 99},
            MismatchError,
            "format version 99 was written by spml-annotate .*; update the package",
        ),
        ({"format": "other"}, DataError, "not the manifest of an export"),
        ({"classes": []}, MismatchError, "changed by hand"),
        ({"classes": None}, DataError, "the manifest is incomplete"),
    ],
)
def test_open_images_with_a_wrong_manifest(tmp_path, change, kind, message):
    save_open_images(tmp_path / "labels.csv", table())
    beside = tmp_path / "labels.manifest.json"
    content = json.loads(beside.read_text(encoding="utf-8"))
    beside.write_text(json.dumps(content | change))
    with pytest.raises(kind, match=message):
        load_open_images(tmp_path / "labels.csv")
    beside.write_text("{")
    with pytest.raises(DataError, match="the manifest is damaged"):
        load_open_images(tmp_path / "labels.csv")


def test_a_failed_export_leaves_the_old_one(tmp_path, monkeypatch):
    save_parquet(tmp_path, table())
    save_open_images(tmp_path / "labels.csv", table())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spml_annotate.stores.atomic.force_to_disk", broken)
    for save, place in ((save_parquet, tmp_path), (save_open_images, tmp_path / "labels.csv")):
        with pytest.raises(DataError, match="No space left"):
            save(place, table())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    shutil.rmtree(tmp_path)


TABLE = [
    ({"rows": [0, 2]}, DataError, "a row lies outside 0..1"),
    ({"labels": [0, 2]}, DataError, "a label lies outside 0..1"),
    ({"values": [1, -1]}, DataError, "values are 1 .positive. or 0"),
    ({"values": [1]}, MismatchError, "2 rows but values has the shape"),
    ({"sources": "robot"}, DataError, "source 'robot' is neither"),
    ({"scores": 0.5}, DataError, "a person's label has a score"),
    ({"sources": "proposal:ema", "scores": 1.5}, DataError, "a score lies outside"),
    ({"times": float("inf")}, DataError, "a time is not a finite number"),
    ({"annotators": "a\0b"}, DataError, "contains a NUL"),
    ({"annotators": "\ud800"}, DataError, "not valid Unicode"),
    ({"image_ids": ["a", "a"]}, DataError, "image id 'a' appears twice"),
    ({"split": [0, 3]}, DataError, "a split is not 0"),
    ({"split": [0]}, MismatchError, "2 images but 1 splits"),
    ({"metadata": {"note": "\0"}}, DataError, "contains a NUL"),
]


@pytest.mark.parametrize(("change", "kind", "message"), TABLE)
def test_label_tables(change, kind, message):
    arguments = {"image_ids": ["a", "b"], "split": [0, 1], "rows": [0, 0], "labels": [0, 1], "values": [1, 0]}
    with pytest.raises(kind, match=message):
        LabelTable.of(Taxonomy(("cat", "dog")), **(arguments | change))
