"""Labels go from one project to another through every format that is both written and read."""

import json
from pathlib import Path

import numpy as np
import pytest

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.telling import readable
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Observation

BOTH = [name for name in readable() if FORMATS[name].facts["saves"] is not None]


@pytest.fixture
def labelled(project):
    """A project with negatives, two annotators, and a test split."""
    project.observe([Observation(3, 5, "no", "ann", time=12.0), Observation(3, 5, "no", "bob", time=13.0)])
    project.observe([Observation(4, label, "no", "ann") for label in range(3, 60)])
    project.workspace.images.set_split([7, 8], 2)
    return project


@pytest.mark.parametrize("name", BOTH)
def test_what_is_exported_is_imported(world, labelled, tmp_path, name):
    facts = FORMATS[name].facts
    out = tmp_path / ("out" if facts["is_folder"] else f"out{(*facts['suffixes'], '.csv')[0]}")
    labelled.export(out, format=name)
    with world.project(tmp_path / "other") as other:
        other.observe([said._replace(answer="retract", event="") for said in other.workspace.log])
        assert not other.labels.known
        done = other.import_labels(out, format=name, splits=True)
        known, expected = other.labels.dense(), labelled.labels.dense()
        if "negatives" not in facts["can"]:
            expected[expected == NEGATIVE] = UNKNOWN
        assert np.array_equal(known, expected)
        assert (done.format, done.proposals) == (name, 0)
        if "splits" in facts["can"]:
            assert other.workspace.images.splits()[[7, 8]].tolist() == [2, 2]
        assert other.import_labels(out, format=name).new == 0


def test_proposals_are_nobodys_answer(project, tmp_path):
    project.train(epochs=2, device="cpu")
    done = project.export(tmp_path / "soft", soft=True)
    before = project.labels.dense()
    found = project.import_labels(tmp_path / "soft")
    assert found.proposals == done.proposals > 0
    assert found.labels == done.human
    assert np.array_equal(project.labels.dense(), before)


def test_coco_of_others_with_and_without_missing_as_negative(project, tmp_path):
    names = project.taxonomy.names
    content = {
        "images": [{"id": 90, "file_name": "00000.png", "width": 48, "height": 48}],
        "categories": [{"id": 70 + i, "name": names[i]} for i in range(3)],
        "annotations": [{"id": 1, "image_id": 90, "category_id": 71, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"such as '00000\.png'"):
        project.import_labels(file)
    assert project.import_labels(file, prefix="train/", annotator="coco").positives == 1
    done = project.import_labels(file, prefix="train/", annotator="coco", missing="negative")
    assert (done.positives, done.negatives, done.new) == (1, 2, 2)
    said = {(o.label, o.answer) for o in project.workspace.log if o.annotator == "coco"}
    assert said == {(0, "no"), (1, "yes"), (2, "no")}


def test_windows_paths_find_their_images(project, tmp_path):
    file = tmp_path / "w.csv"
    file.write_text("image,label\ntrain\\00000.png,red 3\n")
    assert project.import_labels(file).new == 1


def test_settings_of_a_reader_are_checked(project, tmp_path):
    file = tmp_path / "w.csv"
    file.write_text("image,label\ntrain/00000.png,red 3\n")
    with pytest.raises(SettingError, match="csv has no setting 'colour'"):
        project.import_labels(file, settings={"colour": "red"})
    assert project.import_labels(file, settings={"complete": "yes"}).positives == 1


def test_a_complete_table_refuses_missing_as_negative(project, tmp_path):
    project.export(tmp_path / "out")
    with pytest.raises(DataError, match="leave --map-missing out"):
        project.import_labels(tmp_path / "out", missing="negative")


def test_the_command_says_the_format_and_takes_settings(project, tmp_path):
    from click.testing import CliRunner

    from spml_annotate.cli import main

    file, folder = tmp_path / "w.csv", str(project.workspace.root)
    file.write_text("image,label\ntrain/00000.png,red 3\n")

    def run(*arguments: str):
        return CliRunner().invoke(main, ["import-labels", str(file), "--project", folder, *arguments])

    done = run("--json")
    assert (done.exit_code, json.loads(done.stdout)["format"]) == (0, "csv")
    wrong = run("--set", "voc.difficult=yes")
    assert wrong.exit_code == 2
    assert "is read as csv; write --set csv.SETTING=VALUE" in wrong.stderr
    assert run("--format", "coco").exit_code == 2
    assert Path(folder).is_dir()
    assert (project.labels.dense([0])[0] == POSITIVE).any()
