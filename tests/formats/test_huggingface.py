"""Hugging Face folders: read back by us, read by the real library, and folders of others read by us."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from strategies_formats import tables
from strategies_pictures import by_split, pictures_of, small_table, standing_words

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.huggingface import load_huggingface, save_huggingface
from spml_annotate.formats.huggingface_parquet import load_huggingface_parquet, save_huggingface_parquet
from spml_annotate.taxonomy import Taxonomy

SAVERS = {
    "folder": (save_huggingface, load_huggingface),
    "parquet": (save_huggingface_parquet, load_huggingface_parquet),
}


def load_dataset(monkeypatch, tmp_path, *arguments, **options):
    """The library as its users call it, without a network and with its cache in the test's own folder."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets.load_dataset(*arguments, cache_dir=str(tmp_path / "cache"), **options)


@pytest.mark.parametrize("kind", SAVERS)
@settings(deadline=None)
@given(table=tables())
def test_round_trip(kind, table):
    save, load = SAVERS[kind]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save(folder / "out", table, pictures=pictures_of(folder / "in", table.image_ids))
        back = load(folder / "out")
    order = by_split(table)
    assert back.taxonomy == table.taxonomy
    assert back.image_ids == tuple(table.image_ids[row] for row in order)
    assert back.split.tolist() == table.split[order].tolist()
    assert standing_words(back) == standing_words(table)
    assert len(back) == len(table.standing())
    assert back.matrix() == table_in(order, table).matrix()


def table_in(order, table):
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
        times=table.times,
    )


@pytest.mark.parametrize("kind", SAVERS)
def test_the_same_table_gives_the_same_bytes_and_replaces_itself(tmp_path, kind):
    save, _ = SAVERS[kind]
    table = small_table()
    pictures = pictures_of(tmp_path / "in", table.image_ids)
    found = []
    for place in ("1", "2", "2"):
        save(tmp_path / place, table, pictures=pictures)
        found.append(
            {f.relative_to(tmp_path / place): f.read_bytes() for f in (tmp_path / place).rglob("*.*") if f.is_file()}
        )
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 3


@pytest.mark.parametrize("kind", SAVERS)
def test_the_library_reads_pictures_labels_negatives_and_scores(tmp_path, monkeypatch, kind):
    save, _ = SAVERS[kind]
    table = small_table()
    pictures = pictures_of(tmp_path / "in", table.image_ids)
    save(tmp_path / "out", table, pictures=pictures)
    found = load_dataset(monkeypatch, tmp_path, str(tmp_path / "out"))
    assert sorted(found) == ["train", "validation"]
    train, validation = found["train"], found["validation"]
    labels = train.features["labels"].feature
    name = labels.int2str if kind == "parquet" else str
    if kind == "parquet":
        assert labels.names == list(table.taxonomy.names)
    assert train["image_id"][:] == ["a b/1.jpg", "é/2.png"]
    assert validation["image_id"][:] == ["../3"]
    assert [[name(word) for word in words] for words in train["labels"]] == [["dog, hot", "a/b"], ["café 🐈"]]
    assert [[name(word) for word in words] for words in train["negatives"]] == [["café 🐈"], []]
    assert [[name(word) for word in words] for words in validation["negatives"]] == [["dog, hot"]]
    assert train["label_scores"][:] == [[None, 0.875], [None]]
    assert train["label_sources"][0] == ["human", "proposal:ema"]
    assert validation["negative_scores"][:] == [[0.25]]
    for split, row, image_id in (("train", 0, "a b/1.jpg"), ("train", 1, "é/2.png"), ("validation", 0, "../3")):
        with Image.open(pictures[image_id]) as picture:
            assert np.array_equal(found[split][row]["image"].convert("RGB"), picture.convert("RGB"))


def test_a_plain_table_becomes_metadata_jsonl(tmp_path, monkeypatch):
    table = LabelTable.of(Taxonomy(("cat", "dog")), ["a.jpg", "b.png"], [0, 2], [0, 0, 1], [0, 1, 1], [1, 1, 1])
    save_huggingface(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", table.image_ids), link=True)
    lines = (tmp_path / "out" / "train" / "metadata.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"file_name": "a.jpg", "image_id": "a.jpg", "labels": ["cat", "dog"]}
    ]
    assert (tmp_path / "out" / "test" / "b.png").stat().st_nlink == 2
    for found in (
        load_dataset(monkeypatch, tmp_path, str(tmp_path / "out")),
        load_dataset(monkeypatch, tmp_path, "imagefolder", data_dir=str(tmp_path / "out")),
    ):
        assert {split: found[split]["labels"][:] for split in found} == {"train": [["cat", "dog"]], "test": [["dog"]]}


def test_a_split_without_negatives_gets_typed_metadata(tmp_path, monkeypatch):
    table = LabelTable.of(Taxonomy(("cat", "dog")), ["a.jpg", "b.png"], [0, 2], [0, 0], [0, 1], [1, 0])
    save_huggingface(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", table.image_ids))
    assert (tmp_path / "out" / "test" / "metadata.parquet").is_file()
    found = load_dataset(monkeypatch, tmp_path, str(tmp_path / "out"))
    assert found["train"]["negatives"][:] == [["dog"]]
    assert found["test"]["labels"][:] == [[]]


def test_words_of_splits_in_ids_make_no_further_splits(tmp_path, monkeypatch):
    ids = ["train/1.jpg", "x/test/2.jpg", "test.jpg", "dev-3.jpg", "metadata.jsonl", "a.jpg/b.jpg", "a.jpg", "A.JPG"]
    table = LabelTable.of(Taxonomy(("cat",)), ids, [0] * len(ids), range(len(ids)), [0] * len(ids), [1] * len(ids))
    save_huggingface(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", ids))
    found = load_dataset(monkeypatch, tmp_path, str(tmp_path / "out"))
    assert list(found) == ["train"]
    assert found["train"]["image_id"][:] == ids
    assert all(row["image"].size == (4, 3) for row in found["train"])


def test_shards(tmp_path, monkeypatch):
    ids = [f"{n}.jpg" for n in range(7)]
    table = LabelTable.of(Taxonomy(("cat",)), ids, [0] * 7, range(7), [0] * 7, [1] * 7)
    save_huggingface_parquet(tmp_path / "out", table, shard_images=3)
    assert sorted(file.name for file in (tmp_path / "out" / "data").iterdir()) == [
        f"train-0000{n}-of-00003.parquet" for n in range(3)
    ]
    found = load_dataset(monkeypatch, tmp_path, "parquet", data_dir=str(tmp_path / "out" / "data"))
    assert found["train"]["image_id"][:] == ids
    assert found["train"].features["labels"].feature.names == ["cat"]
    assert load_huggingface_parquet(tmp_path / "out").image_ids == tuple(ids)


def test_a_folder_that_the_library_pushed(tmp_path, monkeypatch):
    """Sequence(ClassLabel) as the library itself writes it, and a single ClassLabel with -1 for "not labelled"."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    classes = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features(
        {"image": datasets.Image(), "labels": datasets.Sequence(classes), "note": datasets.Value("string")}
    )
    rows = {
        "image": [{"bytes": b"x", "path": "1.jpg"}, {"bytes": b"y", "path": "2.jpg"}],
        "labels": [[1, 0], []],
        "note": ["", "n"],
    }
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(
        tmp_path / "data" / "validation-00000-of-00001.parquet"
    )
    table = load_huggingface_parquet(tmp_path)
    assert (table.image_ids, table.taxonomy.names, table.split.tolist()) == (("1.jpg", "2.jpg"), ("cat", "dog"), [1, 1])
    assert table.matrix().dense().tolist() == [[1, 1], [-1, -1]]
    assert load_huggingface_parquet(tmp_path, complete=True).matrix().dense().tolist() == [[1, 1], [0, 0]]
    single = datasets.Features({"label": classes})
    datasets.Dataset.from_dict({"label": [1, -1]}, features=single).to_parquet(tmp_path / "train.parquet")
    table = load_huggingface_parquet(tmp_path / "train.parquet")
    assert (table.image_ids, table.matrix().dense().tolist()) == (
        ("train.parquet#0", "train.parquet#1"),
        [[-1, 1], [-1, -1]],
    )
    other = datasets.Features({"labels": datasets.Sequence(datasets.ClassLabel(names=["dog", "cat"]))})
    datasets.Dataset.from_dict({"labels": [[1]]}, features=other).to_parquet(tmp_path / "data" / "train-0.parquet")
    with pytest.raises(MismatchError, match="states other classes"):
        load_huggingface_parquet(tmp_path / "data")


def image_folder(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name)


def test_an_imagefolder_of_others(tmp_path):
    """As the guide of the library has it: metadata beside the pictures of a split, further columns left alone."""
    image_folder(tmp_path, "train/1.png", "train/deep/2.png", "test/1.png")
    (tmp_path / "train" / "metadata.jsonl").write_text(
        '{"file_name": "1.png", "labels": ["dog", "cat", "dog"], "caption": "two"}\n\n'
        '{"file_name": "deep/2.png", "labels": []}\n'
    )
    (tmp_path / "test" / "metadata.csv").write_text("file_name,labels\n1.png,cat\n")
    table = load_huggingface(tmp_path, classes=["cat", "dog"])
    assert table.image_ids == ("train/1.png", "train/deep/2.png", "test/1.png")
    assert table.matrix().dense().tolist() == [[1, 1], [-1, -1], [1, -1]]
    assert table.split.tolist() == [0, 0, 2]
    assert load_huggingface(tmp_path, root=tmp_path.parent).image_ids[2] == f"{tmp_path.name}/test/1.png"


def test_folders_called_like_the_classes(tmp_path):
    image_folder(tmp_path, "train/cat/1.png", "train/hot dog/2.png", "val/cat/3.png")
    table = load_huggingface(tmp_path)
    assert table.taxonomy.names == ("cat", "hot dog")
    assert table.split.tolist() == [0, 0, 1]
    assert table.matrix().dense().tolist() == [[1, -1], [-1, 1], [1, -1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: this is not JSON"),
        ("[]", "line 1: this is not a JSON object"),
        ('{"labels": []}', "line 1: there is no 'file_name'"),
        ('{"file_name": "../1.png", "labels": []}', "line 1: file_name '../1.png' is no file below"),
        ('{"file_name": "2.png", "labels": []}', "line 1: file_name '2.png' is no file below"),
        ('{"file_name": "1.png", "tags": []}', "no column 'labels', 'label' or 'objects', only file_name, tags"),
        ('{"file_name": "1.png", "labels": [3]}', "line 1: label 3 is a number; give the class list"),
        ('{"file_name": "1.png", "labels": [["cat"]]}', "is neither a name nor a number"),
        ('{"file_name": "1.png", "labels": ["cat"], "negatives": ["cat"]}', "among the positives and the negatives"),
        (
            '{"file_name": "1.png", "labels": ["cat"], "label_scores": []}',
            "is not a list as long as that of the labels, 1",
        ),
        ('{"file_name": "1.png", "labels": []}', "no class is named in the file; give a class list"),
        ("\xff", "line 1: this is not JSON"),
    ],
)
def test_malformed_metadata(tmp_path, text, message):
    image_folder(tmp_path, "1.png")
    (tmp_path / "metadata.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as raised:
        load_huggingface(tmp_path)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_other_refusals(tmp_path):
    table = small_table()
    with pytest.raises(DataError, match="huggingface holds the pictures themselves; export with --images copy"):
        save_huggingface(tmp_path / "out", table)
    with pytest.raises(DataError, match=r"image '\.\./3' cannot be exported, nothing says which file it is"):
        save_huggingface(tmp_path / "out", table, pictures=pictures_of(tmp_path / "in", table.image_ids[:2]))
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"notes\.txt"):
        save_huggingface_parquet(tmp_path / "mine", table)
    with pytest.raises(DataError, match="there is no Parquet file"):
        load_huggingface_parquet(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a Parquet file, or it is damaged"):
        load_huggingface_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="there is no such folder"):
        load_huggingface(tmp_path / "none")
