"""``estimate-k`` as people and programs see it."""

import csv
import json

import pytest
from click.testing import CliRunner

from spml_annotate.cli import main


def shell(folder, *arguments, code=0):
    done = CliRunner().invoke(main, [*map(str, arguments), "--project", str(folder)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def folder(world, project, tmp_path):
    """A project with 20 checked images and a model."""
    project.answer(world.answers(project, [*project.ask_validation(20).new], tmp_path / "v.csv"))
    project.train(epochs=5, device="cpu")
    return project.workspace.root


def test_a_table_of_sources_and_what_is_used(folder):
    shown = shell(folder, "estimate-k")
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["source", "validation"]
    assert lines[1].endswith(" 20")
    assert " to " in lines[1]
    assert lines[2].strip() == "assumes nothing: randomly drawn images, every class answered"
    place = next(place for place, line in enumerate(lines) if line.startswith("crisp "))
    assert "random draw from all positives" in lines[place + 1]
    assert max(map(len, lines)) <= 100
    assert "add --held-out" in shown
    assert "used now: k = " in lines[-1]
    assert "(20 checked images)" in lines[-1]


def test_json_and_csv_have_every_class_of_every_source(folder, tmp_path):
    out = tmp_path / "priors.csv"
    said = json.loads(shell(folder, "estimate-k", "--json", "--expected-positives", 2, "--out", out))
    sources = {source["source"]: source for source in said["sources"]}
    assert list(sources) == ["validation", "crisp", "crisp-held-out", "given"]
    assert sources["validation"]["low"] < sources["validation"]["expected_positives"] < sources["validation"]["high"]
    assert sources["crisp"]["low"] is None
    assert sources["crisp-held-out"]["expected_positives"] is None
    assert said["used"]["from"] == "20 checked images"
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [entry["class"] for entry in said["classes"]]
    for name in ("validation", "crisp", "given"):
        k = sources[name]["expected_positives"]
        assert sum(float(row[name]) for row in rows) == pytest.approx(k, abs=1e-3)
    assert rows[0]["crisp_low"] == ""
    assert float(rows[0]["validation_low"]) <= float(rows[0]["validation"]) <= float(rows[0]["validation_high"])


def test_classes_are_listed_with_intervals(folder):
    shown = shell(folder, "estimate-k", "--classes").splitlines()
    start = next(place for place, line in enumerate(shown) if line.startswith("class"))
    assert len(shown) - start - 1 == 80
    assert shown[start].split() == ["class", "used", "validation", "crisp"]
    assert "(0.000 to 0.161)" in "\n".join(shown)  # Wilson for 0 of 20


def test_saving_is_said_by_status_and_train(folder):
    assert "saved: k = 3.25 (set for the project: given)" in shell(folder, "estimate-k", "--save", "3.25")
    assert "k          3.25 positives per image (set for the project: given)" in shell(folder, "status")
    assert "k = 3.25 (set for the project: given)" in shell(folder, "train", "--epochs", 2, "--device", "cpu")
    assert "k = 2.00" in shell(folder, "train", "--epochs", 2, "--device", "cpu", "--expected-positives", 2)
    assert "saved: k = " in shell(folder, "estimate-k", "--save", "automatic")
    assert "(20 checked images)" in shell(folder, "status")


def test_a_user_s_mistake_is_one_line(folder):
    shown = shell(folder, "estimate-k", "--save", "sample", code=2)
    assert "give a number, or one of validation, crisp, crisp-held-out, given, automatic" in shown
    assert "Traceback" not in shown


def test_selective_loss_trains_with_the_project_s_class_priors(folder):
    options = ("--set", "csl.mode=selective", "--set", "csl.prior_threshold=0.2", "--epochs", 3, "--device", "cpu")
    assert ": csl on 40 images" in shell(folder, "train", "--loss", "csl", *options)


def test_a_place_that_cannot_be_written_is_said_before_a_k_is_saved(folder, tmp_path):
    place = tmp_path / "nowhere" / "priors.csv"
    assert "cannot write" in shell(folder, "estimate-k", "--save", "3", "--out", place, code=2)
    assert json.loads(shell(folder, "estimate-k", "--json"))["used"]["saved"] is False
    assert not list(tmp_path.glob("**/*.tmp"))
