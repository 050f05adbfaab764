"""Large CSV files are read in blocks, with the result or the message that the reader of records has."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError
from spml_annotate.formats import csv_blocks
from spml_annotate.formats.csv_blocks import read_blocks
from spml_annotate.formats.csv_table import load_csv
from spml_annotate.formats.open_images import load_open_images
from spml_annotate.formats.text import read_records


def outcome(load, path):
    try:
        found = load(path)
    except DataError as error:
        return str(error)
    return found


def both(monkeypatch, load, path, block=1 << 24):
    """What the reader of records makes of a file, and what the block reader does."""
    with monkeypatch.context() as patch:
        patch.setattr(csv_blocks, "LARGE", 1 << 60)
        plain = outcome(load, path)
        patch.setattr(csv_blocks, "LARGE", 0)
        patch.setattr(csv_blocks, "_BLOCK", block)
        return plain, outcome(load, path)


def facts(dataset):
    if isinstance(dataset, str):
        return dataset
    return dataset.name, dataset.taxonomy, dataset.image_ids, dataset.split.tolist(), dataset.labels


def refuse_records(monkeypatch):
    def no(*_):
        raise AssertionError("the file was read record by record")

    monkeypatch.setattr("spml_annotate.formats.csv_long.LongReader.read", no)
    monkeypatch.setattr("spml_annotate.formats.csv_onehot.OneHotReader.read", no)
    monkeypatch.setattr("spml_annotate.formats.open_images_lines.LineReader.read", no)
    monkeypatch.setattr(csv_blocks, "LARGE", 0)


FILES = {
    "plain": "image,label\na.jpg,dog\nb.jpg,cat\na.jpg,cat\n",
    "values": "image,label,value\na,dog,1\na,cat, 0 \nb,dog,-1\nb,,\nc,,-1\n",
    "splits": "split,image,label\ntrain,a,dog\nVal ,b,cat\ntest,c,\n",
    "two splits": "image,label,split\na,dog,train\nb,dog,test\na,cat,test\n",
    "two splits far apart": "image,label,split\n" + "b,dog,val\n" * 40 + "a,dog,train\n" * 40 + "a,cat,test\n",
    "bad value": "image,label,value\na,dog,1\nb,cat,yes\n",
    "value without label": "image,label,value\na,dog,1\nb,,1\n",
    "label without value": "image,label,value\na,dog,\n",
    "clash": "image,label,value\na,dog,1\nb,dog,1\na,dog,0\n",
    "clash with unknown": "image,label,value\na,dog,1\nb,dog,1\na,dog,-1\n",
    "twice the same": "image,label,value\na,dog,1\na,dog,1\nb,dog,0\nb,dog,0\n",
    "missing column": "image,label\na,dog\nb\n",
    "too many columns": "image,label\na,dog\nb,cat,1\n",
    "blank lines": "\nimage,label\n\na,dog\n \n\nb,cat\n\n",
    "empty name": "image,label\na,dog\n,cat\n",
    "backslashes": "image,label\n.\\x\\a.jpg,dog\nx/a.jpg,cat\n./x/b.jpg,cat\n",
    "spaces": "image,label\n a.jpg,dog\na.jpg , cat\n",
    "quotes": 'image,label\n"a, ""b"".jpg",dog\n"c.jpg","a cat, maybe"\n"",dog\n',
    "quoted lines": 'image,label\n"a\nb.jpg",dog\nc.jpg,"do\ng"\n',
    "open quote": 'image,label\na.jpg,dog\n"b.jpg,cat\nc.jpg,cat\n',
    "stray quote": 'image,label\na.jpg,dog\nb"c.jpg,cat\n',
    "quote in front": 'image,label\na.jpg,dog\n"b"c.jpg,cat\n',
    "doubled quotes in front": 'image,label\na.jpg,dog\n""b.jpg,cat\n',
    "doubled quotes alone": 'image,label\na""b.jpg,dog\nb.jpg,""\n',
    "only quotes": 'image,label\n"""","dog"\n"""a""",cat\n',
    "windows": "image,label\r\na,dog\r\nb,cat\r\n",
    "windows with quotes": 'image,label\r\n"a,b",dog\r\nb,cat\r\n',
    "old mac": "image,label\ra,dog\rb,cat\r",
    "mixed ends": "image,label\na\r,dog\r\nb,cat\n",
    "nul": "image,label\na\0b,dog\n",
    "byte order mark": "\ufeffimage,label\na,dog\n\ufeffb,cat\n",
    "no line end": "image,label\na,dog\nb,cat",
    "header alone": "image,label\n",
    "header and blank lines": "image,label\n\n\n",
    "names like nothing": "image,label\nNA,null\nnan,NULL\n#N/A,None\n",
    "accents": "image,label\nété.jpg,naïve 🐕\n日本/a.jpg,犬\n",
    "not utf-8": b"image,label\na,dog\nb\xff,cat\n",
    "one-hot": "image,dog,cat,split\na,1,0,train\nb,-1,,test\nc, 1 ,0.0,val\n",
    "one-hot, wrong code": "image,dog,cat\na,1,0\nb,2,0\n",
    "one-hot, wrong text": "image,dog,cat\na,1,0\nb,yes,0\n",
    "one-hot, twice": "image,dog,cat\na,1,0\nb,1,0\na,1,0\n",
    "one-hot, twice after cleaning": "image,dog,cat\na,1,0\n./a,1,0\n",
    "one-hot, hexadecimal": "image,dog,cat\na,0x1,0\n",
    "one-hot, leading zero": "image,dog,cat\na,01,0\n",
    "one-hot, no split": "image,dog,split\na,1,\n",
    "semicolons": "image;label;value\na,b;dog;1\nc;cat;0\n",
    "tabs": "image\tlabel\tsplit\na b\tdog\ttrain\nc\tcat\ttest\n",
    "one-hot, semicolons": "image;dog;cat\na;1;0\nb;;1\n",
    "stated separator": "sep=;\nimage;label\na;dog\nb;cat\n",
    "quoted semicolons": 'image;label\n"a;b";dog\n"c ""d""";cat\n',
    "stray quote with semicolons": 'image;label\na;dog\nb"c;cat\n',
    "quote after a comma": 'image;label\na,"b;dog\n',
    "other names": "filename,label\na,dog\nb,cat\n",
    "index": ",image,label\n0,a,dog\n1,b,cat\n",
    "one-hot, index": ",photo,dog,cat\n0,a,1,0\n1,b,0,1\n",
}


@pytest.mark.parametrize("block", [1, 7, 1 << 24])
@pytest.mark.parametrize("name", FILES)
def test_blocks_and_records_have_one_result_and_one_message(monkeypatch, tmp_path, name, block):
    path = tmp_path / "labels.csv"
    content = FILES[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    plain, large = both(monkeypatch, load_csv, path, block)
    assert facts(large) == facts(plain)


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "values", "splits", "twice the same", "backslashes", "quotes", "quoted lines", "windows", "one-hot"),
        *("semicolons", "tabs", "one-hot, semicolons", "stated separator", "quoted semicolons", "other names"),
        *("index", "one-hot, index"),
    ],
)
def test_ordinary_files_are_read_in_blocks(monkeypatch, tmp_path, name):
    path = tmp_path / "labels.csv"
    path.write_bytes(FILES[name].encode())
    refuse_records(monkeypatch)
    if name == "quotes":  # an empty image name is refused by both
        path.write_bytes(FILES[name].encode().replace(b'"",dog\n', b"d,dog\n"))
    assert len(load_csv(path)) > 1


def test_columns_of_other_things_are_left_out_of_blocks(monkeypatch, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(",image;sex;dog;cat;age\n".replace(",", ";") + "0;a;m;1;0;70\n1;b;f;;1;3\n")
    refuse_records(monkeypatch)
    found = load_csv(path, classes=["cat", "dog"])
    assert (found.image_ids, found.truth.tolist()) == (("a", "b"), [[0, 1], [1, -1]])


texts = st.text(st.sampled_from('ab ,"\n\\./é🐕\r'), max_size=5)


@given(
    records=st.lists(st.tuples(texts, texts, st.sampled_from(["1", "0", "-1", ""])), max_size=12),
    block=st.integers(1, 60),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_whatever_is_written_is_read_alike(tmp_path_factory, records, block, quoting):
    path = tmp_path_factory.mktemp("large") / "labels.csv"
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator="\n").writerows([("image", "label", "value"), *records])
    path.write_bytes(out.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        plain, large = both(patch, load_csv, path, block)
    assert facts(large) == facts(plain)


@given(content=st.text(st.sampled_from('a,"\n'), max_size=30), block=st.integers(1, 40))
def test_no_arrangement_of_quotes_is_read_otherwise(tmp_path_factory, content, block):
    path = tmp_path_factory.mktemp("large") / "labels.csv"
    path.write_bytes(b"image,label\n" + content.encode())
    with pytest.MonkeyPatch.context() as patch:
        plain, large = both(patch, load_csv, path, block)
    assert facts(large) == facts(plain)


def test_blocks_give_words_numbers_and_nothing_of_the_header(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("name,score\nb,0.5\na,\nb,1e-3\n")
    header = next(read_records(path))
    (block,) = read_blocks(path, header, numbers={1})
    assert block.words(0).words == ["b", "a"]
    assert block.words(0).codes.tolist() == [0, 1, 0]
    values, empty = block.numbers(1)
    np.testing.assert_array_equal(values, [0.5, np.nan, 1e-3])
    assert empty.tolist() == [False, True, False]


def test_a_missing_file_is_told_as_ever(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        load_csv(tmp_path / "none.csv")


OPEN_IMAGES = {
    "ours": "ImageID,Source,LabelName,Confidence,Score,Annotator,Time,Split,Shown\n"
    "a,human,dog,1,,ann,1.5,train,0\nb,proposal:ema,dog,0,0.25,,2,test,1\nc,,,,,,,validation,\n"
    "a,human,cat,0,,bob,3,train,\n",
    "theirs": "ImageID,Source,LabelName,Confidence\na,verification,/m/1,1\nb,machine,/m/2,0.7\n"
    "b,crowdsource-verification,/m/1,0\n",
    "fraction of a person": "ImageID,Source,LabelName,Confidence\na,verification,/m/1,1\nb,verification,/m/2,0.7\n",
    "no confidence": "ImageID,Source,LabelName,Confidence\na,verification,/m/1,\n",
    "no number": "ImageID,Source,LabelName,Confidence\na,verification,/m/1,1\na,verification,/m/2,one\n",
    "odd number": "ImageID,Source,LabelName,Confidence,Time\na,verification,/m/1,1,1_0\n",
    "bad flag": "ImageID,Source,LabelName,Confidence,Shown\na,verification,/m/1,1,yes\n",
    "two splits": "ImageID,Source,LabelName,Confidence,Split\na,v,/m/1,1,train\na,v,/m/2,1,test\n",
    "no source": "ImageID,Source,LabelName,Confidence\na,,/m/1,1\n",
    "a score beyond one": "ImageID,Source,LabelName,Confidence,Score\na,machine,/m/1,1,3\n",
    "backslashes stay": "ImageID,Source,LabelName,Confidence\n.\\a,v,/m/1,1\n./a,v,/m/1,1\n",
}


@pytest.mark.parametrize("block", [1, 1 << 24])
@pytest.mark.parametrize("name", OPEN_IMAGES)
def test_open_images_in_blocks_are_as_by_records(monkeypatch, tmp_path, name, block):
    path = tmp_path / "labels.csv"
    path.write_text(OPEN_IMAGES[name])
    plain, large = both(monkeypatch, load_open_images, path, block)
    assert large == plain
    if name in ("ours", "theirs"):
        refuse_records(monkeypatch)
        assert load_open_images(path) == plain


def test_a_message_names_the_line_in_a_really_large_file(tmp_path):
    path = tmp_path / "large.csv"
    path.write_text("image,label,value\n" + "".join(f"folder/{row}.jpg,dog,1\n" for row in range(80_000)) + "x,dog,2\n")
    assert path.stat().st_size > csv_blocks.LARGE
    with pytest.raises(DataError, match=re.escape("line 80002: value '2' is not 1")):
        load_csv(path)
