"""Labels of other programs come into a project: names without endings, codes of classes, uploads, class numbers."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from spml_annotate.errors import DataError
from spml_annotate.labels import NEGATIVE, POSITIVE


def known(project, row, label):
    return int(project.labels.dense()[row, project.taxonomy.column(label)])


@pytest.fixture
def empty(project):
    """The same project with every answer taken back."""
    project.observe([said._replace(answer="retract", event="") for said in project.workspace.log])
    return project


def test_open_images_with_its_codes_and_names_without_endings(empty, tmp_path):
    path = tmp_path / "train-annotations-human-imagelabels.csv"
    path.write_text(
        "ImageID,Source,LabelName,Confidence\n"
        "train/00000,verification,/m/01g317,1\n"
        "train/00000,verification,/g/11bc,0\n"
    )
    with pytest.raises(DataError, match=r"2 of 2 classes are not in the project, such as '/g/11bc'"):
        empty.import_labels(path)
    red, other = empty.taxonomy.names[3], empty.taxonomy.names[4]
    (tmp_path / "class-descriptions.csv").write_text(f"/m/01g317,{red}\n/g/11bc,{other}\n/m/0zzz,{red}s\n")
    assert empty.import_labels(path).new == 2
    row = empty.workspace.images.ids().index("train/00000.png")
    assert (known(empty, row, red), known(empty, row, other)) == (POSITIVE, NEGATIVE)
    assert int((empty.labels.dense() != -1).sum()) == 2


def test_names_without_endings_have_to_mean_one_picture(empty, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("image,label\n00000,red 3\n")
    with pytest.raises(DataError, match="1 of 1 images are not in the project, such as '00000'"):
        empty.import_labels(path)
    assert empty.import_labels(path, prefix="train/").new == 1
    path.write_text("image,label\ntrain/00000.jpg,red 3\n")
    with pytest.raises(DataError, match="1 of 1 images are not in the project"):
        empty.import_labels(path)


def test_uploads_of_label_studio_are_found_in_the_folder(empty, tmp_path):
    ids = empty.workspace.images.ids()
    result = [{"from_name": "c", "to_name": "image", "type": "choices", "value": {"choices": ["red 3"]}}]
    tasks = [
        {"id": 1, "data": {"image": f"/data/{place}"}, "annotations": [{"id": 1, "completed_by": 1, "result": result}]}
        for place in ("upload/3/0123abcd-00000.png", "local-files/?d=pictures/train/00001.png")
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    for name in ("train/00000.png", "train/00001.png"):
        file = tmp_path / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"--set label-studio\.root=FOLDER"):
        empty.import_labels(path)
    assert empty.import_labels(path, settings={"root": str(tmp_path / "pictures")}).new == 2
    assert known(empty, ids.index("train/00000.png"), "red 3") == POSITIVE
    with pytest.raises(DataError, match="there is no such file"):
        empty.import_labels(path, settings={"config": str(tmp_path / "none.xml")})


def test_class_numbers_count_in_the_list_that_is_given(empty, tmp_path):
    path, listed = tmp_path / "train.tar", tmp_path / "classes.txt"
    listed.write_text("nothing\nred 3\n")
    with tarfile.open(path, "w") as tar:
        for name, content in (("train/00000.png", b""), ("train/00000.cls", b"1")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match="label 1 is a number; give the class list"):
        empty.import_labels(path)
    assert empty.import_labels(path, settings={"classes": str(listed)}).positives == 1


def test_other_names_of_classes_lie_beside_an_export(empty, tmp_path):
    import csv

    first, second = empty.taxonomy.names[:2]
    empty.rename_class(first, "renamed, é")
    empty.alias_class(second, "other")
    done = empty.export(tmp_path / "out.json", format="coco")
    assert any("the other names and prompts of 2 classes" in clause for clause in done.lost)
    with (tmp_path / "out.json.classes.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["class"], line["other_names"]) for line in lines[:3]] == [
        ("renamed, é", json.dumps([first])), (second, '["other"]'), (empty.taxonomy.names[2], ""),
    ]  # fmt: skip
