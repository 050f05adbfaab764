"""Pascal VOC: ours read by torchvision, theirs read by us."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from strategies_formats import tables

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.voc import load_voc, save_voc
from spml_annotate.formats.voc_write import plain_names
from spml_annotate.taxonomy import Taxonomy

OBJECT = (
    "<object><name>{}</name><pose>Left</pose><truncated>1</truncated><difficult>{}</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>{}</object>"
)
PART = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"


def annotation(image, *objects, size=(500, 375)):
    head = f"<folder>VOC2012</folder><filename>{image}.jpg</filename><source><database>x</database></source>"
    measure = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>{head}{measure}<segmented>0</segmented>{''.join(objects)}</annotation>"


@pytest.fixture
def devkit(tmp_path):
    """A folder as the organisers of VOC wrote them."""
    home = tmp_path / "VOCdevkit" / "VOC2012"
    files = {
        "Annotations/2007_000027.xml": annotation("2007_000027", OBJECT.format("person", 0, 1, 1, 500, 375, PART)),
        "Annotations/2007_000032.xml": annotation(
            "2007_000032", OBJECT.format("cat", 1, 101, 76, 250, 150, ""), OBJECT.format("person", 0, 1, 1, 50, 75, "")
        ),
        "Annotations/2008_000001.xml": annotation("2008_000001", OBJECT.format("cat", 0, 5, 5, 10, 10, "")),
        "ImageSets/Main/train.txt": "2007_000032\n2007_000027\n",
        "ImageSets/Main/val.txt": "2008_000001\n",
        "ImageSets/Main/trainval.txt": "2007_000027\n2007_000032\n2008_000001\n",
        "ImageSets/Main/person_train.txt": "2007_000032  1\n2007_000027  1\n",
        "ImageSets/Main/person_val.txt": "2008_000001 -1\n",
        "ImageSets/Main/person_trainval.txt": "2007_000027  1\n2007_000032  1\n2008_000001 -1\n",
        "ImageSets/Main/cat_train.txt": "2007_000032  0\n2007_000027 -1\n",
        "ImageSets/Main/cat_val.txt": "2008_000001  1\n",
        "ImageSets/Layout/train.txt": "2007_000032 1\n",
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return tmp_path / "VOCdevkit"


def test_the_lists_of_the_organisers(devkit):
    found = load_voc(devkit)
    assert found.name == "VOC2012"
    assert found.image_ids == ("2007_000032.jpg", "2007_000027.jpg", "2008_000001.jpg")
    assert found.taxonomy.names == ("cat", "person")
    assert found.truth.tolist() == [[-1, 1], [0, 1], [1, 0]]
    assert found.split.tolist() == [0, 0, 1]
    assert found.pictures is None
    assert found.boxes.rows.tolist() == [0, 0, 1, 2]
    assert found.boxes.corners[0] == pytest.approx([0.2, 0.2, 0.5, 0.4])
    assert found.boxes.corners[2] == pytest.approx([0, 0, 1, 1])
    assert load_voc(devkit / "VOC2012", difficult="positive").truth[0].tolist() == [1, 1]
    assert load_voc(devkit.parent, difficult="negative").truth[0].tolist() == [0, 1]
    assert load_voc(devkit, classes=["person", "dog", "cat"]).truth.tolist() == [[1, -1, -1], [1, -1, 0], [0, -1, 1]]


def test_xml_files_alone(devkit):
    for file in (devkit / "VOC2012" / "ImageSets" / "Main").glob("*.txt"):
        file.unlink()
    found = load_voc(devkit)
    assert found.image_ids == ("2007_000027.jpg", "2007_000032.jpg", "2008_000001.jpg")
    assert found.truth.tolist() == [[-1, 1], [-1, 1], [1, -1]]
    assert load_voc(devkit, complete=True).truth.tolist() == [[0, 1], [-1, 1], [1, 0]]
    assert load_voc(devkit, complete=True, difficult="positive").truth.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_lists_alone(devkit):
    for file in (devkit / "VOC2012" / "Annotations").iterdir():
        file.unlink()
    found = load_voc(devkit)
    assert found.truth.tolist() == [[-1, 1], [0, 1], [1, 0]]
    assert found.boxes is None


def test_pictures_beside_the_annotations(devkit):
    folder = devkit / "VOC2012" / "JPEGImages"
    folder.mkdir()
    for number, name in enumerate(("2007_000027.jpg", "2007_000032.png", "2008_000001.jpg")):
        Image.new("RGB", (10 + number, 5)).save(folder / name)
    found = load_voc(devkit)
    assert found.image_ids == ("2007_000032.png", "2007_000027.jpg", "2008_000001.jpg")
    assert [found.pictures.read(row).size[0] for row in range(3)] == [11, 10, 12]
    (folder / "2007_000032.png").unlink()
    assert load_voc(devkit).pictures is None
    with pytest.raises(DataError, match=r"image '2007_000032\.jpg' is not in the folder"):
        load_voc(devkit, root=folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Annotations/2007_000027.xml", "<annotation>\n<object>", r"2007_000027\.xml, line 2: this is not XML"),
        ("Annotations/2007_000027.xml", "", "this is not XML"),
        ("Annotations/2007_000027.xml", "<html/>", "this is no annotation of VOC"),
        ("Annotations/2007_000027.xml", '<?xml version="1.0" encoding="x-none"?><a/>', "this is not XML"),
        (
            "Annotations/2007_000027.xml",
            '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
            "XML with definitions of its own is not read",
        ),
        ("Annotations/2007_000027.xml", annotation("x", "<object/>"), "object 1: its name is empty"),
        ("Annotations/2007_000027.xml", annotation("x", OBJECT.format("a", 2, 1, 1, 2, 2, "")), "difficult is '2'"),
        (
            "Annotations/2007_000027.xml",
            annotation("x", OBJECT.format("a", 0, "y", 1, 2, 2, "")),
            "are not all numbers",
        ),
        ("Annotations/2007_000027.xml", annotation("x", OBJECT.format("a", 0, "inf", 1, 2, 2, "")), "not all sizes"),
        ("Annotations/2007_000027.xml", annotation("x", size=("a", 2)), "size: width, height are not all numbers"),
        ("ImageSets/Main/cat_train.txt", "2007_000032  0\n2007_000027 2\n", r"cat_train\.txt, line 2: '2007_000027 2'"),
        ("ImageSets/Main/cat_train.txt", "2007_000032\n", r"cat_train\.txt, line 1: '2007_000032' is not an image and"),
        ("ImageSets/Main/cat_trainval.txt", "2007_000032 1\n", r"has another code on line 1 of cat_train\.txt"),
        ("ImageSets/Main/val.txt", "2007_000032\n", "is in validation here and in train elsewhere"),
        ("ImageSets/Main/test.txt", "2007_000032\n", "is in test here and in train elsewhere"),
        ("spml-annotate.json", "{}", "not the list of names"),
        ("spml-annotate.json", '{"format": "spml-annotate names of a VOC folder", "images": [[1]]}', r"images\[0\]"),
    ],
)
def test_malformed_files_are_named_with_the_place(devkit, name, text, message):
    (devkit / "VOC2012" / name).write_text(text)
    with pytest.raises(DataError, match=message) as error:
        load_voc(devkit)
    assert "\n" not in str(error.value)


def test_what_is_no_voc_folder(devkit, tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        load_voc(tmp_path / "x")
    with pytest.raises(DataError, match="this is no VOC folder"):
        load_voc(devkit / "VOC2012" / "ImageSets")
    with pytest.raises(SettingError, match="choose from unknown, positive, negative"):
        load_voc(devkit, difficult="maybe")
    with pytest.raises(DataError, match="there is no class 'cat'"):
        load_voc(devkit, classes=["person"])
    (devkit / "VOC2007" / "Annotations").mkdir(parents=True)
    with pytest.raises(DataError, match="there are several VOC folders"):
        load_voc(devkit)
    with pytest.raises(DataError, match="no image is named"):
        load_voc(devkit / "VOC2007")


@settings(deadline=None)
@given(tables())
def test_round_trip(drawn):
    with tempfile.TemporaryDirectory() as folder:
        save_voc(Path(folder) / "out", drawn)
        if not drawn.image_ids:
            with pytest.raises(DataError, match="no image is named"):
                load_voc(Path(folder) / "out")
            return
        found = load_voc(Path(folder) / "out")
        (Path(folder) / "out/VOCdevkit/VOC2007/ImageSets").rename(Path(folder) / "elsewhere")
        positives = load_voc(Path(folder) / "out")
    assert (found.taxonomy.names, found.image_ids) == (drawn.taxonomy.names, drawn.image_ids)
    assert found.labels == drawn.matrix()
    assert np.array_equal(found.split, drawn.split)
    assert np.array_equal(positives.truth == 1, drawn.matrix().dense() == 1), "the XML files say the same"


def table():
    return LabelTable.of(
        Taxonomy(("cat, fat", "dog", "🐈 & <co>", "Dog")),
        ["a/é 1.jpg", "b.png", "c.jpg", "d.jpg"],
        [0, 1, 2, 0],
        [0, 0, 1, 1, 3],
        [0, 1, 0, 2, 3],
        [1, 0, 1, 1, 1],
    )


@pytest.fixture
def pictures(tmp_path):
    found = {}
    for number, name in enumerate(table().image_ids):
        found[name] = tmp_path / "pictures" / name
        found[name].parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30 + number, 20)).save(found[name])
    return found


@pytest.mark.parametrize("link", [False, True])
def test_torchvision_reads_ours(tmp_path, pictures, link):
    from torchvision.datasets import VOCDetection

    save_voc(tmp_path / "out", table(), pictures=pictures, link=link)
    seen = {}
    for part, expected in (("train", 2), ("val", 1), ("trainval", 3), ("test", 1)):
        found = VOCDetection(str(tmp_path / "out"), year="2007", image_set=part)
        assert len(found) == expected
        for picture, target in found:
            about = target["annotation"]
            assert picture.size == (int(about["size"]["width"]), int(about["size"]["height"]))
            seen[picture.size[0] - 30] = {item["name"] for item in about["object"]}
    names = table().taxonomy.names
    dense = table().matrix().dense()
    assert seen == {row: {names[column] for column in np.flatnonzero(dense[row] == 1)} for row in range(4)}
    source = pictures["c.jpg"].stat()
    there = (tmp_path / "out/VOCdevkit/VOC2007/JPEGImages/c.jpg").stat()
    assert (source.st_ino == there.st_ino) is link


def test_what_the_folder_looks_like(tmp_path, pictures):
    save_voc(tmp_path / "out", table(), pictures=pictures)
    home = tmp_path / "out" / "VOCdevkit" / "VOC2007"
    assert (home / "ImageSets/Main/cat_fat_train.txt").read_text() == "a_1  1\nd  0\n"
    assert (home / "ImageSets/Main/dog_trainval.txt").read_text() == "a_1 -1\nb  0\nd  0\n"
    assert (home / "ImageSets/Main/Dog_2_trainval.txt").exists()
    found = load_voc(tmp_path / "out")
    assert found.image_ids == table().image_ids
    assert found.labels == table().matrix()
    assert found.boxes is None, "the box of the whole picture is no object"
    assert [found.pictures.read(row).size[0] for row in range(4)] == [30, 31, 32, 33]
    assert load_voc(tmp_path / "out", root=tmp_path / "pictures").pictures.read(0).size == (30, 20)


def test_a_second_export_replaces_the_first_and_nothing_else(tmp_path):
    save_voc(tmp_path / "out", table())
    save_voc(tmp_path / "out", table())
    assert load_voc(tmp_path / "out").labels == table().matrix()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(DataError, match=r"'mine\.txt', which no export wrote"):
        save_voc(tmp_path / "out", table())


def test_missing_pictures_leave_nothing_behind(tmp_path, pictures):
    pictures["c.jpg"].write_text("no picture")
    with pytest.raises(DataError, match="its size cannot be read"):
        save_voc(tmp_path / "out", table(), pictures=pictures)
    del pictures["c.jpg"]
    with pytest.raises(DataError, match=r"image 'c\.jpg' cannot be exported"):
        save_voc(tmp_path / "out", table(), pictures=pictures)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pictures"]


def test_file_names_are_plain_and_different():
    texts = ["a b", "a_b", "A_B", "a_b_2", "é", "🐈", "", "x" * 300, "x" * 301, "..", "a/b"]
    found = plain_names(texts, "image")
    assert len({name.lower() for name in found}) == len(texts)
    assert found[1] == "a_b"
    assert found[3] == "a_b_2"
    assert all(name and len(name) < 110 and name.isascii() and "/" not in name and name[0] != "." for name in found)
