"""Formats: what readers make of files as people really write them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from spml_annotate.errors import DataError, SpmlError
from spml_annotate.formats.classes import load_classes
from spml_annotate.formats.csv_table import load_csv
from spml_annotate.formats.csv_write import save_csv_long
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.features_npz import load_features
from spml_annotate.formats.folder import load_folder
from spml_annotate.formats.images import check_ids, clean_id, split_code
from spml_annotate.formats.open_images import load_open_images, save_open_images
from spml_annotate.formats.open_images_lines import from_open_images
from spml_annotate.formats.parquet import load_parquet, save_parquet
from spml_annotate.labels import LabelMatrix
from spml_annotate.taxonomy import Taxonomy


def picture(path, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (colour, 0, 0)).save(path)


def csv(tmp_path, text, **settings):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_csv(path, **settings)


def test_long_csv_codes_order_and_splits(tmp_path):
    dataset = csv(
        tmp_path,
        "split,image,value,label\ntrain,b.jpg,1,dog\nVal,a.jpg,0,cat\ntest,c.jpg,,\ntrain,b.jpg,-1,cat\ntrain,b.jpg,1.0,dog\n",
    )
    assert dataset.image_ids == ("b.jpg", "a.jpg", "c.jpg")
    assert dataset.taxonomy.names == ("dog", "cat")
    assert dataset.truth.tolist() == [[1, -1], [-1, 0], [-1, -1]]
    assert dataset.split.tolist() == [0, 1, 2]
    assert dataset.name == "labels"


def test_long_csv_of_positives_only_and_complete(tmp_path):
    text = "image,label\na,cat\nb,dog\nc,\n"
    assert csv(tmp_path, text).truth.tolist() == [[1, -1], [-1, 1], [-1, -1]]
    assert csv(tmp_path, text, complete=True).truth.tolist() == [[1, 0], [0, 1], [0, 0]]


def test_onehot_csv_codes_columns_and_splits(tmp_path):
    text = "file,dog,split,cat\nb.jpg,1,train,\na.jpg, 0 ,test,1.0\nc.jpg,-1,valid,0\n"
    dataset = csv(tmp_path, text)
    assert dataset.taxonomy.names == ("dog", "cat")
    assert dataset.truth.tolist() == [[1, -1], [0, 1], [-1, 0]]
    assert dataset.split.tolist() == [0, 2, 1]
    ordered = csv(tmp_path, text, classes=["cow", "cat", "dog"])
    assert ordered.truth.tolist() == [[-1, -1, 1], [-1, 1, 0], [-1, 0, -1]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_byte_order_mark_quotes_backslashes_and_line_ends(tmp_path, end):
    lines = [
        "image,label",
        'pets\\a.jpg,"dog, hot"',
        '".\\pets\\b.jpg","say ""hi"""',
        "",
        "./c d.jpg,🐈",
        "c d.jpg,café",
    ]
    dataset = csv(tmp_path, b"\xef\xbb\xbf" + end.join(lines).encode())
    assert dataset.image_ids == ("pets/a.jpg", "pets/b.jpg", "c d.jpg")
    assert dataset.taxonomy.names == ("dog, hot", 'say "hi"', "🐈", "café")
    assert dataset.labels.known == 4


def test_csv_aliases_are_resolved(tmp_path):
    taxonomy = Taxonomy(("couch",), aliases={"sofa": "couch"})
    assert csv(tmp_path, "image,label\na,sofa\nb,couch\n", classes=taxonomy).truth.tolist() == [[1], [1]]
    with pytest.raises(DataError, match="class 'sofa' has two columns"):
        csv(tmp_path, "image,couch,sofa\na,1,1\n", classes=taxonomy)


def test_csv_with_the_folder_of_its_images(tmp_path):
    picture(tmp_path / "images" / "one" / "1.png", 10)
    picture(tmp_path / "images" / "two" / "1.png", 20)
    dataset = csv(tmp_path, "image,label\ntwo\\1.png,cat\none\\1.png,cat\n", root=tmp_path / "images")
    assert [dataset.pictures.read(row).getpixel((0, 0))[0] for row in range(2)] == [20, 10]


def test_long_csv_is_told_from_onehot_by_its_header(tmp_path):
    assert csv(tmp_path, "Image,Label\na,cat\n").taxonomy.names == ("cat",)
    assert csv(tmp_path, "image,label,cat\na,1,0\n").taxonomy.names == ("label", "cat")
    assert csv(tmp_path, "id,label\na,1\n").taxonomy.names == ("label",)


def test_saving_ids_that_would_come_back_as_others(tmp_path):
    dataset = csv(tmp_path, "image,label\na,cat\n")
    for name in ("a\\b.jpg", "./a", "", "\0"):
        with pytest.raises(DataError):
            check_ids([name])
    assert clean_id(".\\a\\b.jpg") == "a/b.jpg" == clean_id(clean_id("a\\b.jpg"))
    with pytest.raises(DataError, match=r"no_such_folder.*check that its folder exists"):
        save_csv_long(tmp_path / "no_such_folder" / "x.csv", dataset)


@pytest.mark.parametrize(
    ("text", "code"), [("train", 0), (" Training", 0), ("VAL", 1), ("valid", 1), ("validation", 1), ("test", 2)]
)
def test_names_of_splits(text, code):
    assert split_code(text) == code


def test_a_folder_of_images(tmp_path):
    for name in ("b/1.JPG", "a/1.jpg", "a/deep/er/2.PNG", "z.webp", ".hidden/3.jpg", ".4.jpg"):
        picture(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfdog, hot\r\n caf\xc3\xa9 \n\n\xf0\x9f\x90\x88\n")
    dataset = load_folder(tmp_path)
    assert dataset.image_ids == ("a/1.jpg", "a/deep/er/2.PNG", "b/1.JPG", "z.webp")
    assert dataset.taxonomy.names == ("dog, hot", "café", "🐈")
    assert dataset.labels == LabelMatrix.from_dense(np.full((4, 3), -1))
    assert dataset.split.tolist() == [0] * 4
    assert dataset.pictures.read(1).size == (4, 3)
    assert dataset.name == tmp_path.name
    assert load_folder(tmp_path, ["x"], name="mine").name == "mine"


@pytest.mark.skipif(os.name != "posix", reason="links need rights on other systems")
def test_links_to_folders_are_followed_once(tmp_path):
    picture(tmp_path / "store" / "1.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "again").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "store")
    assert load_folder(root, ["cat"]).image_ids == ("linked/1.png",)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such names")
def test_a_file_name_that_is_not_unicode(tmp_path):
    picture(tmp_path / "a.png")
    try:
        os.rename(os.fsencode(tmp_path / "a.png"), os.fsencode(tmp_path) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system refuses such names")
    with pytest.raises(DataError, match="is not valid Unicode; rename it"):
        load_folder(tmp_path, ["cat"])


def test_class_lists(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(["a, b", "line\nbreak", " x "]))
    assert load_classes(tmp_path / "c.json").names == ("a, b", "line\nbreak", " x ")


def test_features_with_defaults(tmp_path):
    np.savez(tmp_path / "set.npz", features=np.ones((2, 3), dtype=np.float16), labels=np.array([[True], [False]]))
    dataset = load_features(tmp_path / "set.npz")
    assert dataset.image_ids == ("0", "1")
    assert dataset.taxonomy.names == ("class 0",)
    assert dataset.truth.tolist() == [[1], [0]]
    assert dataset.split.tolist() == [0, 0]
    assert dataset.features.dtype == np.float32


@pytest.mark.parametrize(
    ("source", "confidence", "expected"),
    [
        ("verification", 1.0, ("human", 1, None, "verification")),
        ("crowdsource-verification", 0.0, ("human", 0, None, "crowdsource-verification")),
        ("machine", 0.7, ("proposal:machine", 1, 0.7, "")),
        ("human", 0.0, ("human", 0, None, "")),
        ("proposal:ema", 1.0, ("proposal:ema", 1, None, "")),
    ],
)
def test_sources_of_open_images(source, confidence, expected):
    found = from_open_images(source, confidence)
    assert found[:2] == expected[:2]
    assert found[3] == expected[3]
    assert np.isnan(found[2]) if expected[2] is None else found[2] == expected[2]


def test_a_label_file_of_open_images(tmp_path):
    path = tmp_path / "train-annotations.csv"
    path.write_text(
        "ImageID,Source,LabelName,Confidence\n"
        "000002b66c9c498e,verification,/m/014j1m,0\n000002b66c9c498e,machine,/m/04bcr3,0.9\n0000,verification,/m/014j1m,1\n"
    )
    labels = list(
        load_open_images(
            path, classes=Taxonomy(("Apple", "Table"), aliases={"/m/014j1m": "Apple", "/m/04bcr3": "Table"})
        )
    )
    assert [(label.image[:6], label.label, label.value, label.source) for label in labels] == [
        ("000002", "Apple", 0, "human"),
        ("000002", "Table", 1, "proposal:machine"),
        ("0000", "Apple", 1, "human"),
    ]
    assert labels[1].score == 0.9
    assert labels[0].annotator == "verification"


def table():
    return LabelTable.of(
        Taxonomy(("cat", "dog"), prompts={"cat": "a photo of a cat"}),
        ["a.jpg", "b.jpg", "c.jpg"],
        [0, 1, 2],
        [2, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
        sources=["proposal:ema", "human", "human", "human"],
        scores=[0.75, np.nan, np.nan, np.nan],
        annotators=["", "ann", "ann", "bob"],
        times=[0.0, 1.5, 2.5, 1e9],
        shown=[False, True, False, False],
        metadata={"project": "pets"},
    )


def test_what_the_exports_look_like(tmp_path):
    save_open_images(tmp_path / "labels.csv", table())
    assert (tmp_path / "labels.csv").read_text().splitlines() == [
        "ImageID,Source,LabelName,Confidence,Score,Annotator,Time,Split,Shown",
        "a.jpg,human,cat,1,,ann,2.5,train,0",
        "a.jpg,human,cat,0,,bob,1000000000.0,train,0",
        "a.jpg,human,dog,0,,ann,1.5,train,1",
        "b.jpg,,,,,,,validation,",
        "c.jpg,proposal:ema,cat,1,0.75,,0.0,test,0",
    ]
    save_parquet(tmp_path / "export", table())
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    assert manifest == json.loads((tmp_path / "labels.manifest.json").read_text())
    assert manifest["counts"] == {
        "images": 3,
        "images_without_labels": 1,
        "classes": 2,
        "labels": 4,
        "human": 3,
        "proposals": 1,
        "positive": 2,
        "negative": 2,
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    assert manifest["classes"][0] == {"key": "cat", "name": "cat", "positive": 2, "negative": 1}
    assert manifest["prompts"] == {"cat": "a photo of a cat"}


def test_the_parquet_file_is_plain_for_other_programs(tmp_path):
    import pandas

    save_parquet(tmp_path, table())
    frame = pandas.read_parquet(tmp_path / "labels.parquet")
    assert list(frame.columns) == [
        *("row", "image", "split", "label", "value", "source", "score", "annotator", "time", "shown")
    ]
    assert frame.image.tolist() == ["a.jpg"] * 3 + ["c.jpg", "b.jpg"]
    assert frame.label.isna().tolist() == [False] * 4 + [True]


def test_the_parquet_file_is_complete_without_the_manifest(tmp_path):
    """What a crash between the two files leaves is the new export, whole."""
    save_parquet(tmp_path, table())
    (tmp_path / "manifest.json").unlink()
    assert load_parquet(tmp_path) == load_parquet(tmp_path / "labels.parquet") == table()


def test_open_images_without_its_manifest_keeps_the_labels(tmp_path):
    save_open_images(tmp_path / "labels.csv", table())
    (tmp_path / "labels.manifest.json").unlink()
    assert list(map(str, load_open_images(tmp_path / "labels.csv"))) == list(map(str, table()))


def test_a_parquet_file_with_any_byte_changed_is_refused_or_whole(tmp_path):
    save_parquet(tmp_path, table())
    path = tmp_path / "labels.parquet"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert load_parquet(tmp_path) == table()
        except SpmlError:
            refused += 1
    assert refused > len(whole) / 11 / 2


def test_tables_compare_by_content():
    assert table() == table()
    assert table() != 1
    other = LabelTable.of(Taxonomy(("cat", "dog")), ["a.jpg"], [0], [0], [0], [1])
    assert other != table()
    assert other == LabelTable.of(Taxonomy(("cat", "dog")), ["a.jpg"], [0], [0], [0], [1])
    assert other != LabelTable.of(Taxonomy(("cat", "dog")), ["a.jpg"], [0], [0], [0], [0])
    assert len(table()) == 4
    assert table().without_labels().tolist() == [1]
    with pytest.raises(ValueError, match="read-only"):
        table().values[0] = 0
