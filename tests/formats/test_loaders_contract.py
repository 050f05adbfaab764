"""Every loader is called alike: ``load_x(path, *, classes=None, root=None, name=None)`` and settings of its own."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from PIL import Image

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.features_npz import load_features
from spml_annotate.formats.folder import load_folder
from spml_annotate.formats.open_images import load_open_images, save_open_images
from spml_annotate.formats.parquet import load_parquet, save_parquet
from spml_annotate.taxonomy import Taxonomy

LOADED = [name for name in FORMATS if FORMATS[name].facts["loads"]]
SAVED = [name for name in FORMATS if FORMATS[name].facts["saves"] is not None]
TABLE = LabelTable.of(Taxonomy(("dog", "cat")), ["a.png", "b.png"], [0, 2], [0, 1, 1], [0, 0, 1], [1, 0, 1])


@pytest.mark.parametrize("name", LOADED)
def test_the_signature_of_a_loader(name):
    first, *further = inspect.signature(FORMATS[name].function).parameters.values()
    assert (first.name, first.kind, first.default) == ("path", first.POSITIONAL_OR_KEYWORD, first.empty)
    assert [(one.name, one.default) for one in further[:3]] == [("classes", None), ("root", None), ("name", None)]
    for one in further:
        assert one.kind == one.KEYWORD_ONLY or (name, one.name) == ("folder", "classes")
        assert one.default is not one.empty
    assert FORMATS[name].function.__doc__


@pytest.mark.parametrize("name", SAVED)
def test_the_signature_of_a_saver(name):
    first, second, *further = inspect.signature(FORMATS[name].facts["saves"]).parameters.values()
    assert (first.name, second.name) == ("path", "table")
    assert (further[0].name, further[0].default) == ("pictures", None)
    for one in further:
        assert one.kind == one.KEYWORD_ONLY
        assert one.default is not one.empty


@pytest.mark.parametrize(
    ("load", "save", "file"), [(load_parquet, save_parquet, "out"), (load_open_images, save_open_images, "out.csv")]
)
def test_a_class_list_orders_the_classes(tmp_path, load, save, file):
    save(tmp_path / file, TABLE)
    found = load(tmp_path / file, classes=["bird", "cat", "dog"], root=tmp_path, name="x")
    assert found.taxonomy.names == ("bird", "cat", "dog")
    assert sorted((at.image, at.label, at.value) for at in found) == [
        ("a.png", "dog", 1), ("b.png", "cat", 1), ("b.png", "dog", 0),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"out.*: there is no class 'cat'"):
        load(tmp_path / file, classes=["dog"])


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(file)


def test_features_take_a_class_list_and_a_folder_of_pictures(tmp_path):
    arrays = {"features": np.ones((2, 3), np.float32), "labels": np.array([[1, 0], [-1, 1]])}
    np.savez(tmp_path / "bare.npz", **arrays)
    np.savez(tmp_path / "named.npz", **arrays, label_names=["dog", "cat"], image_ids=["a.png", "b/c.png"])
    found = load_features(tmp_path / "named.npz", classes=["bird", "cat", "dog"])
    assert (found.taxonomy.names, found.truth.tolist()) == (("bird", "cat", "dog"), [[-1, 0, 1], [-1, 1, -1]])
    assert load_features(tmp_path / "bare.npz", classes=["x", "y"]).taxonomy.names == ("x", "y")
    with pytest.raises(DataError, match=r"bare\.npz: it has 2 classes without names, the class list 3"):
        load_features(tmp_path / "bare.npz", classes=["x", "y", "z"])
    with pytest.raises(DataError, match=r"named\.npz: there is no class 'cat'"):
        load_features(tmp_path / "named.npz", classes=["dog"])
    same = Taxonomy(("dog",), aliases={"cat": "dog"})
    with pytest.raises(DataError, match="two of its columns are the same class"):
        load_features(tmp_path / "named.npz", classes=same)
    for name in ("a.png", "b/c.png"):
        picture(tmp_path / "in" / name)
    assert load_features(tmp_path / "named.npz", root=tmp_path / "in").pictures is not None
    with pytest.raises(DataError, match=r"named\.npz"):
        load_features(tmp_path / "named.npz", root=tmp_path)


def test_a_folder_may_lie_below_that_of_the_ids(tmp_path):
    picture(tmp_path / "in" / "x" / "a.png")
    assert load_folder(tmp_path / "in" / "x", ["cat"], root=tmp_path).image_ids == ("in/x/a.png",)
    assert load_folder(tmp_path, ["cat"], root=tmp_path).image_ids == ("in/x/a.png",)
    with pytest.raises(DataError, match="does not lie below"):
        load_folder(tmp_path / "in", ["cat"], root=tmp_path / "in" / "x")
