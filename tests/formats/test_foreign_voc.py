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
