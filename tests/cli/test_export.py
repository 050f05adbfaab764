"""`export` and `formats` on the command line: what is printed, refused, and left behind when stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from spml_annotate.cli import main
from spml_annotate.formats import CAPABILITIES, FORMATS
from spml_annotate.labels import Observation


@pytest.fixture
def run(project):
    def invoke(*arguments: object):
        return CliRunner().invoke(main, [*map(str, arguments), "--project", str(project.workspace.root)])

    return invoke


def test_it_says_what_is_in_it_and_what_is_lost(project, run, tmp_path):
    project.observe([Observation(0, 3, "no", "ann", time=5.0, shown=True)])
    done = run("export", tmp_path / "out.csv", "--format", "csv")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"60 images with 61 labels of people and 0 proposals in {tmp_path / 'out.csv'} (csv)"
    assert lines[1] == "cells: people 60 yes, 1 no; proposed 0 yes, 0 no; unknown 4739"
    assert "79 of 80 classes have no negative: " in done.stdout
    assert "csv does not hold: who answered (2 annotators); when the labels were given; that a proposal" in done.stdout
    assert lines[-1] == f"all of it is in {tmp_path / 'out.csv.lost.csv'}"
    found = json.loads(run("export", tmp_path / "out.csv", "--format", "csv", "--json").stdout)
    assert (found["human"], found["classes"][3]["human_negative"], found["quality"]) == (61, 1, None)
    assert Path(found["card"]).is_file()


def test_estimates_are_printed_with_their_intervals(world, project, run, tmp_path):
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    project.train(epochs=25, learning_rate=0.05, weight_decay=0.01, loss="an", device="cpu")
    done = run("export", tmp_path / "out", "--min-precision", "0.6", "--licence", "CC0", "--splits", "train")
    assert done.exit_code == 0, done.output
    assert "estimated on 30 checked images, thresholds calibrated on the other half of the sample" in done.stdout
    found = json.loads(run("export", tmp_path / "out", "--min-precision", "0.6", "--json").stdout)
    share = found["quality"]["overall"]["positive_recall"]
    assert share["low"] <= share["value"] < share["high"]
    words = f"recall {share['value']:.2f} ({share['low']:.2f} to {share['high']:.2f})"
    assert any(line.startswith("expected positives: ") and line.endswith(words) for line in done.stdout.splitlines())
    assert "## Licence\n\nCC0\n" in run_card(run, tmp_path)


def run_card(run, tmp_path) -> str:
    """The card of an export with a licence."""
    assert run("export", tmp_path / "licensed", "--licence", "CC0").exit_code == 0
    return (tmp_path / "licensed" / "datacard.md").read_text()


def test_soft_labels_are_not_called_proposals(project, run, tmp_path):
    project.train(epochs=1, device="cpu")
    done = run("export", tmp_path / "out", "--soft")
    assert done.stdout.startswith("60 images with 60 labels of people and 4740 labels that nobody gave in ")
    assert "; model's probability 4740; unknown 0\n" in done.stdout


def test_an_export_that_forgot_what_is_a_proposal_is_noted_when_imported(project, run, tmp_path):
    project.train(epochs=1, device="cpu")
    assert run("export", tmp_path / "out.json", "--soft").exit_code == 0
    assert "which of its labels are proposals" in run("import-labels", tmp_path / "out.json").stderr
    assert run("export", tmp_path / "sure", "--labels", "human").exit_code == 0
    assert run("import-labels", tmp_path / "sure").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out", "--labels", "human", "--soft"], "--soft writes what the model believes"),
        (["out", "--soft"], "there is no trained model yet"),
        (["out", "--labels", "all"], "run `spml-annotate propose`"),
        (["out.npz"], "no format that is written ends in .npz"),
        (["out", "--format", "webdatasets"], "did you mean 'webdataset'?"),
        (["out", "--images", "link"], "parquet holds no pictures"),
        (["out", "--unknown", "drop-images"], "no image is left to export (60 not known completely)"),
        (["out.csv", "--splits", "trian"], "--splits 'trian': choose from train, validation, test"),
    ],
)
def test_what_cannot_be_is_one_line_and_exits_2(run, tmp_path, arguments, message):
    done = run("export", tmp_path / arguments[0], *arguments[1:])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


def test_formats_are_listed_from_the_registry():
    text = CliRunner().invoke(main, ["formats"]).stdout
    found = json.loads(CliRunner().invoke(main, ["formats", "--json"]).stdout)
    assert [entry["name"] for entry in found] == list(FORMATS)
    for entry in found:
        assert set(entry["holds"]) == FORMATS[entry["name"]].facts["can"]
        assert f"\n{entry['name']} " in f"\n{text}"
    for name, words in CAPABILITIES.items():
        assert f"{name:<12}{words}" in text


def test_stopped_by_the_keyboard_the_old_export_stays(project, tmp_path):
    out, folder = tmp_path / "out", project.workspace.root
    project.train(epochs=1, device="cpu")
    project.export(out, format="huggingface", labels="human")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "spml_annotate", "export", str(out), "--format", "huggingface", "--soft"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SPML_PROJECT": str(folder)}
    for _ in range(6):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            while process.poll() is None and not list(tmp_path.glob(".out.*")):
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
        assert not list(tmp_path.glob(".out.*"))
        after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        if process.returncode == 130:
            assert said.strip() == "stopped; everything finished so far is kept"
            assert after == before
            return
        assert process.returncode == 0, said  # it was faster than the signal
        before = after
    pytest.fail("the command was never caught while writing")
