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


CHEXPERT = """\
Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pneumonia,Support Devices
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,1.0
CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,1,Lateral,,,0.0,-1.0,
"""
FINDINGS = ["No Finding", "Edema", "Pneumonia", "Support Devices"]


def test_columns_of_other_things_are_left_out_if_the_classes_are_given(tmp_path):
    path = put(tmp_path, CHEXPERT)
    found = load_csv(path, classes=FINDINGS)
    assert found.taxonomy.names == tuple(FINDINGS)
    assert found.truth.tolist() == [[1, -1, -1, 1], [-1, 0, -1, -1]]
    assert found.image_ids[0].endswith("patient00001/study1/view1_frontal.jpg")
    assert load_csv(path, classes=["Pneumonia", "Edema"]).truth.tolist() == [[-1, -1], [-1, 0]]
    with pytest.raises(
        DataError,
        match=r"line 2: 'Female' in column 'Sex' is not 1 .*; if 'Sex', 'Age', 'Frontal/Lateral', 'AP/PA' are no "
        r"classes, give those that are by --set csv\.classes=FILE",
    ):
        load_csv(path)


def test_a_class_list_that_does_not_fit_leaves_nothing_out(tmp_path):
    path = put(tmp_path, CHEXPERT)
    with pytest.raises(DataError, match="line 1: there is no class 'Sex'"):
        load_csv(path, classes=[*FINDINGS, "Odema"])
    path = put(tmp_path, "image,cat,dgo\na,1,0\n")
    with pytest.raises(DataError, match="there is no class 'dgo'; did you mean 'dog'"):
        load_csv(path, classes=["cat", "dog"])
    assert load_csv(put(tmp_path, "image,cat\na,1\n"), classes=["cat", "dog"]).truth.tolist() == [[1, -1]]


NIH = """\
Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position
00000001_000.png,Cardiomegaly,0,1,58,M,PA
00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA
00000002_000.png,No Finding,0,2,81,M,PA
"""


def test_columns_beside_a_list_are_left_out_if_the_classes_are_given(tmp_path):
    path = put(tmp_path, NIH)
    found = load_csv(path, classes=["Cardiomegaly", "Emphysema", "No Finding"])
    assert found.truth.tolist() == [[1, -1, -1], [1, 1, -1], [-1, -1, 1]]
    assert found.image_ids[0] == "00000001_000.png"
    with pytest.raises(DataError, match=r"'Finding Labels', 'Patient ID'.* are no classes, give those that are by"):
        load_csv(path)
    with pytest.raises(DataError, match="line 4: there is no class 'No Finding'"):
        load_csv(path, classes=["Cardiomegaly", "Emphysema"])


def test_numbers_of_classes_need_the_list_that_they_count_in(tmp_path):
    path = put(tmp_path, "Id,Target\n00070df0-bbc3,16 0\n000a6c98-bb9b,7\n000a9596-bbc4,\n")
    with pytest.raises(DataError, match=r"line 2: '16 0' are numbers of classes; give the list .*csv\.classes=FILE"):
        load_csv(path)
    names = [f"part {number}" for number in range(28)]
    assert said(load_csv(path, classes=names)) == {
        "00070df0-bbc3": {"part 16": 1, "part 0": 1},
        "000a6c98-bb9b": {"part 7": 1},
        "000a9596-bbc4": {},
    }
    with pytest.raises(DataError, match=r"line 2: class number 16 lies outside 0\.\.9"):
        load_csv(path, classes=names[:10])
    assert said(load_csv(path, classes=["0", "7", "16"]))["00070df0-bbc3"] == {"16": 1, "0": 1}


def test_a_target_of_codes_is_one_class(tmp_path):
    found = load_csv(put(tmp_path, "image_name,target\nISIC_1,0\nISIC_2,1\n"))
    assert said(found) == {"ISIC_1": {"target": 0}, "ISIC_2": {"target": 1}}


@pytest.mark.parametrize("first", ["", "Unnamed: 0", ",Unnamed: 0"])
@pytest.mark.parametrize("start", [0, 1])
def test_an_index_is_no_image(tmp_path, first, start):
    columns = first.count(",") + 1

    def table(header, *lines):
        numbered = (",".join([str(start + place)] * columns) + f",{line}" for place, line in enumerate(lines))
        return put(tmp_path, "\n".join([f"{first},{header}", *numbered]) + "\n")

    assert said(load_csv(table("filename,cat,dog", "a.jpg,1,0", "b.jpg,,1"))) == {
        "a.jpg": {"cat": 1, "dog": 0},
        "b.jpg": {"dog": 1},
    }
    assert said(load_csv(table("photo,cat", "x,1", "y,0"))) == {"x": {"cat": 1}, "y": {"cat": 0}}
    assert said(load_csv(table("image,label", "a.jpg,cat", "a.jpg,hot dog"))) == {"a.jpg": {"cat": 1, "hot dog": 1}}
    assert said(load_csv(table("image,tags", "a.jpg,cat|hot dog", "b.jpg,"))) == {
        "a.jpg": {"cat": 1, "hot dog": 1},
        "b.jpg": {},
    }


def test_what_is_left_of_an_index_is_one_where_the_header_says_what_follows(tmp_path):
    found = load_csv(put(tmp_path, ",image,label\n7,a.jpg,cat\n3,b.jpg,dog\n"))
    assert said(found) == {"a.jpg": {"cat": 1}, "b.jpg": {"dog": 1}}
    with pytest.raises(DataError, match="line 1: the first column has no name, and no numbers of lines in it"):
        load_csv(put(tmp_path, ",image,label\nx,a.jpg,cat\n"))
    with pytest.raises(DataError, match="line 3: 2 columns where the header has 3"):
        load_csv(put(tmp_path, ",image,label\n0,a.jpg,cat\n1,b.jpg\n"))


def test_a_nameless_column_may_be_the_images(tmp_path):
    assert said(load_csv(put(tmp_path, ",cat,dog\na.jpg,1,0\nb.jpg,0,1\n")))["a.jpg"] == {"cat": 1, "dog": 0}
    assert said(load_csv(put(tmp_path, ",cat,dog\n0,1,0\n1,0,1\n"))) == {
        "0": {"cat": 1, "dog": 0},
        "1": {"cat": 0, "dog": 1},
    }


def test_what_pandas_writes(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"image": ["a.jpg", "b.jpg"], "cat": [1, 0], "dog": [None, True]})
    frame.to_csv(tmp_path / "a.csv")
    expected = {"a.jpg": {"cat": 1}, "b.jpg": {"cat": 0, "dog": 1}}
    assert said(load_csv(tmp_path / "a.csv")) == expected
    pandas.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv", sep=";")
    assert said(load_csv(tmp_path / "b.csv")) == expected
    frame.set_index("image").to_csv(tmp_path / "c.csv", sep="\t")
    assert said(load_csv(tmp_path / "c.csv")) == expected


@pytest.mark.parametrize(("stated", "mark"), [("sep=;", ";"), ("sep=,", ","), ("SEP=\t", "\t"), ('"sep=|"', "|")])
def test_the_first_line_of_a_spreadsheet_says_the_separator(tmp_path, stated, mark):
    lines = [stated, *(mark.join(words) for words in (["image", "label"], ["a, b.jpg", "cat"], ["c.jpg", "hot dog"]))]
    text = "\ufeff" + "\r\n".join(lines) + "\r\n"
    text = text.replace("a, b.jpg", '"a, b.jpg"')
    path = put(tmp_path, text)
    assert tell_format(path) == "csv"
    assert said(load_csv(path)) == {"a, b.jpg": {"cat": 1}, "c.jpg": {"hot dog": 1}}
    with pytest.raises(DataError, match="line 3: value 'x' is not 1"):
        load_csv(put(tmp_path, "sep=;\nimage;label;value\na;cat;x\n"))


def test_commas_in_quotes_do_not_separate(tmp_path):
    found = load_csv(put(tmp_path, 'image;"cat, small";dog\na.jpg;1;0\n'))
    assert said(found) == {"a.jpg": {"cat, small": 1, "dog": 0}}


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told_with_the_way_to_convert_it(tmp_path, code):
    (tmp_path / "a.csv").write_bytes("image,label\na.jpg,café\n".encode(code))
    with pytest.raises(DataError, match=r"line 1: this is not UTF-8 text; .*iconv -f UTF-16 -t UTF-8 a\.csv > NEW"):
        load_csv(tmp_path / "a.csv")


def test_other_encodings_are_not_guessed(tmp_path):
    (tmp_path / "a.csv").write_bytes("image,label\na.jpg,café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line 2: .*iconv -f WINDOWS-1252 -t UTF-8 a\.csv > NEW \(or -f LATIN1"):
        load_csv(tmp_path / "a.csv")
