"""Features and scores of a list of images that grows."""

from pathlib import Path

import numpy as np
import pytest

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.stores.features import FeatureStore
from spml_annotate.stores.images import ImageEntry, ImageList
from spml_annotate.stores.scores import ScoreStore
from spml_annotate.taxonomy import Taxonomy


@pytest.fixture
def images(tmp_path: Path):
    with ImageList(tmp_path / "labels.sqlite") as opened:
        opened.add(ImageEntry(f"{number}.png") for number in range(8))
        yield opened


def content(rows: int, columns: int = 4) -> np.ndarray:
    return np.arange(rows * columns).reshape(rows, columns).astype(np.float16)


def test_features_are_made_once_and_extended_for_new_images(tmp_path: Path, images: ImageList) -> None:
    store = FeatureStore(tmp_path / "features")
    assert store.missing("small", images.fingerprint, 8, backbone="key") == 0
    with store.writer("small", images.fingerprint, 8, 4, backbone="key") as writer:
        writer.write(0, content(8))
        writer.commit()
    assert store.names() == ["small"]
    assert store.missing("small", images.fingerprint, 8, backbone="key") == 8
    assert np.array_equal(store.read("small", images.fingerprint, backbone="key"), content(8))

    images.add([ImageEntry("new/0.png"), ImageEntry("new/1.png")])
    assert store.missing("small", images.fingerprint, 10, backbone="key") == 8
    assert np.array_equal(store.read("small", images.fingerprint, backbone="key"), content(8))
    with store.writer("small", images.fingerprint, 10, 4, backbone="key") as writer:
        writer.write(8, content(10)[8:])
        writer.commit()
    assert np.array_equal(store.read("small", images.fingerprint, backbone="key"), content(10))


def test_an_interrupted_run_goes_on_even_when_images_were_added(tmp_path: Path, images: ImageList) -> None:
    store = FeatureStore(tmp_path / "features")
    with store.writer("small", images.fingerprint, 8, 4, backbone="key") as writer:
        writer.write(0, content(5))
    assert store.missing("small", images.fingerprint, 8, backbone="key") == 5
    images.add([ImageEntry("new.png")])
    assert store.missing("small", images.fingerprint, 9, backbone="key") == 5
    with store.writer("small", images.fingerprint, 9, 4, backbone="key") as writer:
        assert writer.done == 5
        writer.write(5, content(9)[5:])
        writer.commit()
    assert np.array_equal(store.read("small", images.fingerprint, backbone="key"), content(9))


def test_features_of_another_backbone_or_project_are_not_taken_for_these(tmp_path: Path, images: ImageList) -> None:
    store = FeatureStore(tmp_path / "features")
    with store.writer("small", images.fingerprint, 8, 4, backbone="key") as writer:
        writer.write(0, content(8))
        writer.commit()
    with pytest.raises(MismatchError, match="other backbone"):
        store.read("small", images.fingerprint, backbone="other weights")
    with ImageList(tmp_path / "other.sqlite") as other:
        other.add(ImageEntry(f"{number}.jpg") for number in range(8))
        with pytest.raises(MismatchError, match="other images"):
            store.read("small", other.fingerprint, backbone="key")
        assert store.missing("small", other.fingerprint, 8, backbone="key") == 0
    with ImageList(tmp_path / "smaller.sqlite") as smaller, pytest.raises(MismatchError, match="8 rows"):
        store.read("small", smaller.fingerprint, backbone="key")
    # Making them anew replaces the others, but only once it is finished.
    assert store.missing("small", images.fingerprint, 8, backbone="other weights") == 0
    with store.writer("small", images.fingerprint, 8, 2, backbone="other weights") as writer:
        writer.write(0, content(8, 2))
        assert store.read("small", images.fingerprint, backbone="key").shape == (8, 4)
        writer.commit()
    assert store.read("small", images.fingerprint, backbone="other weights").shape == (8, 2)


def test_a_damaged_table_is_an_error_that_making_it_again_mends(tmp_path: Path, images: ImageList) -> None:
    store = FeatureStore(tmp_path / "features")
    with store.writer("small", images.fingerprint, 8, 4, backbone="key") as writer:
        writer.write(0, content(8))
        writer.commit()
    path = store.tables.path("small")
    path.write_bytes(path.read_bytes()[:-3])
    for use in (lambda: store.read("small", images.fingerprint, backbone="key"),
                lambda: store.missing("small", images.fingerprint, 8, backbone="key")):  # fmt: skip
        with pytest.raises(DataError, match="cut off"):
            use()
    with store.writer("small", images.fingerprint, 8, 4, backbone="key") as writer:
        writer.write(0, content(8))
        writer.commit()
    assert np.array_equal(store.read("small", images.fingerprint, backbone="key"), content(8))


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b"])
def test_a_name_must_be_a_file_name(tmp_path: Path, images: ImageList, name: str) -> None:
    with pytest.raises(SettingError, match="cannot name a table"):
        FeatureStore(tmp_path).read(name, images.fingerprint, backbone="key")


def test_scores_belong_to_a_model_and_to_classes_too(tmp_path: Path, images: ImageList) -> None:
    classes = Taxonomy(("cat", "dog", "fox"))
    store = ScoreStore(tmp_path / "models" / "1")
    with store.writer("test", images.fingerprint, classes.fingerprint, (8, 3), model="m1") as writer:
        writer.write(0, content(8, 3) / 100)
        writer.commit()
    scores = store.read("test", images.fingerprint, classes.fingerprint, model="m1")
    assert scores.dtype == np.float16
    assert np.array_equal(scores, content(8, 3) / 100)
    assert store.missing("test", images.fingerprint, classes.fingerprint, (8, 3), model="m1") == 8

    renamed_and_longer = classes.renamed("fox", "red fox").extended(["owl"])
    assert store.read("test", images.fingerprint, renamed_and_longer.fingerprint, model="m1").shape == (8, 3)
    assert store.missing("test", images.fingerprint, renamed_and_longer.fingerprint, (8, 4), model="m1") == 0
    with pytest.raises(MismatchError, match="other classes"):
        store.read("test", images.fingerprint, Taxonomy(("dog", "cat", "fox")).fingerprint, model="m1")
    with pytest.raises(MismatchError, match="other classes"):
        store.read("test", images.fingerprint, Taxonomy(("cat",)).fingerprint, model="m1")
    with pytest.raises(MismatchError, match="other model"):
        store.read("test", images.fingerprint, classes.fingerprint, model="m2")
