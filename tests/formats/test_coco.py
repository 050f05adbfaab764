"""COCO JSON: ours read by pycocotools, torchvision and lvis; theirs, and files of LVIS, read by us."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from strategies_formats import tables

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.coco import load_coco, save_coco
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import clean_id
from spml_annotate.taxonomy import Taxonomy

NAN = float("nan")
INSTANCES = {
    "info": {"year": 2017},
    "licenses": [{"id": 1, "name": "x"}],
    "images": [
        {"id": 397133, "file_name": "000000397133.jpg", "width": 100, "height": 50, "license": 1, "date_captured": ""},
        {"id": 37777, "file_name": "000000037777.jpg", "width": 200, "height": 100},
        {"id": 252219, "file_name": "000000252219.jpg", "width": 10, "height": 10},
    ],
    "annotations": [
        {"id": 1, "image_id": 397133, "category_id": 1, "bbox": [10, 5, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 2, "image_id": 397133, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0},
        {"id": 900100037777, "image_id": 37777, "category_id": 90, "bbox": [0, 0, 200, 100], "area": 9, "iscrowd": 1},
        {"id": 4, "image_id": 37777, "category_id": 13, "bbox": [150, 50, 100, 100], "area": 9, "iscrowd": 0},
    ],
    "categories": [
        {"supercategory": "person", "id": 1, "name": "person"},
        {"supercategory": "outdoor", "id": 13, "name": "stop sign"},
        {"supercategory": "indoor", "id": 90, "name": "toothbrush"},
    ],
}


def saved(tmp_path, content):
    path = tmp_path / "instances_val2017.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def changed(**parts):
    return {**json.loads(json.dumps(INSTANCES)), **parts}


def test_categories_present_per_image(tmp_path):
    found = load_coco(saved(tmp_path, INSTANCES))
    assert found.name == "instances_val2017"
    assert found.image_ids == ("000000397133.jpg", "000000037777.jpg", "000000252219.jpg")
    assert found.taxonomy.names == ("person", "stop sign", "toothbrush")
    assert found.truth.tolist() == [[1, -1, -1], [-1, 1, 1], [-1, -1, -1]]
    assert found.boxes.rows.tolist() == [0, 0, 1]
    assert found.boxes.labels.tolist() == [0, 0, 1]
    assert found.boxes.corners == pytest.approx(np.array([[0.1, 0.1, 0.3, 0.3], [0, 0, 0.01, 0.02], [0.75, 0.5, 1, 1]]))


def test_settings_of_what_counts(tmp_path):
    path = saved(tmp_path, INSTANCES)
    assert load_coco(path, complete=True).truth.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert load_coco(path, crowd=False).truth.tolist() == [[1, -1, -1], [-1, 1, -1], [-1, -1, -1]]
    assert load_coco(path, classes=["toothbrush", "stop sign", "person", "cat"]).truth[1].tolist() == [1, 1, -1, -1]
    with pytest.raises(DataError, match=r"annotations\[3\]\.category_id: there is no class 'stop sign'"):
        load_coco(path, classes=["toothbrush", "person"])
    with pytest.raises(SettingError, match="choose from refuse, drop"):
        load_coco(path, missing="skip")
    scored = changed()
    scored["annotations"][3]["score"] = 0.4
    assert load_coco(saved(tmp_path, scored), min_score=0.5).truth[1].tolist() == [-1, -1, 1]


def test_negatives_in_the_manner_of_lvis(tmp_path):
    content = changed()
    for image in content["images"]:
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{name}"
        image.update(neg_category_ids=[], not_exhaustive_category_ids=[])
    content["images"][0].update(neg_category_ids=[90], not_exhaustive_category_ids=[1, 13])
    path = saved(tmp_path, content)
    assert load_coco(path).image_ids[0] == "val2017/000000397133.jpg"
    assert load_coco(path).truth.tolist() == [[1, -1, 0], [-1, 1, 1], [-1, -1, -1]]
    assert load_coco(path, complete=True).truth.tolist() == [[1, -1, 0], [0, 1, 1], [0, 0, 0]]


def test_pictures_and_missing_images(tmp_path):
    for image in INSTANCES["images"][:2]:
        Image.new("RGB", (image["width"], image["height"])).save(tmp_path / image["file_name"])
    content = changed()
    content["annotations"].append({"id": 7, "image_id": 5, "category_id": 1})
    path = saved(tmp_path, content)
    with pytest.raises(DataError, match=r"annotations\[4\]\.image_id: there is no image 5; missing=drop"):
        load_coco(path)
    with pytest.raises(DataError, match=r"image '000000252219\.jpg' is not in the folder"):
        load_coco(saved(tmp_path, INSTANCES), root=tmp_path)
    found = load_coco(saved(tmp_path, content), root=tmp_path, missing="drop")
    assert found.image_ids == ("000000397133.jpg", "000000037777.jpg")
    assert found.pictures.read(1).size == (200, 100)
    assert found.boxes.rows.tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="none of the images is in the folder"):
        load_coco(path, root=tmp_path / "nowhere", missing="drop")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [\n{"id": 1,}]}', "line 2: this is not JSON"),
        ("[" * 100_000, "lists within lists"),
        ([{"image_id": 1, "category_id": 2, "score": 0.1}], "this is no COCO file of labels"),
        (changed(images=None), "images: the list is missing"),
        (changed(images={}), "images: this is an object, not a list"),
        (changed(images=[3]), r"images\[0\]: this is a number, not an object"),
        (changed(images=[{"file_name": "a"}]), r"images\[0\]\.id: it is missing"),
        (changed(images=[{"id": 1.5, "file_name": "a"}]), r"images\[0\]\.id: this is a number, not an id"),
        (changed(images=[{"id": 1}]), r"images\[0\]\.file_name: it is missing"),
        (changed(images=[{"id": 1, "file_name": ["a"]}]), r"images\[0\]\.file_name: this is a list, not text"),
        (changed(images=[{"id": 1, "file_name": "a\0"}]), r"images\[0\]\.file_name .* NUL"),
        (changed(images=[{"id": 1, "file_name": "a"}] * 2), r"images\[1\]\.id: 1 is the id of another image"),
        (
            changed(images=[{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "./a"}]),
            r"images\[1\]\.file_name: image 'a' is images\[0\] already",
        ),
        (changed(images=[{"id": 1, "file_name": "a", "split": "x"}]), r"images\[0\]\.split: 'x' is not a split"),
        (
            changed(images=[{"id": 1, "file_name": "a", "neg_category_ids": [7]}]),
            r"images\[0\]\.neg_category_ids: there is no category 7",
        ),
        (changed(images=[{"id": 1, "file_name": "a", "width": "9"}]), r"images\[0\]\.width: '9' is not a number"),
        (changed(categories=[]), "categories: there is none"),
        (changed(categories=[{"id": 1}]), r"categories\[0\]\.name: the category has no name"),
        (changed(categories=[{"id": 1, "name": "a"}] * 2), r"categories\[1\]\.id: 1 is the id of 'a' already"),
        (changed(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "class 'a' appears twice"),
        (changed(annotations="x"), "annotations: this is text, not a list"),
        (changed(annotations=[{"image_id": 37777}]), r"annotations\[0\]\.category_id: it is missing"),
        (
            changed(annotations=[{"image_id": 37777, "category_id": 5}]),
            r"annotations\[0\]\.category_id: there is no category 5",
        ),
        (
            changed(annotations=[{"image_id": 37777, "category_id": 1, "bbox": [1, 2, 3]}]),
            r"annotations\[0\]\.bbox: a box is four numbers",
        ),
        (
            changed(annotations=[{"image_id": 37777, "category_id": 1, "score": NAN}]),
            r"annotations\[0\]\.score: 'nan' is not a number",
        ),
    ],
)
def test_malformed_files_are_named_with_the_place(tmp_path, content, message):
    path = saved(tmp_path, content)
    with pytest.raises(DataError, match=message) as error:
        load_coco(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_class_both_there_and_not(tmp_path):
    content = changed()
    content["images"][1]["neg_category_ids"] = [13]
    with pytest.raises(DataError, match=r"image '000000037777\.jpg' has 'stop sign' among its negatives"):
        load_coco(saved(tmp_path, content))


@settings(deadline=None)
@given(tables())
def test_round_trip(drawn):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.json"
        if any(clean_id(name) != name for name in drawn.image_ids):
            with pytest.raises(DataError, match="would be read back as"):
                save_coco(path, drawn)
            return
        save_coco(path, drawn)
        found = load_coco(path)
    assert (found.taxonomy.names, found.image_ids) == (drawn.taxonomy.names, drawn.image_ids)
    assert found.labels == drawn.matrix()
    assert np.array_equal(found.split, drawn.split)


def table():
    return LabelTable.of(
        Taxonomy(("cat, fat", "café", "🐈")),
        ["a/é 1.jpg", "b.png", "c.jpg"],
        [0, 1, 2],
        [0, 0, 1, 1, 1],
        [0, 1, 0, 2, 1],
        [1, 0, 1, 1, 0],
        sources=["human", "human", "proposal:ema", "human", "proposal:ema"],
        scores=[NAN, NAN, 0.75, NAN, 0.125],
    )


@pytest.fixture
def exported(tmp_path):
    pictures = {}
    for number, name in enumerate(table().image_ids):
        pictures[name] = tmp_path / "pictures" / name
        pictures[name].parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30 + number, 20)).save(pictures[name])
    save_coco(tmp_path / "labels.json", table(), pictures=pictures)
    return tmp_path / "labels.json"


def test_what_the_file_looks_like(exported):
    content = json.loads(exported.read_text("utf-8"))
    assert content["images"][1] == {
        "id": 2,
        "file_name": "b.png",
        "width": 31,
        "height": 20,
        "neg_category_ids": [2],
        "neg_category_scores": [0.125],
        "not_exhaustive_category_ids": [],
        "split": "validation",
    }
    assert content["annotations"][1]["score"] == 0.75
    assert content["annotations"][1]["bbox"] == [0, 0, 31, 20]
    assert [set(made) & {"score"} for made in content["annotations"]] == [set(), {"score"}, set()]
    assert load_coco(exported).boxes is None, "the box of the whole picture is no object"
    assert load_coco(exported, min_score=0.8).truth[1].tolist() == [-1, 0, 1]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in "xy":
        save_coco(tmp_path / name, table())
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_pycocotools_reads_ours(exported, capsys):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(exported))
    assert [item["name"] for item in coco.loadCats(coco.getCatIds())] == list(table().taxonomy.names)
    for column in range(3):
        images = set(coco.getImgIds(catIds=[column + 1]))
        assert images == {int(row) + 1 for row in np.flatnonzero(table().matrix().dense()[:, column] == 1)}
    made = coco.loadAnns(coco.getAnnIds(imgIds=[2], areaRng=[600, 700], iscrowd=False))
    assert {item["category_id"] for item in made} == {1, 3}
    assert coco.annToMask(made[0]).shape == (20, 31)
    assert coco.annToMask(made[0]).all()


def test_torchvision_reads_ours(exported, capsys):
    pytest.importorskip("pycocotools")
    from torchvision.datasets import CocoDetection

    found = CocoDetection(str(exported.parent / "pictures"), str(exported))
    assert len(found) == 3
    picture, made = found[1]
    assert picture.size == (31, 20)
    assert [item["category_id"] for item in made] == [1, 3]
    assert found[2][1] == []


def test_lvis_reads_ours(exported):
    lvis = pytest.importorskip("lvis").LVIS(str(exported))
    assert [image["neg_category_ids"] for image in lvis.load_imgs([1, 2, 3])] == [[2], [2], []]
    assert len(lvis.get_ann_ids(img_ids=[2], cat_ids=[1])) == 1


def test_pycocotools_reads_theirs_as_we_do(tmp_path, capsys):
    path = saved(tmp_path, INSTANCES)
    coco = pytest.importorskip("pycocotools.coco").COCO(str(path))
    found = load_coco(path, complete=True)
    for row, image in enumerate(INSTANCES["images"]):
        present = {item["category_id"] for item in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))}
        names = {item["name"] for item in coco.loadCats(list(present))}
        assert names == {found.taxonomy.names[column] for column in np.flatnonzero(found.truth[row] == 1)}


def test_pictures_that_are_missing_or_broken(tmp_path):
    (tmp_path / "x").write_text("no picture")
    every = dict.fromkeys(table().image_ids, tmp_path / "x")
    with pytest.raises(DataError, match=r"its size cannot be read .* export without pictures"):
        save_coco(tmp_path / "o.json", table(), pictures=every)
    with pytest.raises(DataError, match=r"image 'c\.jpg' cannot be exported, nothing says which file"):
        save_coco(tmp_path / "o.json", table(), pictures={name: every[name] for name in table().image_ids[:2]})
    assert not (tmp_path / "o.json").exists()
