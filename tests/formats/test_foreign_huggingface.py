"""Data sets for object detection as the Hugging Face library has them: who has objects says what is there."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from spml_annotate.errors import DataError
from spml_annotate.formats.huggingface import load_huggingface
from spml_annotate.formats.huggingface_parquet import load_huggingface_parquet

NAMES = ["Coverall", "Face Shield", "Mask"]
BOX = [302.0, 109.0, 73.0, 52.0]


def known(table):
    return {
        (table.image_ids[row], table.taxonomy.names[label]): int(value)
        for row, label, value in zip(*table.matrix().cells(), strict=True)
    }


def folder(tmp_path, *records):
    for name in "abc":
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.png")
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


@pytest.mark.parametrize("key", ["categories", "category"])
@pytest.mark.parametrize("words", [["Mask", "Coverall", "Mask"], [2, 0, 2]])
def test_objects_in_metadata(tmp_path, key, words):
    path = folder(
        tmp_path,
        {"file_name": "a.png", "objects": {"bbox": [BOX] * 3, key: words}},
        {"file_name": "b.png", "objects": {"bbox": [], key: []}},
        {"file_name": "c.png", "objects": [{"bbox": BOX, key: words[1]}]},
    )
    found = load_huggingface(path, classes=NAMES)
    assert known(found) == {("a.png", "Mask"): 1, ("a.png", "Coverall"): 1, ("c.png", "Coverall"): 1}
    assert len(found.image_ids) == 3
    if isinstance(words[0], int):
        with pytest.raises(DataError, match="line 1: label 2 is a number; give the class list"):
            load_huggingface(path)


def test_labels_of_the_picture_go_before_objects(tmp_path):
    path = folder(
        tmp_path, {"file_name": "a.png", "labels": ["cat"], "objects": {"bbox": [BOX], "categories": ["dog"]}}
    )
    assert known(load_huggingface(path)) == {("a.png", "cat"): 1}
    assert known(load_huggingface(path, column="objects")) == {("a.png", "dog"): 1}


def test_objects_without_classes_and_several_pictures_are_told(tmp_path):
    path = folder(tmp_path, {"file_name": "a.png", "objects": {"bbox": [BOX], "area": [3]}})
    with pytest.raises(DataError, match=r"line 1: 'objects' has no classes \(categories, category\), only bbox, area"):
        load_huggingface(path)
    path = folder(tmp_path, {"file_names": ["a.png", "b.png"], "labels": ["cat"]})
    with pytest.raises(DataError, match="line 1: 'file_names' lists several pictures with one set of labels"):
        load_huggingface(path)


@pytest.mark.parametrize("kind", ["sequence", "list", "struct", "text"])
def test_objects_that_the_library_wrote(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    word = datasets.Value("string") if kind == "text" else datasets.ClassLabel(names=NAMES)
    box = datasets.Sequence(datasets.Value("float32"), length=4)
    features = {
        "struct": {"bbox": datasets.Sequence(box), "category": datasets.Sequence(word)},
        "list": [{"bbox": box, "category": word}],
    }.get(kind, datasets.Sequence({"bbox": box, "category": word}))
    objects = [["Mask", "Coverall", "Mask"], [], ["Coverall"]]
    if kind == "list":
        content = [[{"bbox": BOX, "category": name} for name in names] for names in objects]
    else:
        content = [{"bbox": [BOX] * len(names), "category": names} for names in objects]
    made = datasets.Dataset.from_dict(
        {"image_id": ["a", "b", "c"], "objects": content},
        features=datasets.Features({"image_id": datasets.Value("string"), "objects": features}),
    )
    made.to_parquet(str(tmp_path / "train-00000-of-00001.parquet"))
    found = load_huggingface_parquet(tmp_path / "train-00000-of-00001.parquet")
    assert known(found) == {("a", "Mask"): 1, ("a", "Coverall"): 1, ("c", "Coverall"): 1}
    assert found.image_ids == ("a", "b", "c")
    assert found.taxonomy.names == (("Mask", "Coverall") if kind == "text" else tuple(NAMES))
