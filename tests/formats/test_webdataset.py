"""WebDataset shards: read back by us, read by the real library, and shards of others read by us."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from PIL import Image
from strategies_formats import tables
from strategies_pictures import pictures_of, small_table

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats.webdataset import load_webdataset, save_webdataset


@settings(deadline=None)
@given(tables())
def test_round_trip_loses_nothing(table):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_webdataset(folder / "out", table, pictures=pictures_of(folder / "in", table.image_ids), shard_images=2)
        assert load_webdataset(folder / "out") == table


def test_the_same_table_gives_the_same_bytes(tmp_path):
    table = small_table()
    for place in ("1", "2", "2"):
        save_webdataset(tmp_path / place, table, pictures=pictures_of(tmp_path / "in", table.image_ids))
    names = ["manifest.json", "train-000000.tar", "validation-000000.tar"]
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    with tarfile.open(tmp_path / "1" / names[1]) as tar:
        assert [member.name for member in tar] == ["00000000.png", "00000000.json", "00000001.jpg", "00000001.json"]
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar} == {(0, 0, "", 0o644)}


# the library leaves it to the garbage collector to close its files
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_library_reads_pictures_and_labels(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    table = small_table()
    pictures = pictures_of(tmp_path / "in", table.image_ids)
    save_webdataset(tmp_path / "out", table, pictures=pictures, shard_images=1)
    shards = sorted(str(file) for file in (tmp_path / "out").glob("train-*.tar"))
    assert len(shards) == 2
    found = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png;jpg", "json"))
    assert [about["image_id"] for _, about in found] == ["a b/1.jpg", "é/2.png"]
    assert [about["labels"] for _, about in found] == [["dog, hot", "a/b"], ["café 🐈"]]
    assert [about["negatives"] for _, about in found] == [["café 🐈"], []]
    assert found[0][1]["provenance"][2] == {
        "label": "a/b", "value": 1, "source": "proposal:ema", "score": 0.875, "annotator": "", "time": 0.0,
        "shown": False,
    }  # fmt: skip
    for picture, about in found:
        with Image.open(pictures[about["image_id"]]) as own:
            assert picture.tobytes() == own.convert("RGB").tobytes()


def test_shards_that_the_library_wrote(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "val-000000.tar")) as writer:
        writer.write({"__key__": "dir/a", "jpg": Image.new("RGB", (2, 2)), "json": {"labels": ["cat", "dog"], "x": 1}})
        writer.write({"__key__": "dir/b.c", "png": Image.new("RGB", (2, 2)), "json": {"labels": [1]}})
        writer.write({"__key__": "c", "jpg": Image.new("RGB", (2, 2)), "cls": 0})
        writer.write({"__key__": "d", "jpg": Image.new("RGB", (2, 2))})
    table = load_webdataset(tmp_path, classes=["cat", "dog"])
    assert table.image_ids == ("dir/a.jpg", "dir/b.c.png", "c.jpg", "d.jpg")
    assert table.matrix().dense().tolist() == [[1, 1], [-1, 1], [1, -1], [-1, -1]]
    assert table.split.tolist() == [1] * 4
    complete = load_webdataset(tmp_path / "val-000000.tar", classes=["cat", "dog"], complete=True)
    assert complete.matrix().dense().tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]


def shard(path, **files):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_compressed_shards(tmp_path):
    shard(tmp_path / "test-0.tar.gz", a_jpg=b"x", a_json=b'{"label": "cat"}')
    table = load_webdataset(tmp_path)
    assert (table.image_ids, table.taxonomy.names, table.split.tolist()) == (("a.jpg",), ("cat",), [2])


def test_shards_in_a_folder_per_split(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        shard(tmp_path / split / "0.tar", **{f"{split}_jpg": b"x", f"{split}_cls": b"cat"})
    table = load_webdataset(tmp_path)
    assert (table.image_ids, table.split.tolist()) == (("train.jpg", "val.jpg"), [0, 1])
    assert len(table) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "its .json is not JSON"),
        (b"[1]", "its .json is not an object"),
        (b'{"tags": []}', "there is no column 'labels', 'label' or 'objects', only tags"),
        (b'{"labels": [true]}', "label True is neither a name nor a number"),
        (b'{"labels": [0]}', "give the class list that it counts in"),
        (b'{"labels": ["a"], "split": "holdout"}', "'holdout' is not a split"),
        (b'{"provenance": [{"label": "a", "value": 2}]}', "value 2 is neither 1 (positive) nor 0 (negative)"),
        (
            b'{"provenance": [{"label": "a", "value": 1, "time": "now"}]}',
            "label 'a': its score or time is 'now', not a number",
        ),
        (b'{"provenance": [{"label": "a", "value": 1, "source": "me"}]}', "source 'me' is neither"),
        (b'{"provenance": [1]}', "an entry of 'provenance' is not an object"),
    ],
)
def test_malformed_samples(tmp_path, content, message):
    shard(tmp_path / "a.tar", k1_jpg=b"x", k1_json=content)
    with pytest.raises(DataError) as raised:
        load_webdataset(tmp_path / "a.tar")
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / 'a.tar'}, k1: ")


def test_damage_is_found(tmp_path):
    table = small_table()
    save_webdataset(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", table.image_ids), shard_images=1)
    whole = (tmp_path / "out" / "train-000001.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    (tmp_path / "text.tar").write_bytes(b"no tar at all " * 100)
    for name in ("cut.tar", "text.tar"):
        with pytest.raises(DataError, match="not a tar file, or it is damaged"):
            load_webdataset(tmp_path / name)
    (tmp_path / "out" / "train-000001.tar").unlink()
    with pytest.raises(MismatchError, match="shards are missing or were changed"):
        load_webdataset(tmp_path / "out")
    assert load_webdataset(tmp_path / "out" / "train-000000.tar").image_ids == ("a b/1.jpg",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no shard"):
        load_webdataset(tmp_path / "empty")
    with pytest.raises(DataError, match="webdataset holds the pictures themselves"):
        save_webdataset(tmp_path / "other", table)


def test_what_the_json_says(tmp_path):
    table = small_table(annotators=["ann", "ann", "", "bob", ""], times=[1.5, 2.0, 0.0, 3.0, 0.0], shown=[True] * 5)
    save_webdataset(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", table.image_ids))
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        about = json.load(tar.extractfile("00000001.json"))
    assert about == {
        "image_id": "é/2.png", "split": "train", "labels": ["café 🐈"], "negatives": [],
        "provenance": [{"label": "café 🐈", "value": 1, "source": "human", "score": None, "annotator": "bob",
                        "time": 3.0, "shown": True}],
    }  # fmt: skip
