"""VOC folders as labelling programs make them: XML beside pictures, other suffixes, other words for difficult."""

from __future__ import annotations

import pytest
from PIL import Image

from spml_annotate.errors import DataError
from spml_annotate.formats.telling import tell_format
from spml_annotate.formats.voc import load_voc


def xml(picture, name, difficult="0"):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    size = "<size><width>8</width><height>6</height><depth>3</depth></size>"
    about = f"<folder>x</folder><filename>{picture}</filename><path>C:\\x\\{picture}</path>{size}"
    thing = f"<object><name>{name}</name><difficult>{difficult}</difficult>{box}</object>"
    return f'<annotation verified="yes">{about}{thing}</annotation>'


def put(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_pictures_an_image_is_called_as_its_file_states(tmp_path):
    for stem, stated in (("a", "a.png"), ("b", "pictures\\b.JPEG"), ("c", "c"), ("d", "d.v2")):
        put(tmp_path / "Annotations" / f"{stem}.xml", xml(stated, "cat"))
    assert load_voc(tmp_path).image_ids == ("a.png", "b.JPEG", "c.jpg", "d.jpg")


@pytest.mark.parametrize(("below", "pictures"), [("", ""), ("annotations", "images")])
def test_xml_files_beside_the_pictures(tmp_path, below, pictures):
    for name, label in (("a b.png", "hund"), ("c.jpg", "katze")):
        put(tmp_path / below / f"{name[:-4]}.xml", xml(name, label))
        (tmp_path / pictures).mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / pictures / name)
    assert tell_format(tmp_path) == "voc"
    found = load_voc(tmp_path)
    assert (found.image_ids, found.taxonomy.names) == (("a b.png", "c.jpg"), ("hund", "katze"))
    assert found.truth.tolist() == [[1, -1], [-1, 1]]
    assert found.pictures is not None


@pytest.mark.parametrize(("mark", "code"), [("Unspecified", 1), ("False", 1), ("", 1), ("True", -1), ("1", -1)])
def test_words_for_difficult(tmp_path, mark, code):
    put(tmp_path / "Annotations" / "a.xml", xml("a.jpg", "cat", mark))
    assert load_voc(tmp_path).truth.tolist() == [[code]]


def test_a_single_file_is_told_and_its_folder_asked_for(tmp_path):
    put(tmp_path / "a.xml", xml("a.jpg", "cat"))
    assert tell_format(tmp_path / "a.xml") == "voc"
    with pytest.raises(DataError, match="this is a file; name its VOC folder"):
        load_voc(tmp_path / "a.xml")


def test_a_schema_changes_nothing(tmp_path):
    text = xml("a.png", "cat").replace("<annotation ", '<annotation xmlns="http://example.org/voc" ')
    put(tmp_path / "Annotations" / "a.xml", text)
    found = load_voc(tmp_path)
    assert (found.image_ids, found.taxonomy.names, found.truth.tolist()) == (("a.png",), ("cat",), [[1]])
    assert found.boxes is not None
    put(tmp_path / "Annotations" / "a.xml", '<x:other xmlns:x="http://example.org/voc"/>')
    with pytest.raises(DataError, match="this is no annotation of VOC"):
        load_voc(tmp_path)


@pytest.mark.parametrize("pictures", [True, False])
def test_xml_in_folders_below(tmp_path, pictures):
    for name, label in (("day/a.png", "cat"), ("night/a.png", "dog"), ("b.jpg", "cow")):
        put(tmp_path / "Annotations" / f"{name[:-4]}.xml", xml(name.rpartition("/")[2], label))
        if pictures:
            (tmp_path / "JPEGImages" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6)).save(tmp_path / "JPEGImages" / name)
    put(tmp_path / "Annotations" / "day" / "._a.xml", "\0\5")
    found = load_voc(tmp_path)
    labels = {
        image: [found.taxonomy.names[label] for label, code in enumerate(codes) if code == 1]
        for image, codes in zip(found.image_ids, found.truth.tolist(), strict=True)
    }
    assert labels == {"b.jpg": ["cow"], "day/a.png": ["cat"], "night/a.png": ["dog"]}
    assert (found.pictures is not None) == pictures
    assert tell_format(tmp_path) == "voc"


def test_lists_may_leave_the_folders_out_and_pictures_may_lie_flat(tmp_path):
    put(tmp_path / "Annotations" / "x" / "a.xml", xml("a.png", "cat"))
    put(tmp_path / "Annotations" / "y" / "b.xml", xml("b.png", "dog"))
    put(tmp_path / "ImageSets" / "Main" / "train.txt", "a\n")
    put(tmp_path / "ImageSets" / "Main" / "test.txt", "y/b\n")
    (tmp_path / "JPEGImages").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / "JPEGImages" / name)
    found = load_voc(tmp_path)
    assert (found.image_ids, found.split.tolist()) == (("a.png", "b.png"), [0, 2])
    assert found.truth.tolist() == [[1, -1], [-1, 1]]


def test_a_picture_of_another_folder_is_another(tmp_path):
    put(tmp_path / "Annotations" / "day" / "a.xml", xml("a.png", "cat"))
    (tmp_path / "JPEGImages" / "night").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "JPEGImages" / "night" / "a.png")
    found = load_voc(tmp_path)
    assert (found.image_ids, found.pictures) == (("day/a.png",), None)


def test_several_years_are_named_one_after_the_other(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        put(tmp_path / "VOCdevkit" / year / "Annotations" / "a.xml", xml("a.jpg", "cat"))
    for path in (tmp_path, tmp_path / "VOCdevkit"):
        assert tell_format(path) == "voc"
        with pytest.raises(
            DataError, match=r"several VOC folders, VOC2007, VOC2012; name one after the other: .*VOCdevkit/VOC2007$"
        ):
            load_voc(path)
    assert load_voc(tmp_path / "VOCdevkit" / "VOC2012").name == "VOC2012"
