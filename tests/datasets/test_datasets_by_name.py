"""Data sets by name and by path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spml_annotate.datasets import DATASETS, load_dataset
from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import LabelKind

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FEATURES = ("bibtex", "coco525", "corel5k", "voc12animal", "voc20mix", "yeast")

needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real data sets are not at {SHARED}")


def test_the_package_of_data_sets_is_light():
    code = (
        "import sys, spml_annotate.datasets as d, spml_annotate.formats as f\n"
        "list(d.DATASETS), list(f.FORMATS)\n"
        "print(sorted({'torch', 'faiss', 'pandas', 'sklearn', 'pyarrow', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name():
    with pytest.raises(SettingError) as error:
        load_dataset("scnes")
    assert "there is no data set 'scnes'; choose from: scenes" in str(error.value)
    assert "or give the path of an .npz file" in str(error.value)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        load_dataset(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="there is no such file"):
        load_dataset(tmp_path / "nothing.npz")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"a data set is an .npz file, a .csv file or a folder"):
        load_dataset(tmp_path / "notes.txt")


def test_root_is_refused_where_it_means_nothing(tmp_path):
    for spec in ("scenes", str(tmp_path), str(tmp_path / "x.npz")):
        with pytest.raises(SettingError, match="leave root out"):
            load_dataset(spec, root=tmp_path)


def test_a_named_set_that_needs_its_folder(tmp_path):
    @DATASETS.register("needs-root")
    def load(root):
        """Nothing but its folder."""
        return root

    try:
        with pytest.raises(SettingError, match="needs the folder that holds its files"):
            load_dataset("needs-root")
        assert load_dataset("needs-root", root=tmp_path) == tmp_path
    finally:
        del DATASETS._entries["needs-root"]


@pytest.mark.parametrize("place", ["", "pictures", "images"])
def test_a_folder_with_labels(tmp_path, place):
    (tmp_path / place / "dogs").mkdir(parents=True)
    Image.new("RGB", (5, 4)).save(tmp_path / place / "dogs" / "1.png")
    (tmp_path / "labels.csv").write_text("image,label,split\ndogs\\1.png,dog,val\n")
    dataset = load_dataset(tmp_path)
    assert dataset.pictures.read(0).size == (5, 4)
    assert dataset.taxonomy.names == ("dog",)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert load_dataset(str(tmp_path)).truth.tolist() == [[-1, 1]]
    (tmp_path / place / "dogs" / "1.png").unlink()
    with pytest.raises(DataError, match="is not in the folder"):
        load_dataset(tmp_path)


def test_a_folder_without_labels(tmp_path):
    Image.new("RGB", (5, 4)).save(tmp_path / "1.png")
    (tmp_path / "classes.json").write_text('["cat"]')
    assert load_dataset(tmp_path).image_ids == ("1.png",)


def test_scenes_by_name():
    dataset = load_dataset("scenes", seed=1)
    assert dataset.labels.kind() is LabelKind.FAL
    dataset.require_splits(0, 1, 2)
    assert DATASETS["scenes"].settings == {"seed": 0}


@needs_data
@pytest.mark.parametrize("name", FEATURES)
def test_real_features(name):
    dataset = load_dataset(SHARED / "features" / f"{name}.npz")
    assert dataset.name == name
    assert dataset.labels.kind() is LabelKind.FAL
    assert dataset.features.shape[0] == len(dataset)
    assert dataset.features.dtype == np.float32
    dataset.require_splits(0, 1, 2)
    assert (dataset.truth == 1).any(1).all()


@needs_data
@pytest.mark.parametrize("name", ["coco525", "voc2012_animalpose"])
def test_real_photographs_with_a_long_csv(name):
    dataset = load_dataset(SHARED / "images" / f"{name}.labels.csv", root=SHARED / "images" / name)
    assert dataset.name == name
    assert min(dataset.pictures.read(0).size) == 224
    twin = load_dataset(SHARED / "features" / f"{dict(coco525='coco525').get(name, 'voc12animal')}.npz")
    assert tuple(Path(image).stem for image in dataset.image_ids) == twin.image_ids
    columns = [twin.taxonomy.column(name) for name in dataset.taxonomy.names]
    assert np.array_equal(dataset.truth == 1, twin.truth[:, columns] == 1)
    assert np.array_equal(dataset.split, twin.split)
