"""The whole work through the command line, on a folder of pictures, with the built-in features."""

import csv
import json

import numpy as np
from click.testing import CliRunner

from spml_annotate.cli import main
from spml_annotate.formats.open_images import load_open_images
from spml_annotate.formats.parquet import load_parquet
from spml_annotate.project import Project


class Shell:
    """Runs commands in one project and expects them to succeed."""

    def __init__(self, folder) -> None:
        self.folder = str(folder)

    def __call__(self, *arguments) -> str:
        given = [str(argument) for argument in arguments]
        result = CliRunner(env={"SPML_PROJECT": self.folder}).invoke(main, given, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments):
        return json.loads(self(*arguments, "--json"))


def replies(world, questions, out):
    """A file that answers the questions of a CSV that `ask --out` wrote, truthfully."""
    with questions.open(newline="") as file, out.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["question", "label", "answer", "seconds"])
        for line in csv.DictReader(file):
            writer.writerows(world.lines(line["image"], line["question"], line["labels"].split("|")))
    return out


def test_from_pictures_to_an_exported_data_set(world, tmp_path):
    shell = Shell(tmp_path / "p")
    assert "80 classes" in shell("init", tmp_path / "p", "--classes", world.classes, "--name", "scenes")
    assert shell.json("images", "add", world.pictures)["new"] == 60
    assert shell.json("import-labels", world.one)["new"] == 60
    assert shell.json("import-labels", world.one)["new"] == 0
    assert "60 images embedded with builtin" in shell("-q", "embed", "--device", "cpu")
    assert shell.json("embed")["new"] == 0
    assert "the last one, for there is no checked sample" in shell("train", "--epochs", "5", "--device", "cpu")
    asked = shell.json("ask", "--validation", "15", "--out", tmp_path / "v.csv")
    assert (asked["drawn"], asked["new"]) == (15, 15)
    first = shell.json("answer", replies(world, tmp_path / "v.csv", tmp_path / "va.csv"))
    assert (first["questions"], first["open"]) == (15, 0)
    trained = shell.json("train", "--epochs", "5", "--device", "cpu")
    assert (trained["version"], trained["selected_by"], trained["images"]) == ("0002", "validation mAP", 45)
    proposed = shell.json("propose", "--out", tmp_path / "proposals.csv", "--limit", "20")
    assert proposed["checked_images"] == 15
    assert len(proposed["proposals"]) <= 20
    asked = shell.json("ask", "--budget", "2m", "--out", tmp_path / "q.csv", "--set", "page.size=5")
    assert 0 < asked["seconds"] <= 120
    assert "nothing new was asked" in shell("ask", "--budget", f"{asked['seconds']}s", "--set", "page.size=5")
    shell("answer", replies(world, tmp_path / "q.csv", tmp_path / "qa.csv"), "--annotator", "ann")
    assert "already" in shell("answer", tmp_path / "qa.csv", "--annotator", "ann")
    judged = shell.json("evaluate")
    assert judged["images"] == 15
    assert judged["map"] is None or 0.0 <= judged["map"] <= 1.0
    assert "k = " in shell("evaluate")
    now = shell.json("status")
    assert (now["checked"], now["open_questions"], now["model"]) == (15, 0, "0002")
    shell("export", tmp_path / "out")
    shell("export", tmp_path / "out.csv", "--labels", "human")
    with Project(tmp_path / "p") as project:
        table = load_parquet(tmp_path / "out")
        human = table.sources == "human"
        found = np.full(project.workspace.shape, -1, dtype=np.int8)
        found[table.rows[human], table.labels[human]] = table.values[human]
        assert np.array_equal(found, project.labels.dense())
        assert len(load_open_images(tmp_path / "out.csv")) == project.labels.known
        truth = world.dataset.truth[[world.dataset.image_ids.index(name) for name in project.image_ids]]
        assert (found[found >= 0] == truth[found >= 0]).all()
    assert "took back page" in shell("undo")
    assert shell.json("status")["open_questions"] == 1
    assert "ok    model" in shell("doctor")


def test_small_verbs(world, tmp_path):
    shell = Shell(tmp_path / "p")
    shell("init", tmp_path / "p", "--classes", "dog, cat")
    shell("images", "add", world.pictures / "train" / "00000.png", "--split", "test", "--prefix", "extra/")
    assert shell.json("images", "list")[0]["image"] == "extra/00000.png"
    assert "extra/00000.png\ttest\t0" in shell("images", "list", "--split", "test")
    assert "3 classes" in shell("classes", "add", "bird")
    shell("classes", "rename", "dog", "hound")
    shell("classes", "alias", "cat", "felis")
    assert [entry["name"] for entry in shell.json("classes", "list")] == ["hound", "cat", "bird"]
    assert "hound" in shell("classes", "list")
    assert "spml-annotate import-labels" in shell("status")
    shell("images", "move", world.pictures, world.pictures)


def test_classes_that_look_alike_are_noted(tmp_path):
    from click.testing import CliRunner

    from spml_annotate.cli import main

    folder = str(tmp_path / "p")
    done = CliRunner().invoke(main, ["init", folder, "--classes", "cat,Cat"])
    assert done.exit_code == 0
    assert "note: 'cat' and 'Cat' are two classes that look alike" in done.stderr
    done = CliRunner().invoke(main, ["classes", "add", "dog", "--project", folder])
    assert done.stderr.count("look alike") == 1
