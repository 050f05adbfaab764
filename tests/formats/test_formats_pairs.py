"""Every format of the registry keeps what it says it can hold, and `lost` names what it does not keep."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from PIL import Image

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.losing import lost
from spml_annotate.labels import NEGATIVE, POSITIVE, LabelMatrix
from spml_annotate.taxonomy import Taxonomy

NAN = float("nan")
PAIRS = [name for name in FORMATS if FORMATS[name].facts["loads"] and FORMATS[name].facts["saves"] is not None]
WORDS = {
    "several": "all labels but one",
    "negatives": "negative label",
    "unknown": "unknown and not negative",
    "splits": "the splits of the images",
    "scores": "the scores of",
    "provenance": "who answered",
}
"""What `lost` says of a table that has everything, where a format lacks something."""


def table():
    """Something of everything: several labels, negatives, unknown, splits, a proposal, two people, shown proposals."""
    return LabelTable.of(
        Taxonomy(("cat", "hot, dog", "café 🐈", "a/b")),
        ["a.jpg", "deep/er/b 1.jpg", "é.jpg", "none.jpg"],
        [0, 1, 2, 0],
        [0, 0, 0, 1, 1, 2, 2],
        [0, 1, 2, 2, 3, 0, 0],
        [1, 1, 0, 1, 0, 0, 1],
        sources=["human", "human", "human", "proposal:ema", "human", "human", "human"],
        scores=[NAN, NAN, NAN, 0.75, NAN, NAN, NAN],
        annotators=["ann", "ann", "bob", "", "ann", "ann", "bob"],
        times=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        shown=[False, True, False, False, False, False, False],
    )


@pytest.fixture
def pictures(tmp_path):
    found = {}
    for number, name in enumerate(table().image_ids):
        found[name] = tmp_path / "pictures" / name
        found[name].parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 10)).save(found[name])
    return found


def load(name, path):
    entry = FORMATS[name]
    given = {"classes": list(table().taxonomy.names)} if "classes" in entry.settings else {}
    return entry.function(path, **given)


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_saved_comes_back(tmp_path, pictures, name):
    facts = FORMATS[name].facts
    path = tmp_path / ("out" + next(iter(facts["suffixes"] if not facts["is_folder"] else ()), ""))
    facts["saves"](path, table(), pictures=pictures)
    assert path.is_dir() is facts["is_folder"]
    found = load(name, path)
    order = np.array([found.image_ids.index(image) for image in table().image_ids])
    assert sorted(order) == list(range(len(table().image_ids))), "images without labels come back, too"
    assert found.taxonomy.names == table().taxonomy.names
    matrix = found.matrix() if isinstance(found, LabelTable) else found.labels
    codes, expected = matrix.dense(order), table().matrix().dense()
    if "several" in facts["can"]:
        assert ((codes == POSITIVE) == (expected == POSITIVE)).all()
    if "negatives" in facts["can"]:
        assert (codes[expected == NEGATIVE] == NEGATIVE).all()
    if "unknown" in facts["can"]:
        assert isinstance(matrix, LabelMatrix)
        assert ((codes == NEGATIVE) == (expected == NEGATIVE)).all()
    if "splits" in facts["can"]:
        assert found.split[order].tolist() == table().split.tolist()
    if "provenance" in facts["can"]:
        assert sorted(map(str, found)) == sorted(map(str, table()))
    if "scores" in facts["can"] and isinstance(found, LabelTable):
        assert [label.score for label in found if label.source != "human"] == [0.75]


@pytest.mark.parametrize("name", PAIRS)
def test_what_does_not_come_back_is_named(name):
    can, said = FORMATS[name].facts["can"], lost(name, table())
    for what, words in WORDS.items():
        assert any(words in clause for clause in said) is (what not in can), what


@pytest.mark.parametrize("name", PAIRS)
def test_loaders_and_savers_are_called_alike(name):
    saver = inspect.signature(FORMATS[name].facts["saves"]).parameters.values()
    positional = [parameter for parameter in saver if parameter.kind is not parameter.KEYWORD_ONLY]
    assert len(positional) == 2
    assert {"pictures"} <= {parameter.name for parameter in saver}
    assert len(FORMATS[name].inputs) == 1


@pytest.mark.parametrize("name", PAIRS)
def test_the_same_table_gives_the_same_bytes(tmp_path, pictures, name):
    written = []
    for place in ("1", "2"):
        (tmp_path / place).mkdir()
        FORMATS[name].facts["saves"](tmp_path / place / "out", table(), pictures=pictures)
        files = sorted(file for file in (tmp_path / place).rglob("*") if file.is_file())
        written.append([(file.relative_to(tmp_path / place), file.read_bytes()) for file in files])
    assert written[0] == written[1]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("classes", [("one",), ("one", "two")])
def test_a_table_without_labels(tmp_path, pictures, name, classes):
    images = list(pictures)[:2]
    empty = LabelTable.of(Taxonomy(classes), images, [0, 0], [], [], [])
    FORMATS[name].facts["saves"](tmp_path / "out", empty, pictures=pictures)
    given = {"classes": list(classes)} if "classes" in FORMATS[name].settings else {}
    found = FORMATS[name].function(tmp_path / "out", **given)
    assert sorted(found.image_ids) == sorted(images)
    matrix = found.matrix() if isinstance(found, LabelTable) else found.labels
    if "unknown" in FORMATS[name].facts["can"]:
        assert matrix.known == 0
    assert found.taxonomy.names == classes


@pytest.mark.parametrize("name", PAIRS)
def test_nothing_is_left_behind_where_nothing_can_be_written(tmp_path, pictures, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError):
        FORMATS[name].facts["saves"](tmp_path / "file" / "out", table(), pictures=pictures)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "pictures"]
    assert (tmp_path / "file").read_text() == "in the way"
