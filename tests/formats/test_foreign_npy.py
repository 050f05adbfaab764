"""Arrays of research code that are not as Cole et al. save them."""

from __future__ import annotations

import numpy as np
import pytest

from spml_annotate.errors import DataError
from spml_annotate.formats.spml_npy import load_spml_npy
from spml_annotate.formats.telling import tell_format


def put(folder, images, labels=((1, 0), (0, 1))):
    np.save(folder / "formatted_train_images.npy", images, allow_pickle=True)
    np.save(folder / "formatted_train_labels.npy", np.array(labels), allow_pickle=True)


def test_names_as_bytes(tmp_path):
    put(tmp_path, np.array(["é.jpg".encode(), b"b.jpg"]))
    assert load_spml_npy(tmp_path).image_ids == ("é.jpg", "b.jpg")
    put(tmp_path, np.array([b"\xff.jpg", b"b.jpg"]))
    with pytest.raises(DataError, match="a file name is not UTF-8"):
        load_spml_npy(tmp_path)


def test_objects_are_explained_and_not_opened(tmp_path):
    put(tmp_path, np.array(["a.jpg", "b.jpg"], dtype=object))
    with pytest.raises(
        DataError, match=r"images\.npy: these are Python objects, which are not opened; save it as text"
    ):
        load_spml_npy(tmp_path)


def test_one_of_the_files_is_told_from_its_folder(tmp_path):
    put(tmp_path, np.array(["a.jpg", "b.jpg"]))
    assert tell_format(tmp_path) == "spml-npy"
    with pytest.raises(DataError, match="labels and names are in files of their own; name the folder"):
        tell_format(tmp_path / "formatted_train_labels.npy")
