"""CSV tables as Kaggle, pandas and spreadsheets make them."""

from __future__ import annotations

import pytest

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.csv_table import load_csv, save_csv_onehot
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.losing import SIDE_COLUMNS
from spml_annotate.formats.telling import tell_format
from spml_annotate.labels import LabelMatrix
from spml_annotate.taxonomy import Taxonomy

SEVERAL = {"a.jpg": {"cat": 1, "hot dog": 1}, "b.jpg": {"hot dog": 1}, "c.jpg": {}}


def put(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    return tmp_path / "a.csv"


def said(found):
    names = found.taxonomy.names
    return {
        image: {names[label]: code for label, code in enumerate(codes) if code != -1}
        for image, codes in zip(found.image_ids, found.truth.tolist(), strict=True)
    }


@pytest.mark.parametrize(
    "text",
    [
        "filename,labels\na.jpg,cat|hot dog\nb.jpg,hot dog\nc.jpg,\n",
        'image_name,tags\na.jpg,"cat, hot dog"\nb.jpg,hot dog\nc.jpg,""\n',
        "Classes,File\ncat;hot dog,a.jpg\nhot dog,b.jpg\n,c.jpg\n",
        "path;labels\na.jpg;cat|hot dog\nb.jpg;hot dog\nc.jpg;\n",
        'image,labels\r\na.jpg,"[\'cat\', \'hot dog\']"\r\nb.jpg,"[""hot dog""]"\r\nc.jpg,[]\r\n',
        "image,labels\na.jpg,cat|\nb.jpg,hot dog\nc.jpg,\na.jpg,hot dog\n",
    ],
)
def test_all_labels_in_one_cell(tmp_path, text):
    path = put(tmp_path, text)
    assert tell_format(path) == "csv"
    assert said(load_csv(path)) == SEVERAL


def test_a_space_separates_only_if_it_is_said(tmp_path):
    path = put(tmp_path, "image_name,tags,split\n1,haze,test\n2,haze clear,train\n")
    with pytest.raises(
        DataError, match=r"line 3: 'haze clear': one label or several\? .*csv\.separator=pipe or =space"
    ):
        load_csv(path)
    found = load_csv(path, separator="space")
    assert said(found) == {"1": {"haze": 1}, "2": {"haze": 1, "clear": 1}}
    assert found.split.tolist() == [2, 0]
    assert said(load_csv(path, separator="pipe")) == {"1": {"haze": 1}, "2": {"haze clear": 1}}
    with pytest.raises(SettingError, match="give one mark, or one of space, comma"):
        load_csv(path, separator="and")


def test_a_wrong_line_of_lists_is_named(tmp_path):
    path = put(tmp_path, "filename,labels\na.jpg,cat|dog\nb.jpg,cat,dog\n")
    with pytest.raises(DataError, match="line 3: 3 columns where the header has 2"):
        load_csv(path)
    path = put(tmp_path, "filename,labels\na.jpg,cat|cow\n")
    with pytest.raises(DataError, match=r"line 2: .*'cow'"):
        load_csv(path, classes=["cat", "dog"])


@pytest.mark.parametrize("header", ["filename,label", "Image_ID , Class", "path,category"])
def test_other_words_for_the_columns(tmp_path, header):
    path = put(tmp_path, f"{header}\na.jpg,cat\na.jpg,hot dog\nb.jpg,hot dog\nc.jpg,\n")
    assert said(load_csv(path)) == SEVERAL


@pytest.mark.parametrize(
    ("yes", "no", "open_"), [("TRUE", "FALSE", ""), ("True", "False", "NaN"), ("1.0", "0.0", "NA")]
)
def test_words_for_codes(tmp_path, yes, no, open_):
    path = put(tmp_path, f"image,cat,dog\na,{yes},{no}\nb,{open_},{yes}\n")
    assert load_csv(path).truth.tolist() == [[1, 0], [-1, 1]]
    path = put(tmp_path, f"image,label,value\na,cat,{yes}\na,dog,{no}\n")
    assert load_csv(path).truth.tolist() == [[1, 0]]


def test_a_table_of_one_label_per_line_with_more_columns_is_explained(tmp_path):
    path = put(tmp_path, "image,label,weight\na,cat,3\n")
    with pytest.raises(DataError, match=r"has the columns image,label\[,value\]\[,split\] and no others"):
        load_csv(path)


@pytest.mark.parametrize("name", ["label", "labels", "class", "tags"])
def test_a_class_that_is_called_like_a_column_is_not_mixed_up(tmp_path, name):
    data = Dataset("x", Taxonomy((name,)), ("a",), LabelMatrix.from_cells([0], [0], [1], (1, 1)), [0])
    with pytest.raises(DataError, match="a class is called like a column of the table"):
        save_csv_onehot(tmp_path / "a.csv", data)
    both = Dataset("x", Taxonomy((name, "cat")), ("a",), LabelMatrix.from_cells([0, 0], [0, 1], [1, 0], (1, 2)), [0])
    save_csv_onehot(tmp_path / "a.csv", both)
    assert said(load_csv(tmp_path / "a.csv")) == {"a": {name: 1, "cat": 0}}


def test_the_side_file_of_an_export_is_no_table_of_answers(tmp_path):
    path = put(tmp_path, ",".join(SIDE_COLUMNS) + "\na.jpg,cat,1,proposal:x,0.9,,0.0,0,train\n")
    with pytest.raises(DataError, match="this lies beside an export and lists proposals, too; name the export itself"):
        tell_format(path)
