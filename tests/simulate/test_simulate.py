"""The sweep end to end on small made-up features: contents of the curve, same bytes, resuming after kill -9."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from spml_annotate.cli import main
from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.features_npz import save_features
from spml_annotate.labels import UNKNOWN, LabelMatrix
from spml_annotate.simulate.plan import Plan
from spml_annotate.simulate.runs import simulate
from spml_annotate.taxonomy import Taxonomy

OUTPUTS = ("curves.csv", "classes.csv", "summary.json", "curves.png", "curves.svg", "report.html", "plan.json")


def made_up(images=160, classes=8, dimension=12, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, dimension)).astype(np.float32)
    truth = ((features @ rng.normal(size=(dimension, classes))) > 2.5).astype(np.int8)
    truth[~truth.any(axis=1), 0] = 1
    split = np.zeros(images, dtype=np.int8)
    split[images // 2 :], split[3 * images // 4 :] = 1, 2
    names = tuple(f"class {i}" for i in range(classes))
    ids = tuple(f"{i}.png" for i in range(images))
    return Dataset("made-up", Taxonomy(names), ids, LabelMatrix.from_dense(truth), split, features)


def quick(**changes):
    settings = {"strategies": ("random-pairs", "expected-positives:list"), "seeds": 2, "rounds": 2, "epochs": 4}
    return Plan(**{**settings, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    summary = simulate(made_up(), quick(), out, device="cpu")
    return out, summary


def rows_of(out):
    with (out / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_cannot_be_simulated_says_so(tmp_path):
    data = made_up()
    positives = data.truth.copy()
    positives[positives == 0] = UNKNOWN
    listed = replace(data, labels=LabelMatrix.from_dense(positives))
    with pytest.raises(DataError, match="--map-missing negative"):
        simulate(listed, quick(), tmp_path / "a", device="cpu")
    assert np.array_equal(listed.with_missing_negative().truth, data.truth)
    silent = data.truth.copy()
    silent[data.rows(2)] = 0
    with pytest.raises(DataError, match="no test image has a positive label"):
        simulate(replace(data, labels=LabelMatrix.from_dense(silent)), quick(), tmp_path / "b", device="cpu")
    with pytest.raises(SettingError, match="learning rate"):
        quick(learning_rate=0.0)


def test_labels_are_checked_before_pictures_are_embedded(tmp_path):
    """The CSV names positives only; its folder of images does not even hold pictures that could be read."""
    (tmp_path / "images").mkdir()
    lines = ["image,label,split"]
    for number, split in enumerate(("train", "train", "validation", "test")):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"never opened")
        lines.append(f"{number}.png,class {number % 2},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    given = ["simulate", str(tmp_path / "labels.csv"), "--root", str(tmp_path / "images"), "--out", str(tmp_path / "o")]
    refused = CliRunner().invoke(main, given)
    assert (refused.exit_code, "--map-missing negative" in refused.stderr) == (2, True)
    embedding = CliRunner().invoke(main, [*given, "--map-missing", "negative"])
    assert "not a picture" in embedding.stderr
    assert not (tmp_path / "o").exists()


def test_the_curve_goes_from_one_positive_to_everything_known(finished):
    out, _ = finished
    rows = rows_of(out)
    assert {"dataset", "loss", "strategy", "seed", "round", "hours", "known_share", "map"} <= set(rows[0])
    assert len(rows) == 2 * 3 * 2 * 4  # losses x strategies x seeds x rounds
    images, classes = 80, 8
    for row in rows:
        asked = {k: int(row[f"answers_{k}"]) for k in ("pick", "list", "verify", "page", "exhaust")}
        if row["round"] == "0" and row["strategy"] != "random-images":
            assert row["labels"] == "SPL"
            assert float(row["known_share"]) == pytest.approx(1 / classes)
            assert float(row["hours"]) == pytest.approx(images * 5 / 3600, abs=1e-6)
            assert asked == {"pick": images, "list": 0, "verify": 0, "page": 0, "exhaust": 0}
        if row["strategy"] == "random-images":
            assert asked["exhaust"] == int(row["images_touched"])
            assert asked["pick"] == 0
        if row["round"] == "3":
            assert row["labels"] == "FAL"
            assert float(row["known_share"]) == 1.0


def test_every_lane_is_measured_at_the_same_hours_and_never_beyond_them(finished):
    out, _ = finished
    targets = quick().targets(made_up())
    for row in rows_of(out):
        assert float(row["hours"]) * 3600 <= targets[int(row["round"])] + 0.01
    assert targets[-1] == float("inf")


def test_with_everything_known_strategies_agree(finished):
    out, _ = finished
    last = {}
    for row in rows_of(out):
        if row["round"] == "3":
            last.setdefault((row["loss"], row["seed"]), set()).add(row["map"])
    assert all(len(values) == 1 for values in last.values())


def test_the_baseline_is_always_run_and_summarised(finished):
    out, summary = finished
    stored = json.loads((out / "summary.json").read_text())
    assert {e["strategy"] for e in stored["curves"]} == {"random-images", "random-pairs", "expected-positives:list"}
    assert len(stored["curves"]) == len(summary["curves"]) == 6
    assert stored["validation"]["images"] == 40
    assert stored["validation"]["hours"] > 0


def test_per_class_values_are_beside_the_curve(finished):
    out, _ = finished
    with (out / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48 * 8
    curve = {(r["loss"], r["strategy"], r["seed"], r["round"]): r["map"] for r in rows_of(out)}
    key = ("an", "random-pairs", "1", "2")
    mine = [float(r["average_precision"]) for r in rows if (r["loss"], r["strategy"], r["seed"], r["round"]) == key]
    assert np.mean(mine) == pytest.approx(float(curve[key]), abs=1e-5)


def test_the_report_stands_alone(finished):
    out, _ = finished
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert "random-images" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "<script" not in page
    assert not (out / "state").exists()


def test_the_same_command_gives_the_same_bytes(finished, tmp_path):
    out, _ = finished
    simulate(made_up(), quick(), tmp_path, device="cpu")
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_validation_seconds_are_counted_on_demand(finished, tmp_path):
    out, summary = finished
    simulate(made_up(), quick(count_validation=True, losses=("an",), seeds=1), tmp_path, device="cpu")
    before = next(r for r in rows_of(out) if r["strategy"] == "random-pairs")
    after = next(r for r in rows_of(tmp_path) if r["strategy"] == "random-pairs")
    extra = float(after["hours"]) - float(before["hours"])
    assert extra == pytest.approx(summary["validation"]["hours"], abs=1e-5)


def test_a_validation_sample_is_not_required(tmp_path):
    data = made_up()
    data.split[data.split == 1] = 2
    summary = simulate(data, quick(losses=("an",), seeds=1), tmp_path, device="cpu")
    assert summary["validation"]["selection"] == "last epoch"


def test_a_validation_sample_without_a_positive_selects_nothing(tmp_path):
    data = made_up()
    truth = data.truth.copy()
    truth[data.split == 1] = 0
    data = Dataset("bare", data.taxonomy, data.image_ids, LabelMatrix.from_dense(truth), data.split, data.features)
    summary = simulate(data, quick(losses=("an",), seeds=1, rounds=0), tmp_path, device="cpu")
    assert (summary["validation"]["images"], summary["validation"]["selection"]) == (40, "last epoch")
    assert {row["epoch"] for row in rows_of(tmp_path) if row["epoch"]} == {"3"}


def test_reference_losses_run_where_they_can(tmp_path):
    summary = simulate(made_up(), quick(losses=("an", "iun", "bce"), seeds=1, rounds=1), tmp_path, device="cpu")
    rows = rows_of(tmp_path)
    assert all(r["map"] for r in rows)
    first = [r for r in rows if r["round"] == "0" and r["strategy"] == "random-pairs"]
    told = {"an": "", "iun": "every true negative", "bce": "a true negative per image"}
    assert {r["loss"]: r["told"] for r in first} == told
    assert {r["labels"] for r in first} == {"SPL"}  # what people said; what references are told is no answer
    assert {r["negatives_known"] for r in first} == {"0"}
    assert {e["loss"]: e["told"] for e in summary["losses"]} == told
    assert summary["losses"][0]["loss"] == "an"  # references come after all methods, however good
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "reference: iun (is told every true negative)" in page or "is told" in page


class InterruptedHereError(Exception):
    pass


@pytest.mark.parametrize("after", [0, 2])
def test_an_interrupted_sweep_resumes_to_the_same_bytes(finished, tmp_path, after):
    out, _ = finished

    def stop(number):
        if number == after:
            raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        simulate(made_up(), quick(), tmp_path, device="cpu", after_round=stop)
    assert not (tmp_path / "curves.csv").exists()
    simulate(made_up(), quick(), tmp_path, device="cpu", resume=True)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_killed_in_the_middle_it_resumes_to_the_same_bytes(tmp_path):
    data = tmp_path / "data.npz"
    save_features(data, made_up())
    command = [
        sys.executable, "-m", "spml_annotate", "-q", "simulate", str(data), "--device", "cpu", "--threads", "1",
        "--loss", "en", "--strategy", "random-pairs", "--seeds", "2", "--epochs", "30", "--out",
    ]  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*command, str(whole)], check=True, env=environment, stdout=subprocess.DEVNULL)
    process = subprocess.Popen([*command, str(broken)], env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list((broken / "state").glob("round-*.npz")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "curves.csv").exists()
    subprocess.run([*command, str(broken), "--resume"], check=True, env=environment, stdout=subprocess.DEVNULL)
    for name in OUTPUTS:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name


def test_another_simulation_in_the_folder_is_not_overwritten_unasked(finished, tmp_path):
    simulate(made_up(), quick(losses=("an",), seeds=1, rounds=0), tmp_path, device="cpu")
    before = (tmp_path / "curves.csv").read_bytes()
    with pytest.raises(MismatchError, match=r"holds another simulation \(epochs differ\)"):
        simulate(made_up(), quick(losses=("an",), seeds=1, rounds=0, epochs=5), tmp_path, device="cpu")
    assert (tmp_path / "curves.csv").read_bytes() == before
    simulate(made_up(), quick(losses=("an",), seeds=1, rounds=0, epochs=5), tmp_path, device="cpu", overwrite=True)


def test_incomplete_truth_is_refused(tmp_path):
    data = made_up()
    truth = data.truth.copy()
    truth[0, 0] = UNKNOWN
    broken = Dataset("gap", data.taxonomy, data.image_ids, LabelMatrix.from_dense(truth), data.split, data.features)
    with pytest.raises(DataError, match="training labels have unknown cells"):
        simulate(broken, quick(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": ("nonsense",)}, "there is no loss 'nonsense'"),
        ({"strategies": ("nonsense",)}, "there is no strategy 'nonsense'"),
        ({"losses": ("an", "an")}, "name each loss and each strategy once"),
        ({"seeds": 0}, "seeds 0: at least 1"),
        ({"hours": (1.0, -1.0)}, "must be positive"),
        ({"settings": {"en": {"nonsense": "1"}}, "losses": ("en",)}, "en has no setting 'nonsense'"),
        ({"settings": {"nonsense": {"a": "1"}}}, "nothing here is called 'nonsense'"),
    ],
)
def test_a_wrong_plan_is_one_clear_line(changes, message):
    with pytest.raises(SettingError, match=message):
        quick(**changes)


def test_a_bias_of_the_first_label_needs_boxes(tmp_path):
    with pytest.raises(DataError, match="boxes"):
        simulate(made_up(), quick(first_label="size"), tmp_path)


def test_hours_may_be_given_one_by_one(tmp_path):
    simulate(made_up(), quick(losses=("an",), seeds=1, hours=(0.01, 0.03)), tmp_path, device="cpu")
    rows = [r for r in rows_of(tmp_path) if r["strategy"] == "random-pairs"]
    assert float(rows[1]["hours"]) == pytest.approx(80 * 5 / 3600 + 0.01, abs=0.001)
    assert float(rows[2]["hours"]) == pytest.approx(80 * 5 / 3600 + 0.04, abs=0.001)
