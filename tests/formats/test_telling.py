"""Which format a file has: told by its name and its first bytes, refused where nothing tells."""

import numpy as np
import pytest

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.telling import readable, tell_format
from spml_annotate.taxonomy import Taxonomy

TABLE = LabelTable.of(
    Taxonomy(("dog, big", "cat 🐈")), ["a.png", "b/c.png"], [0, 2], [0, 1, 1], [0, 0, 1], [1, 0, 1], annotators="ann"
)


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    for name in TABLE.image_ids:
        file = tmp_path / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(file)
    return {name: tmp_path / "pictures" / name for name in TABLE.image_ids}


@pytest.mark.parametrize("name", [name for name in readable() if FORMATS[name].facts["saves"] is not None])
def test_what_we_write_is_recognised(tmp_path, pictures, name):
    facts = FORMATS[name].facts
    usual = {"label-studio": ".json"}.get(name, ".csv")
    out = tmp_path / ("out" if facts["is_folder"] else f"out{(*facts['suffixes'], usual)[0]}")
    facts["saves"](out, TABLE, pictures=pictures)
    assert tell_format(out) == {"csv-onehot": "csv"}.get(name, name)
    assert tell_format(out, name) == name


@pytest.mark.parametrize(
    ("file", "content", "name"),
    [
        ("a.csv", "image,label\n", "csv"),
        ("a.txt", "\ufeffimage,label\n", "csv"),
        ("a.csv", "ImageID,Source,LabelName,Confidence\n", "open-images"),
        ("a.json", '\n {"images": []}', "coco"),
        ("a.JSON", "[]", "label-studio"),
    ],
)
def test_files_are_told_by_their_first_bytes(tmp_path, file, content, name):
    (tmp_path / file).write_text(content)
    if name in FORMATS:
        assert tell_format(tmp_path / file) == name


def test_features_are_told_by_their_ending(tmp_path):
    np.savez(tmp_path / "f.npz", features=np.zeros((1, 1)))
    assert tell_format(tmp_path / "f.npz") == "features"


def test_what_cannot_be_told_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"looks like no known format; say which with --format: .*csv.*parquet"):
        tell_format(tmp_path / "empty")
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text("{}")
    with pytest.raises(DataError, match=r"name one of its files, such as .*instances_val2017\.json"):
        tell_format(tmp_path / "coco")
    with pytest.raises(DataError, match="there is no such file or folder"):
        tell_format(tmp_path / "missing.csv")
    with pytest.raises(SettingError, match="there is no format 'kokko'"):
        tell_format(tmp_path / "empty", "kokko")
