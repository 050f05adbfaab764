"""Every format of the registry refuses what is not its own: one line that names the path."""

from __future__ import annotations

import pytest
from strategies_pictures import pictures_of, small_table

from spml_annotate.errors import SpmlError
from spml_annotate.formats import FORMATS

READERS = [name for name in FORMATS if FORMATS[name].facts["loads"]]
WRITERS = [name for name in FORMATS if FORMATS[name].facts["saves"] is not None]
KIN = ({"csv", "csv-onehot", "open-images"}, {"parquet", "huggingface-parquet"}, {"huggingface", "huggingface-parquet"})
"""Formats of which one reads the files of another, on purpose."""
ANY_PICTURES = ("folder", "huggingface")
"""Formats that read any folder of pictures."""


def refusal(name, path):
    """What the reader says."""
    entry = FORMATS[name]
    given = {"classes": ["dog, hot", "café 🐈", "a/b"]} if "classes" in (*entry.settings, *entry.inputs) else {}
    with pytest.raises(SpmlError) as error:
        entry.function(path, **given)
    return str(error.value)


def check(text, path):
    assert "\n" not in text
    assert str(path) in text
    assert len(text) < 400


def wrong(tmp_path, kind):
    if kind == "nothing":
        return tmp_path / "nowhere"
    if kind == "empty folder":
        (tmp_path / "given").mkdir()
    elif kind == "folder with text":
        (tmp_path / "given").mkdir()
        (tmp_path / "given" / "notes.txt").write_text("no labels")
    else:
        content = {
            "empty file": b"",
            "bytes": bytes(range(256)) * 8,
            "text": b"\nno labels here\n",
            "JSON": b'{"a": 1}',
        }
        (tmp_path / "given").write_bytes(content[kind])
    return tmp_path / "given"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["nothing", "empty folder", "folder with text", "empty file", "bytes", "text", "JSON"])
def test_what_has_no_labels(tmp_path, name, kind):
    path = wrong(tmp_path, kind)
    check(refusal(name, path), path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The same table in every format."""
    place = tmp_path_factory.mktemp("written")
    table = small_table()
    found = {}
    for name in WRITERS:
        (place / name).mkdir()
        pictures = pictures_of(place / f"{name} pictures", table.image_ids)
        FORMATS[name].facts["saves"](place / name / "out", table, pictures=pictures)
        found[name] = place / name / "out"
    return found


def strangers():
    """Reader and writer of every pair that has nothing in common."""
    for reader in READERS:
        for writer in WRITERS:
            both_pictures = reader in ANY_PICTURES and "pictures" in FORMATS[writer].facts["can"]
            if writer != reader and not both_pictures and not any({writer, reader} <= kin for kin in KIN):
                yield reader, writer


@pytest.mark.parametrize(("reader", "writer"), list(strangers()))
def test_the_files_of_another_format(written, reader, writer):
    check(refusal(reader, written[writer]), written[writer])
