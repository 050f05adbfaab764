"""Formats: load(save(x)) == x."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_formats import datasets, name_lists, names, same_dataset, tables

from spml_annotate.errors import DataError
from spml_annotate.formats.classes import load_classes, save_classes
from spml_annotate.formats.csv_table import load_csv
from spml_annotate.formats.csv_write import save_csv_long, save_csv_onehot
from spml_annotate.formats.features_npz import load_features, save_features
from spml_annotate.formats.open_images import load_open_images, save_open_images
from spml_annotate.formats.parquet import load_parquet, save_parquet
from spml_annotate.taxonomy import Taxonomy


def plain(name: str) -> bool:
    """Fit for a header without a class list."""
    return name == name.strip() and name.lower() not in {"split", "label", "value"}


@settings(deadline=None)
@given(datasets())
def test_long_csv(dataset):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        save_csv_long(path, dataset)
        assert same_dataset(load_csv(path, classes=dataset.taxonomy), dataset)


@settings(deadline=None)
@given(datasets(class_names=st.lists(names.filter(plain), min_size=1, max_size=4, unique=True).map(tuple)))
def test_onehot_csv_keeps_the_classes_too(dataset):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        save_csv_onehot(path, dataset)
        assert same_dataset(load_csv(path), dataset)


@settings(deadline=None)
@given(datasets())
def test_onehot_csv_with_a_class_list_or_a_refusal(dataset):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        names = {name.strip().lower() for name in dataset.taxonomy.names}
        if "split" in names or names in ({"label"}, {"label", "value"}):
            with pytest.raises(DataError, match="called like a column"):
                save_csv_onehot(path, dataset)
            assert not path.exists()
        else:
            save_csv_onehot(path, dataset)
            assert same_dataset(load_csv(path, classes=dataset.taxonomy), dataset)


@settings(deadline=None)
@given(datasets(features=True))
def test_features(dataset):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.npz"
        save_features(path, dataset)
        assert same_dataset(load_features(path), dataset)


@settings(deadline=None)
@given(tables())
def test_parquet(table):
    with tempfile.TemporaryDirectory() as folder:
        save_parquet(Path(folder) / "export", table)
        assert load_parquet(Path(folder) / "export") == table


@settings(deadline=None)
@given(tables())
def test_open_images(table):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        save_open_images(path, table)
        assert load_open_images(path) == table


@settings(deadline=None)
@given(name_lists)
def test_class_lists(classes):
    taxonomy = Taxonomy(classes)
    with tempfile.TemporaryDirectory() as folder:
        save_classes(Path(folder) / "classes.json", taxonomy)
        assert load_classes(Path(folder) / "classes.json") == taxonomy
        text = Path(folder) / "classes.txt"
        if all(name == name.strip() and len(name.splitlines()) == 1 and name[0] != "\ufeff" for name in classes):
            save_classes(text, taxonomy)
            assert load_classes(text) == taxonomy
        else:
            with pytest.raises(DataError, match=r"save the list as \.json"):
                save_classes(text, taxonomy)


@settings(deadline=None, max_examples=10)
@given(tables())
def test_the_same_table_gives_the_same_bytes(table):
    with tempfile.TemporaryDirectory() as folder:
        for place in ("one", "two"):
            save_parquet(Path(folder) / place, table)
            save_open_images(Path(folder) / place / "labels.csv", table)
        for name in ("labels.parquet", "manifest.json", "labels.csv", "labels.manifest.json"):
            assert (Path(folder) / "one" / name).read_bytes() == (Path(folder) / "two" / name).read_bytes()


@settings(deadline=None, max_examples=10)
@given(datasets(features=True))
def test_the_same_dataset_gives_the_same_bytes(dataset):
    with tempfile.TemporaryDirectory() as folder:
        for save, name in ((save_features, "set.npz"), (save_csv_long, "long.csv")):
            for place in ("1", "2"):
                save(Path(folder) / (place + name), dataset)
            assert (Path(folder) / ("1" + name)).read_bytes() == (Path(folder) / ("2" + name)).read_bytes()


@pytest.mark.parametrize("block", [1, 2, 1000])
def test_blocks_do_not_change_what_is_written_or_found(tmp_path, monkeypatch, block):
    """Writing and checking in blocks equals doing it at once."""
    random = np.random.default_rng(0)
    table = _table(random)
    for place, size in (("whole", 10**6), ("blocks", block)):
        monkeypatch.setattr("spml_annotate.formats.parquet._BLOCK", size)
        save_parquet(tmp_path / place, table)
    assert load_parquet(tmp_path / "blocks") == load_parquet(tmp_path / "whole") == table


def _table(random):
    from spml_annotate.formats.export import LabelTable

    return LabelTable.of(
        Taxonomy(("cat", "dog", "cow")),
        [f"{i}.jpg" for i in range(9)],
        random.integers(0, 3, 9),
        random.integers(0, 7, 20),
        random.integers(0, 3, 20),
        random.integers(0, 2, 20),
        sources=random.choice(["human", "proposal:ema", "proposal:prototypes"], 20).tolist(),
        annotators=random.choice(["ann", "bob", ""], 20).tolist(),
        times=random.uniform(0, 1e9, 20),
    )
