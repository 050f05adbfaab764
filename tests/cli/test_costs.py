"""``cost`` and ``report-bias`` from the command line."""

import csv
import json
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

from spml_annotate.acquire import Prices, load_prices
from spml_annotate.cli import main
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.features_npz import save_features
from spml_annotate.labels import LabelMatrix, Observation
from spml_annotate.loop.links import FILE, MAIN, Exposure, LinkStore, Said
from spml_annotate.taxonomy import Taxonomy


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(project):
    return project.workspace.root


def stream(project, count=240, pick=2.5):
    """Picks of two annotators in Label Studio's stream, one of them twice as fast, and a few gaps."""
    random = np.random.default_rng(0)
    said = []
    for number in range(count):
        who, pace = (("ls:ann@x.org", 2 / 3), ("ls:bob@x.org", 4 / 3))[number % 2]
        seconds = 60.0 if number % 40 == 0 else pace * pick * float(np.exp(0.3 * random.normal() - 0.045))
        row = number % 60
        said.append(
            Observation(
                row, number % 80, "yes", who, "label-studio", seconds, float(number), f"ls:ab12:{number}", False,
                f"ls:{number}",
            )
        )  # fmt: skip
    project.observe(said)


def test_fit_says_what_it_found_and_ask_uses_it(project, folder, tmp_path):
    stream(project)
    before = run("cost", "show", "--project", folder)
    assert before.exit_code == 0
    assert "published default, 234 acts in the log paid it" in before.output
    done = run("cost", "fit", "--per-annotator", "--out", tmp_path / "prices.toml", "--project", folder)
    assert done.exit_code == 0, done.output
    assert "used from now on" in done.output
    assert "ls:ann@x.org: 0.6" in done.output
    assert "left out: 6 left idle" in done.output
    assert "verify      1.7 s  stays: no act paid it" in done.output
    prices = load_prices(tmp_path / "prices.toml")
    assert prices.pick == pytest.approx(2.5, rel=0.06)
    assert prices.glance == Prices().glance
    shown = json.loads(run("cost", "show", "--json", "--project", folder).output)
    assert {line["price"]: line["from"] for line in shown["prices"]}["pick"] == "spml.toml"
    assert {line["price"]: line["seconds"] for line in shown["prices"]}["pick"] == prices.pick


def test_a_dry_run_and_json(project, folder):
    stream(project)
    facts = json.loads(run("cost", "fit", "--dry-run", "--json", "--project", folder).output)
    assert facts["applied"] is False
    assert facts["seconds"]["pick"] == pytest.approx(2.5, rel=0.06)
    assert facts["before"] == vars(Prices())
    assert [who["annotator"] for who in facts["annotators"]] == ["ls:ann@x.org", "ls:bob@x.org"]
    slow = facts["annotators"][1]
    assert slow["seconds"]["pick"] == pytest.approx(slow["factor"] * facts["seconds"]["pick"], rel=0.01)
    assert facts["left_out"] == {"left idle": 6}
    assert "nothing was changed" in run("cost", "fit", "--dry-run", "--project", folder).output
    assert "[seconds]" not in (folder / "spml.toml").read_text()


def test_few_answers_are_warned_about(project, folder):
    stream(project, count=60)
    done = run("cost", "fit", "--project", folder)
    assert "note: only 58 measured answers: intervals are wide; fit again once there are 200" in done.output


def test_nothing_to_fit_exits_2_with_one_line(folder):
    done = run("cost", "fit", "--project", folder)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "has usable seconds" in done.stderr


def test_an_unwritable_file_is_said_before_anything_is_changed(project, folder, tmp_path):
    stream(project)
    done = run("cost", "fit", "--out", tmp_path / "missing" / "prices.toml", "--project", folder)
    assert done.exit_code == 2
    assert "cannot write" in done.stderr
    assert "[seconds]" not in (folder / "spml.toml").read_text()


def test_simulate_reads_the_written_prices(project, folder, tmp_path):
    stream(project, pick=25.0)
    assert run("cost", "fit", "--dry-run", "--out", tmp_path / "prices.toml", "--project", folder).exit_code == 0
    pick = load_prices(tmp_path / "prices.toml").pick
    assert pick == pytest.approx(25.0, rel=0.06)
    random = np.random.default_rng(0)
    truth = (random.random((60, 3)) < 0.5).astype(np.int8)
    truth[np.arange(60), random.integers(0, 3, 60)] = 1
    split = np.repeat(np.array([0, 1, 2], dtype=np.int8), [40, 10, 10])
    names, ids = Taxonomy(("a", "b", "c")), tuple(f"{row}.png" for row in range(60))
    table = tmp_path / "set.npz"
    labels = LabelMatrix.from_dense(truth)
    save_features(table, Dataset("made-up", names, ids, labels, split, truth.astype(np.float32)))
    out = tmp_path / "out"
    done = run(
        "simulate", table, "--prices", tmp_path / "prices.toml", "--out", out, "--loss", "an", "--seeds", 1,
        "--strategy", "random-pairs", "--rounds", 0, "--epochs", 1, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with (out / "curves.csv").open(newline="") as file:
        [start] = [line for line in csv.DictReader(file) if (line["strategy"], line["round"]) == ("random-pairs", "0")]
    assert start["answers_pick"] == "40"
    assert float(start["hours"]) == pytest.approx(40 * pick / 3600, rel=1e-3)


def test_bias_without_label_studio_makes_no_file(folder):
    done = run("report-bias", "--project", folder)
    assert done.exit_code == 0
    assert "there is nothing to compare" in done.output
    assert not (folder / FILE).exists()


def test_bias_is_reported(folder):
    with closing(LinkStore(folder)) as links:
        link = links.add("http://here", 1, "now", MAIN, "<View/>")
        random = np.random.default_rng(0)
        exposures = []
        for task in range(300):
            hidden = task % 3 == 0
            agree = random.random() < (0.5 if hidden else 0.9)
            exposures.append(
                Exposure(
                    task, "ls:ann@x.org", "v", hidden, (1,), (1,) if agree else (2,), agree and not hidden,
                    4.0 if hidden else 2.0 + float(random.random()), float(task), "chosen",
                )
            )  # fmt: skip
        links.expose(link.id, exposures)
        links.note(link.id, [Said(e.task, e.annotator, 1, "t", {e.given[0]: ("yes", "e")}, 1.0) for e in exposures])
    done = run("report-bias", "--project", folder)
    assert done.exit_code == 0, done.output
    assert "by kind of question:\n  pick: 200 shown, 100 hidden; accepted 0.885 against 0.410" in done.output
    assert "showing a proposal makes people accept it more often" in done.output
    facts = json.loads(run("report-bias", "--json", "--project", folder).output)
    assert facts["kinds"][0]["low"] > 0.2
    assert facts["annotators"][0]["name"] == "ls:ann@x.org"
