"""The format of Datumaro: ours read by the real library, theirs and CVAT's read by us."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies_formats import tables
from strategies_pictures import by_split, every_word, pictures_of, small_table

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats.datumaro import load_datumaro, save_datumaro
from spml_annotate.formats.export import LabelTable
from spml_annotate.taxonomy import Taxonomy

CVAT = {
    "info": {},
    "categories": {
        "label": {
            "labels": [
                {"name": "cat", "parent": "", "attributes": ["fur"]},
                {"name": "dog, hot", "parent": "", "attributes": []},
                {"name": "é", "parent": "", "attributes": []},
            ],
            "attributes": ["occluded"],
        },
        "points": {"items": []},
    },
    "items": [
        {
            "id": "street/1",
            "annotations": [
                {"id": 0, "type": "label", "attributes": {"fur": "long"}, "group": 0, "label_id": 0},
                {"id": 1, "type": "bbox", "attributes": {"score": 0.25}, "group": 1, "label_id": 1, "z_order": 0,
                 "bbox": [1.0, 2.0, 3.0, 4.0]},
                {"id": 2, "type": "bbox", "attributes": {"score": 0.75, "source": "auto"}, "group": 1, "label_id": 1,
                 "z_order": 0, "bbox": [1.0, 2.0, 3.0, 4.0]},
                {"id": 3, "type": "caption", "attributes": {}, "group": 0, "caption": "a street"},
            ],
            "attr": {"frame": 0},
            "point_cloud": {"path": ""},
            "image": {"path": "street/1.JPG", "size": [720, 1280]},
        },
        {"id": "street/2.png", "annotations": [], "media": {"path": ""}},
        {"id": 3, "annotations": None, "attr": {"negatives": ["cat", {"label": "é"}]}, "image": {"path": "/x/3.png"}},
    ],
}  # fmt: skip


def saved(folder, content, name="default.json"):
    (folder / "annotations").mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "annotations" / name).write_text(text, "utf-8")
    return folder


def in_order(table: LabelTable, order: list[int]) -> LabelTable:
    """The images in another order."""
    place = np.argsort(order)
    return LabelTable.of(
        table.taxonomy,
        [table.image_ids[row] for row in order],
        table.split[order],
        place[table.rows] if len(table) else [],
        table.labels,
        table.values,
        sources=table.sources.tolist(),
        scores=table.scores,
        annotators=table.annotators.tolist(),
        times=table.times,
        shown=table.shown,
        metadata=dict(table.metadata),
    )


@pytest.mark.parametrize("with_pictures", [False, True])
@settings(deadline=None)
@given(table=tables())
def test_round_trip_loses_nothing(with_pictures, table):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = pictures_of(folder / "in", table.image_ids) if with_pictures else None
        save_datumaro(folder / "out", table, pictures=pictures)
        found = load_datumaro(folder / "out")
    assert found == in_order(table, by_split(table))


def test_what_the_files_say(tmp_path):
    table = small_table(annotators=["ann", "ann", "", "bob", ""], times=[1.5, 2.0, 0.0, 3.0, 0.0], shown=[True] * 5)
    pictures = pictures_of(tmp_path / "in", table.image_ids)
    save_datumaro(tmp_path / "out", table, pictures=pictures, link=True)
    assert sorted(f.relative_to(tmp_path / "out").as_posix() for f in (tmp_path / "out").rglob("*.*g")) == [
        "images/train/a b/1.jpg", "images/train/é/2.png", "images/val/images/00000002.png",
    ]  # fmt: skip
    content = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text("utf-8"))
    assert content["items"][0] == {
        "id": "a b/1",
        "annotations": [
            {"id": 0, "type": "label", "group": 0, "label_id": 0,
             "attributes": {"source": "human", "annotator": "ann", "time": 1.5, "shown": True}},
            {"id": 1, "type": "label", "group": 0, "label_id": 2,
             "attributes": {"source": "proposal:ema", "score": 0.875, "shown": True}},
        ],
        "attr": {"negatives": [
            {"label": "café 🐈", "source": "human", "annotator": "ann", "time": 2.0, "shown": True},
        ]},
        "image": {"path": "a b/1.jpg"},
    }  # fmt: skip
    val = json.loads((tmp_path / "out" / "annotations" / "val.json").read_text("utf-8"))
    assert (val["items"][0]["id"], val["items"][0]["attr"]["image_id"]) == ("images/00000002", "../3")
    assert val["infos"] == content["infos"], "the library refuses subsets that differ in this"


def test_the_same_table_gives_the_same_bytes_and_replaces_itself(tmp_path):
    for name in ("x", "y", "y"):
        save_datumaro(tmp_path / name, small_table())
    for name in ("train.json", "val.json"):
        assert (tmp_path / "x/annotations" / name).read_bytes() == (tmp_path / "y/annotations" / name).read_bytes()
    (tmp_path / "y" / "mine.txt").touch()
    with pytest.raises(DataError, match=r"holds 'mine\.txt', which no export wrote"):
        save_datumaro(tmp_path / "y", small_table())


def test_several_words_on_a_cell(tmp_path):
    table = LabelTable.of(
        Taxonomy(("a",)), ["1.jpg", "1.png"], [0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1],
        sources=["human", "human", "proposal:x"], scores=[float("nan"), float("nan"), 0.5],
        annotators=["ann", "bob", ""], times=[2.0, 1.0, 3.0],
    )  # fmt: skip
    save_datumaro(tmp_path / "out", table)
    found = load_datumaro(tmp_path / "out")
    assert every_word(found) == every_word(table)
    assert found.matrix().dense().tolist() == [[1], [-1]]


@pytest.mark.parametrize("images", [[], ["a.jpg"]])
def test_tables_without_labels(tmp_path, images):
    table = LabelTable.of(Taxonomy(("only",)), images, [0] * len(images), [], [], [])
    save_datumaro(tmp_path / "out", table)
    assert load_datumaro(tmp_path / "out") == table


def test_what_cvat_exports(tmp_path):
    saved(tmp_path, CVAT)
    for path in (tmp_path, tmp_path / "annotations", tmp_path / "annotations" / "default.json"):
        table = load_datumaro(path)
        assert table.image_ids == ("street/1.JPG", "street/2.png", "3.png")
        assert table.taxonomy.names == ("cat", "dog, hot", "é")
        assert table.matrix().dense().tolist() == [[1, 1, -1], [-1, -1, -1], [0, -1, 0]]
        assert table.sources.tolist() == ["human", "proposal:datumaro", "human", "human"]
        assert table.scores.tolist()[1] == 0.75
    assert load_datumaro(tmp_path, complete=True).matrix().dense().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    more = {"id": "t", "annotations": [{"type": "label", "label_id": 1}]}
    new = {"categories": {"label": {"labels": [{"name": "new"}, {"name": "cat"}]}}, "items": [more]}
    saved(tmp_path, new, "Test.json")
    both = load_datumaro(tmp_path)
    assert both.taxonomy.names == ("cat", "dog, hot", "é", "new")
    assert both.split.tolist() == [0, 0, 0, 2]
    assert both.matrix().dense()[3, both.taxonomy.column("cat")] == 1
    with pytest.raises(DataError, match=r"default\.json: items\[0\]: there is no class 'dog, hot'"):
        load_datumaro(tmp_path, classes=["cat", "é", "new"])


def item(**changes):
    return {**CVAT, "items": [{"id": "a", "annotations": [], **changes}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"items": [\n{"id": 1,}]}', "line 2: this is not JSON"),
        ("[]", "this is no file of Datumaro"),
        ('{"images": [], "categories": [], "annotations": []}', "for COCO use --format coco"),
        ({"items": []}, "no class is named; give a class list"),
        (
            {"items": [], "categories": {"label": {"labels": [{"name": ""}]}}},
            r"label\.labels\[0\]\.name: the class has",
        ),
        ({"items": [], "categories": {"label": {"labels": [{"name": "a"}] * 2}}}, "class 'a' appears twice"),
        ({**CVAT, "items": [3]}, r"items\[0\]: this is a number, not an object"),
        (item(id=1.5), r"items\[0\]\.id: this is a number, not an id"),
        (item(id=""), r"items\[0\]\.id: the image id is empty"),
        (item(annotations={}), r"items\[0\]\.annotations: this is an object, not a list"),
        (item(annotations=[{"label_id": 3}]), r"items\[0\]\.annotations\[0\]\.label_id: 3 is none of the 3 classes"),
        (item(annotations=[{"label_id": "cat"}]), "label_id: 'cat' is none of the 3 classes"),
        (
            item(annotations=[{"label_id": 0, "attributes": {"score": 75}}]),
            r"annotations\[0\]\.attributes\.score: 75 lies outside 0\.\.1",
        ),
        (
            item(annotations=[{"label_id": 0}], attr={"negatives": ["cat"]}),
            r"items\[0\]\.attr\.negatives: 'cat' is among the annotations, too",
        ),
        (item(attr={"negatives": [3]}), r"attr\.negatives\[0\]\.label: the class is missing"),
        (item(attr={"negatives": ["cow"]}), r"items\[0\]: there is no class 'cow'"),
        (item(attr={"further_labels": [{"label": "cat"}]}), r"attr\.further_labels\[0\]\.value: value None is neither"),
    ],
)
def test_malformed_files_are_named_with_the_place(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        load_datumaro(saved(tmp_path, content))
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_an_image_in_two_subsets_and_other_classes(tmp_path):
    saved(saved(tmp_path, item(), "train.json"), item(), "val.json")
    with pytest.raises(DataError, match=r"val\.json: items\[0\]\.id: image 'a' is in validation here and in train"):
        load_datumaro(tmp_path)
    with pytest.raises(DataError, match=r"there is no annotations/\*\.json"):
        load_datumaro(tmp_path / "nowhere")
    save_datumaro(tmp_path / "out", small_table())
    text = (tmp_path / "out/annotations/train.json").read_text("utf-8")
    (tmp_path / "out/annotations/train.json").write_text(text.replace('"key": "a/b"', '"key": "b/a"'), "utf-8")
    with pytest.raises(MismatchError, match="changed by hand"):
        load_datumaro(tmp_path / "out")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_library_reads_labels_and_pictures(tmp_path):
    datumaro = pytest.importorskip("datumaro")
    table = small_table()
    pictures = pictures_of(tmp_path / "in", table.image_ids)
    save_datumaro(tmp_path / "out", table, pictures=pictures)
    found = datumaro.Dataset.import_from(str(tmp_path / "out"), "datumaro")
    assert datumaro.Environment().detect_dataset(str(tmp_path / "out")) == ["datumaro"]
    names = [label.name for label in found.categories()[datumaro.AnnotationType.label]]
    assert names == list(table.taxonomy.names)
    assert sorted(found.subsets()) == ["train", "val"]
    items = {thing.id: thing for thing in found}
    assert sorted(items) == ["a b/1", "images/00000002", "é/2"]
    first = items["a b/1"]
    assert [(names[said.label], said.attributes) for said in first.annotations] == [
        ("dog, hot", {"source": "human"}), ("a/b", {"source": "proposal:ema", "score": 0.875}),
    ]  # fmt: skip
    assert [said["label"] for said in first.attributes["negatives"]] == ["café 🐈"]
    assert first.media.data.shape[:2] == (3, 4)
    assert items["images/00000002"].annotations == []
    assert items["images/00000002"].media.data is not None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("media", [False, True])
def test_what_the_library_writes_of_ours_comes_back(tmp_path, media):
    datumaro = pytest.importorskip("datumaro")
    table = in_order(small_table(annotators=["ann", "", "", "bob", ""], times=[1.5, 0, 0, 3.0, 0]), [0, 1, 2])
    pictures = pictures_of(tmp_path / "in", table.image_ids) if media else None
    save_datumaro(tmp_path / "out", table, pictures=pictures)
    found = datumaro.Dataset.import_from(str(tmp_path / "out"), "datumaro")
    found.export(str(tmp_path / "theirs"), "datumaro", save_media=media)
    assert load_datumaro(tmp_path / "theirs") == table


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_the_library_writes_of_others(tmp_path):
    datumaro = pytest.importorskip("datumaro")
    items = [
        datumaro.DatasetItem(
            id="dir/1", subset="test", media=datumaro.Image.from_numpy(np.ones((5, 6, 3), dtype=np.uint8)),
            annotations=[datumaro.Label(1), datumaro.Bbox(1, 1, 2, 2, label=0, attributes={"score": 0.5})],
        ),
        datumaro.DatasetItem(id="2", subset="odd name", annotations=[datumaro.Caption("x")]),
    ]  # fmt: skip
    made = datumaro.Dataset.from_iterable(items, categories=["cat", "dog"])
    made.export(str(tmp_path / "theirs"), "datumaro", save_media=True)
    table = load_datumaro(tmp_path / "theirs")
    assert set(zip(table.image_ids, table.split.tolist(), strict=True)) == {("dir/1.jpg", 2), ("2", 0)}
    assert {(said.label, said.source) for said in table} == {("dog", "human"), ("cat", "proposal:datumaro")}
