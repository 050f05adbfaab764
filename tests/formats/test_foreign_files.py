"""Files as other people's programs make them, each read wrongly or refused before."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from PIL import Image

from spml_annotate.errors import DataError
from spml_annotate.formats.coco import load_coco
from spml_annotate.formats.huggingface import load_huggingface
from spml_annotate.formats.huggingface_parquet import load_huggingface_parquet
from spml_annotate.formats.label_studio import load_label_studio
from spml_annotate.formats.open_images import load_open_images
from spml_annotate.formats.telling import tell_format
from spml_annotate.formats.text_lists import printed_list
from spml_annotate.formats.voc import load_voc
from spml_annotate.formats.webdataset import load_webdataset

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 200, "name": "rug-merged", "isthing": 0}]
IMAGES = [{"id": 9, "file_name": "9.jpg"}, {"id": 10, "file_name": "10.jpg"}]


def put(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(file)
    return file


def known(table):
    return {
        (table.image_ids[row], table.taxonomy.names[label]): int(value)
        for row, label, value in zip(*table.matrix().cells(), strict=True)
    }


def shard(file, members):
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    file.write_bytes(gzip.compress(kept.getvalue()) if file.suffix != ".tar" else kept.getvalue())
    return file


def test_panoptic_segments_say_what_is_there(tmp_path):
    segments = [{"id": 1, "category_id": 1, "iscrowd": 0}, {"id": 2, "category_id": 200, "iscrowd": 1}]
    said = {"image_id": 9, "file_name": "9.png", "segments_info": segments}
    path = put(tmp_path / "panoptic.json", {"images": IMAGES, "annotations": [said], "categories": CATEGORIES})
    assert load_coco(path).truth.tolist() == [[1, 1], [-1, -1]]
    assert load_coco(path, crowd=False).truth.tolist() == [[1, -1], [-1, -1]]
    said["segments_info"] = [{"id": 1, "category_id": 7}]
    put(path, {"images": IMAGES, "annotations": [said], "categories": CATEGORIES})
    with pytest.raises(DataError, match=r"annotations\[0\].segments_info\[0\].category_id: there is no category 7"):
        load_coco(path)


@pytest.mark.parametrize(("flag", "code"), [(True, -1), (False, 1), (1, -1), (None, 1)])
def test_crowd_may_be_true_or_false(tmp_path, flag, code):
    said = {"id": 1, "image_id": 9, "category_id": 1, "iscrowd": flag}
    path = put(tmp_path / "a.json", {"images": IMAGES[:1], "annotations": [said], "categories": CATEGORIES[:1]})
    assert load_coco(path, crowd=False).truth.tolist() == [[code]]


def test_one_list_above_the_folders_of_splits_keeps_the_splits(tmp_path):
    for name in ("train/a.png", "validation/b.png", "test/c.png"):
        picture(tmp_path / name)
    lines = [{"file_name": f"{name}.png", "labels": ["cat"]} for name in ("train/a", "validation/b", "test/c")]
    put(tmp_path / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert load_huggingface(tmp_path).split.tolist() == [0, 1, 2]


def test_a_list_in_a_cell_of_metadata_is_several_labels(tmp_path):
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    put(
        tmp_path / "metadata.csv",
        "file_name,labels\na.png,\"['cat', 'dog''s']\"\nb.png,[]\nc.png,hot dog\n".replace("''", ""),
    )
    found = load_huggingface(tmp_path)
    assert known(found) == {("a.png", "cat"): 1, ("a.png", "dogs"): 1, ("c.png", "hot dog"): 1}


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['cat', \"it's\"]", ["cat", "it's"]),
        ('["caf\\u00e9", "a,b"]', ["café", "a,b"]),
        ("[1, -2]", [1, -2]),
        ("[]", []),
        ("['a' 'b']", None),
        ("[a, b]", None),
        ("cat", None),
        ("['a'", None),
    ],
)
def test_printed_lists(text, items):
    assert printed_list(text) == items


def test_pictures_of_one_name_in_parquet_stay_apart(tmp_path, monkeypatch):
    """The library keeps ``1.png`` of ``cat/1.png`` and ``dog/1.png``."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    content = picture(tmp_path / "a.png").read_bytes()
    features = datasets.Features(
        {"image": datasets.Image(), "labels": datasets.Sequence(datasets.ClassLabel(names=["cat", "dog"]))}
    )
    for split, labels in (("train", [[0], [1], [0, 1]]), ("test", [[1]])):
        paths = ["1.png", "1.png", "2.png"] if split == "train" else ["1.png"]
        images = [{"bytes": content, "path": path} for path in paths]
        made = datasets.Dataset.from_dict({"image": images, "labels": labels}, features=features)
        (tmp_path / "out").mkdir(exist_ok=True)
        made.to_parquet(str(tmp_path / "out" / f"{split}-00000-of-00001.parquet"))
    found = load_huggingface_parquet(tmp_path / "out")
    first, test = "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"
    assert found.image_ids == (f"{first}#0", f"{first}#1", "2.png", f"{test}#0")
    assert found.matrix().dense().tolist() == [[1, -1], [-1, 1], [1, 1], [-1, 1]]
    assert found.split.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize("column", ["image", "img", "file_name"])
def test_paths_in_parquet_are_ids(tmp_path, column):
    pandas = pytest.importorskip("pandas")
    (tmp_path / "in").mkdir()
    pandas.DataFrame({column: ["a/1.png"], "labels": [["cat"]]}).to_parquet(tmp_path / "in" / "train.parquet")
    assert known(load_huggingface_parquet(tmp_path / "in")) == {("a/1.png", "cat"): 1}


def test_a_column_that_is_missing_in_parquet_is_said_with_its_file(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"fine_label": datasets.ClassLabel(names=["a", "b"])})
    datasets.Dataset.from_dict({"fine_label": [1]}, features=features).to_parquet(str(tmp_path / "x.parquet"))
    with pytest.raises(DataError, match=r"x\.parquet, record 1: there is no column 'labels', 'label' or 'objects'"):
        load_huggingface_parquet(tmp_path / "x.parquet")


def test_shards_that_count_anew_are_not_mixed(tmp_path):
    for number in (0, 1):
        shard(tmp_path / f"part-{number}.tar", {"0001.png": b"", "0001.cls": f"class {number}".encode()})
    with pytest.raises(DataError, match=r"part-1\.tar, 0001: image '0001\.png' is in part-0\.tar, too; load shards"):
        load_webdataset(tmp_path)
    assert known(load_webdataset(tmp_path / "part-1.tar")) == {("0001.png", "class 1"): 1}


def test_a_list_alone_in_a_shard_and_names_with_a_dot_before_them(tmp_path):
    path = shard(tmp_path / "a.tar", {"./b/1.png": b"", "./b/1.json": b'["cat", "dog"]'})
    assert known(load_webdataset(path)) == {("b/1.png", "cat"): 1, ("b/1.png", "dog"): 1}


def test_a_control_that_was_named_is_taken(tmp_path):
    def region(control, word):
        return {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": [word]}}

    said = {"id": 1, "completed_by": 1, "result": [region("label", "cat"), region("quality", "good")]}
    path = put(tmp_path / "a.json", [{"data": {"image": "/data/upload/1/a.jpg"}, "annotations": [said]}])
    with pytest.raises(DataError, match="say which control has the classes"):
        load_label_studio(path)
    assert load_label_studio(path, control="label").taxonomy.names == ("cat",)
    assert load_label_studio(path, control="quality").taxonomy.names == ("good",)


@pytest.mark.parametrize("name", ["a.tar.gz", "A.TAR.GZ", "a.tgz", "in/a.tar.gz", "in/train/a.tgz"])
def test_compressed_shards_are_told(tmp_path, name):
    file = shard(tmp_path / name, {"1.png": b"", "1.cls": b"cat"})
    assert tell_format(file) == "webdataset"
    if name.startswith("in"):
        assert tell_format(tmp_path / "in") == "webdataset"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"infos": {}, "categories": {"label": {"labels": []}}, "items": []}, "datumaro"),
        ({"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": {"a": [{"images": 1}]}, "items": []},
         "datumaro"),
        ({"info": {"items": 1, "samples": []}, "images": []}, "coco"),
        ({"info": {"long": "x" * 70_000}, "images": []}, "coco"),
        ({"annotations": [], "categories": []}, "coco"),
        ({"samples": []}, "fiftyone"),
        ([{"data": {}, "annotations": []}], "label-studio"),
    ],
)  # fmt: skip
def test_json_is_told_by_its_keys(tmp_path, content, name):
    assert tell_format(put(tmp_path / "a.json", content)) == name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", {"action": "ANNOTATION_CREATED", "task": {"items": []}}, "this looks like no known format"),
        ("a.json", [{"image_id": 1, "category_id": 2, "score": 0.5}], "these are results of a detector for COCO"),
        ("metadata.jsonl", {"file_name": "a.png"}, "this belongs to an imagefolder of Hugging Face; name the folder"),
    ],
)
def test_other_json_is_refused(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        tell_format(put(tmp_path / name, content))


@pytest.mark.parametrize(
    "place", ["annotations/lvis_v1_val.json", "_annotations.coco.json", "train/_annotations.coco.json"]
)
def test_folders_in_the_manner_of_coco_name_a_file(tmp_path, place):
    file = put(tmp_path / place, {"images": [], "annotations": [], "categories": []})
    with pytest.raises(DataError, match=r"name one of its files, such as ") as caught:
        tell_format(tmp_path)
    assert str(caught.value).endswith(str(file))


def test_a_sample_per_file_of_fiftyone_is_told(tmp_path):
    put(tmp_path / "metadata.json", {"sample_fields": []})
    put(tmp_path / "samples" / "1.json", {"filepath": "a.png"})
    assert tell_format(tmp_path) == "fiftyone"


def test_what_save_to_disk_wrote_is_explained(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"labels": [["cat"]]}).save_to_disk(str(tmp_path / "a"))
    with pytest.raises(DataError, match="save_to_disk wrote this; write it with to_parquet"):
        tell_format(tmp_path / "a")


def test_codes_of_open_images_get_their_names(tmp_path):
    lines = "ImageID,Source,LabelName,Confidence\na,verification,/m/1,1\na,machine,/m/2,0.7\nb,verification,/m/3,0\n"
    path = put(tmp_path / "labels.csv", lines)
    assert load_open_images(path).taxonomy.names == ("/m/1", "/m/2", "/m/3")
    put(tmp_path / "oidv7-class-descriptions.csv", 'LabelName,DisplayName\n/m/1,"Crown, old"\n/m/2,Bat\n/m/9,Bat\n')
    found = load_open_images(path)
    assert found.taxonomy.names == ("Crown, old", "Bat (/m/2)", "/m/3")
    assert known(found) == {("a", "Crown, old"): 1, ("a", "Bat (/m/2)"): 1, ("b", "/m/3"): 0}
    put(tmp_path / "other.csv", "/m/1,A\n\n/m/2,B,C\n")
    with pytest.raises(DataError, match=r"other\.csv, line 3: this is not a code of Open Images and a name"):
        load_open_images(path, descriptions=tmp_path / "other.csv")


def test_columns_of_open_images_in_another_order(tmp_path):
    path = put(tmp_path / "a.csv", "Confidence,ImageID,LabelName,Source\n1,a,/m/1,verification\n")
    assert tell_format(path) == "open-images"
    assert known(load_open_images(path)) == {("a", "/m/1"): 1}


def test_the_smaller_json_of_label_studio(tmp_path):
    common = {"annotator": 3, "annotation_id": 5, "created_at": "2024-01-01T10:00:00Z", "lead_time": 2.5}
    entries = [
        {"image": "/data/upload/1/a.jpg", "id": 1, "choice": "cat", **common},
        {"image": "/data/upload/1/b.jpg", "id": 2, "choice": {"choices": ["cat", "hot dog"]}, **common},
        {"image": "/data/upload/1/c.jpg", "id": 3, **common},
        {"image": "/data/upload/1/d.jpg", "id": 4, "choice": [["animal", "cat"]], **common},
    ]
    path = put(tmp_path / "a.json", entries[:1])
    with pytest.raises(DataError, match=r"this is of the format JSON_MIN, CSV or TSV; .* out of image, choice"):
        load_label_studio(path)
    assert known(load_label_studio(path, control="choice")) == {("upload/1/a.jpg", "cat"): 1}
    found = load_label_studio(put(path, entries))  # several choices somewhere show which key it is
    names = [f"upload/1/{name}.jpg" for name in "abcd"]
    assert list(found.image_ids) == names
    cells = {(names[0], "cat"): 1, (names[1], "cat"): 1, (names[1], "hot dog"): 1, (names[3], "animal/cat"): 1}
    assert known(found) == cells
    assert set(found.annotators) == {"ls:user-3"}
    put(path, entries[1:3])
    assert len(load_label_studio(path)) == 2
    put(path, [{**entries[0], "choice": 7}])
    with pytest.raises(DataError, match="'choice' holds no choices; export the project in the format JSON"):
        load_label_studio(path, control="choice")


def test_folders_that_fiftyone_makes_for_others(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    put(
        tmp_path / "voc" / "labels" / "a.xml",
        f"<annotation><filename>a.png</filename><object><name>cat</name>{box}</object></annotation>",
    )
    picture(tmp_path / "voc" / "data" / "a.png")
    assert tell_format(tmp_path / "voc") == "voc"
    assert load_voc(tmp_path / "voc").image_ids == ("a.png",)
    put(tmp_path / "coco" / "labels.json", {"images": [], "annotations": [], "categories": []})
    with pytest.raises(DataError, match=r"such as .*coco/labels\.json"):
        tell_format(tmp_path / "coco")
    put(tmp_path / "one" / "labels.json", {"classes": ["cat"], "labels": {"a": 0}})
    with pytest.raises(DataError, match="this looks like no known format"):
        tell_format(tmp_path / "one")
    picture(tmp_path / "tree" / "cat" / "a.png")
    with pytest.raises(DataError, match="folders called by their class are huggingface"):
        tell_format(tmp_path / "tree")
