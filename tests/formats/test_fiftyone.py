"""FiftyOne data sets on disk: ours read by the real library and its database, theirs read by us."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from strategies_formats import tables
from strategies_pictures import every_word, pictures_of, small_table

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.fiftyone import load_fiftyone, save_fiftyone
from spml_annotate.taxonomy import Taxonomy

METADATA = {
    "_id": {"$oid": "66449253131be5d46bb03ee4"},
    "name": "quickstart",
    "version": "0.23.8",
    "media_type": "image",
    "info": {},
    "classes": {},
    "default_classes": [],
    "sample_fields": [
        {"name": "filepath", "ftype": "fiftyone.core.fields.StringField", "embedded_doc_type": None},
        {"name": "ground_truth", "embedded_doc_type": "fiftyone.core.labels.Detections"},
        {"name": "predictions", "embedded_doc_type": "fiftyone.core.labels.Classifications"},
        {"name": "scene", "embedded_doc_type": "fiftyone.core.labels.Classification"},
    ],
}


def box(label, **more):
    return {"_id": {"$oid": "0" * 24}, "_cls": "Detection", "attributes": {}, "tags": [], "label": label, **more}


SAMPLES = {
    "samples": [
        {
            "_id": {"$oid": "1" * 24}, "filepath": "data/000880.jpg", "tags": ["validation"], "_rand": 0.5,
            "metadata": None, "uniqueness": 0.8, "_media_type": "image",
            "ground_truth": {"_cls": "Detections", "detections": [
                box("bird, big", bounding_box=[0, 0, 1, 1]), box("bird, big"), box("é")]},
            "predictions": {"_cls": "Classifications", "classifications": [
                {"_cls": "Classification", "tags": [], "label": "cat", "confidence": 0.25, "logits": None},
                {"_cls": "Classification", "tags": [], "label": "cat", "confidence": 0.75, "source": "auto"},
                {"_cls": "Classification", "tags": [], "label": "é", "confidence": None}]},
            "scene": {"_cls": "Classification", "label": "street"},
        },
        {"filepath": "/home/me/pictures/dir/2.png", "tags": ["todo"], "ground_truth": None, "scene": None},
    ]
}  # fmt: skip


def saved(folder, samples=SAMPLES, about=METADATA):
    folder.mkdir(exist_ok=True)
    for name, content in (("samples.json", samples), ("metadata.json", about)):
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder


@pytest.mark.parametrize("with_pictures", [False, True])
@settings(deadline=None)
@given(table=tables())
def test_round_trip_loses_nothing(with_pictures, table):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = pictures_of(folder / "in", table.image_ids) if with_pictures else None
        save_fiftyone(folder / "out", table, pictures=pictures, list_unknown=with_pictures)
        assert load_fiftyone(folder / "out") == table


def told(**columns):
    return small_table(
        annotators=["ann", "ann", "", "bob", ""], times=[1.5, 2.0, 0.0, 3.0, 0.0], shown=[True] * 5, **columns
    )


def test_what_the_files_say(tmp_path):
    table = told()
    save_fiftyone(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", table.image_ids), list_unknown=True)
    names = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*"))
    assert names[1:] == [
        "data/a b/1.jpg", "data/images/00000002.png", "data/é/2.png", "metadata.json", "samples.json",
    ]  # fmt: skip
    samples = json.loads((tmp_path / "out" / "samples.json").read_text("utf-8"))["samples"]
    first = samples[0]
    assert (first["filepath"], first["tags"], first["image_id"]) == ("data/a b/1.jpg", ["train"], "a b/1.jpg")
    assert 0 <= first["_rand"] < 1
    positives = first["labels"]["classifications"]
    assert [(label["label"], label["tags"], label.get("confidence")) for label in positives] == [
        ("dog, hot", ["human"], None), ("a/b", ["proposal"], 0.875),
    ]  # fmt: skip
    assert (positives[0]["annotator"], positives[0]["time"], positives[0]["shown"]) == ("ann", 1.5, True)
    assert [label["label"] for label in first["negatives"]["classifications"]] == ["café 🐈"]
    assert [sample["unknown"] for sample in samples] == [[], ["dog, hot", "a/b"], ["café 🐈", "a/b"]]
    assert samples[2]["image_id"] == "../3"
    identities = {sample["_id"]["$oid"] for sample in samples} | {
        label["_id"]["$oid"] for label in [*positives, *first["negatives"]["classifications"]]
    }
    assert {len(identity) for identity in identities} == {24}
    assert len(identities) == 6


def test_the_same_table_gives_the_same_bytes_and_replaces_itself(tmp_path):
    for name in ("x/out", "y/out", "y/out"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_fiftyone(tmp_path / name, told())
    for name in ("metadata.json", "samples.json"):
        assert (tmp_path / "x/out" / name).read_bytes() == (tmp_path / "y/out" / name).read_bytes()
    (tmp_path / "y/out" / "mine.txt").touch()
    with pytest.raises(DataError, match=r"holds 'mine\.txt', which no export wrote"):
        save_fiftyone(tmp_path / "y/out", told())


def several() -> LabelTable:
    nan = float("nan")
    return LabelTable.of(
        Taxonomy(("a",)), ["1.jpg", "1.png"], [0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1],
        sources=["human", "human", "proposal:x"], scores=[nan, nan, 0.5], annotators=["ann", "bob", ""],
        times=[2.0, 1.0, 3.0],
    )  # fmt: skip


def test_several_words_on_a_cell(tmp_path):
    save_fiftyone(tmp_path / "out", several())
    found = load_fiftyone(tmp_path / "out")
    assert every_word(found) == every_word(several())
    assert found.matrix().dense().tolist() == [[1], [-1]]


@pytest.mark.parametrize("images", [[], ["a.jpg"]])
def test_tables_without_labels(tmp_path, images):
    table = LabelTable.of(Taxonomy(("only",)), images, [0] * len(images), [], [], [])
    save_fiftyone(tmp_path / "out", table)
    assert load_fiftyone(tmp_path / "out") == table


def test_what_fiftyone_exports(tmp_path):
    table = load_fiftyone(saved(tmp_path), root="/home/me/pictures")
    assert table.image_ids == ("000880.jpg", "dir/2.png")
    assert table.taxonomy.names == ("bird, big", "é")
    assert (table.matrix().dense().tolist(), table.split.tolist()) == ([[1, 1], [-1, -1]], [1, 0])
    assert load_fiftyone(tmp_path, complete=True).matrix().dense().tolist() == [[1, 1], [0, 0]]
    assert load_fiftyone(tmp_path).image_ids[1] == "/home/me/pictures/dir/2.png"
    guessed = load_fiftyone(tmp_path, field="predictions", classes=["é", "cat"])
    assert [(said.label, said.source, said.score == said.score and said.score) for said in guessed] == [
        ("é", "human", False), ("cat", "proposal:fiftyone", 0.75),
    ]  # fmt: skip
    assert load_fiftyone(tmp_path, field="scene").taxonomy.names == ("street",)
    with pytest.raises(DataError, match=r"samples\.json: samples\[0\]: there is no class 'bird, big'"):
        load_fiftyone(tmp_path, classes=["é"])
    negative = {"samples": [{**SAMPLES["samples"][0], "negatives": box("cow")}]}
    assert load_fiftyone(saved(tmp_path, negative)).matrix().dense().tolist() == [[1, 1, 0]]


def test_a_file_for_each_sample_and_stated_classes(tmp_path):
    saved(tmp_path, about={**METADATA, "default_classes": ["z", "é"]})
    (tmp_path / "samples.json").unlink()
    (tmp_path / "samples").mkdir()
    for number, sample in enumerate(SAMPLES["samples"]):
        (tmp_path / "samples" / f"{number:06d}-x.json").write_text(json.dumps(sample), "utf-8")
    table = load_fiftyone(tmp_path)
    assert table.taxonomy.names == ("z", "é", "bird, big")
    assert table.matrix().dense().tolist() == [[-1, 1, 1], [-1, -1, -1]]


def changed(**changes):
    return {"samples": [{"filepath": "data/a.jpg", "tags": [], "ground_truth": None, **changes}]}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ('{"samples": [\n{"id": 1,}]}', "line 2: this is not JSON"),
        ("[]", "this is not what FiftyOne exports"),
        ({"samples": {}}, "samples: this is an object, not a list"),
        ({"samples": [3]}, r"samples\[0\]: this is a number, not an object"),
        ({"samples": []}, "no class is named; give a class list"),
        (changed(ground_truth={"_cls": "Detections", "detections": [box("x")]}, filepath=None), "filepath: it is miss"),
        (changed(filepath=["a"]), "no class is named"),
        (
            changed(ground_truth={"_cls": "Segmentation"}),
            r"samples\[0\]\.ground_truth: these are no labels of an image",
        ),
        (changed(ground_truth=3), r"samples\[0\]\.ground_truth: these are no labels"),
        (changed(ground_truth=box("x"), filepath=3), r"samples\[0\]\.filepath: this is a number, not text"),
        (changed(ground_truth=box("x"), tags="train"), r"samples\[0\]\.tags: this is text, not a list"),
        (changed(ground_truth=box(None)), "no class is named"),
        (changed(ground_truth=box("x"), negatives=box(7)), r"samples\[0\]\.negatives\.label: this is a number"),
        (changed(ground_truth=box("x"), negatives=box("x")), r"negatives: 'x' is in the field ground_truth, too"),
        (changed(ground_truth=box("x"), further_labels=box("x")), r"further_labels\.value: value None is neither"),
        (
            changed(ground_truth={"_cls": "Detections", "detections": [box("x", confidence=90)]}),
            r"ground_truth\.detections\[0\]\.confidence: 90 lies outside 0\.\.1",
        ),
    ],
)
def test_malformed_samples_are_named_with_the_place(tmp_path, samples, message):
    with pytest.raises(DataError, match=message) as error:
        load_fiftyone(saved(tmp_path, samples))
    assert str(error.value).startswith(str(tmp_path / "samples.json"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("{", "metadata.json, line 1: this is not JSON"),
        ("[]", "this is not what FiftyOne exports"),
        ({**METADATA, "media_type": "video"}, "the data set has media of the type 'video', not image"),
        ({**METADATA, "sample_fields": METADATA["sample_fields"][:1]}, "no field of the 2 samples has labels"),
        ({**METADATA, "info": {"spml_annotate": "{"}}, "the manifest is damaged"),
    ],
)
def test_malformed_descriptions(tmp_path, about, message):
    with pytest.raises(DataError, match=message):
        load_fiftyone(saved(tmp_path, about=about))


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(SettingError, match="several fields have labels: predictions, scene; name one with field="):
        load_fiftyone(saved(tmp_path, about={**METADATA, "sample_fields": METADATA["sample_fields"][2:]}))
    with pytest.raises(DataError, match="this is a file; name the folder"):
        load_fiftyone(tmp_path / "samples.json")
    (tmp_path / "samples.json").unlink()
    with pytest.raises(DataError, match=r"there is no samples\.json"):
        load_fiftyone(tmp_path)
    with pytest.raises(DataError, match=r"there is no metadata\.json"):
        load_fiftyone(tmp_path / "nowhere")
    save_fiftyone(tmp_path / "out", told())
    file = tmp_path / "out" / "metadata.json"
    file.write_text(file.read_text("utf-8").replace(r"\"key\": \"a/b\"", r"\"key\": \"b/a\""), "utf-8")
    with pytest.raises(MismatchError, match="changed by hand"):
        load_fiftyone(tmp_path / "out")
