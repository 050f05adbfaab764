"""Each benchmark runs as its own command at tiny size and says what it promises; nothing here is timed."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest


def command(checkout, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=checkout, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


TINY = ("--images", 80, "--features", 12, "--labels", 4, "--epochs", 2, "--repeats", 1, "--threads", 1)


def test_linear_runs_says_seconds_ratios_and_memory_for_1_8_and_32_runs(checkout):
    found = json.loads(command(checkout, "benchmarks/linear_runs.py", *TINY, "--json"))
    assert [(row["way"], row["runs_together"]) for row in found["rows"]] == [
        ("plain DataLoader loop", 1),
        ("fit_heads", 1),
        ("fit_heads", 8),
        ("fit_heads", 32),
    ]
    for row in found["rows"]:
        assert row["seconds_per_run"] > 0
        assert row["times_as_fast_as_plain"] > 0
        assert row["peak_memory_mib"] > 1
    assert found["rows"][0]["times_as_fast_as_plain"] == 1.0
    assert found["machine"].keys() == {"device", "cores", "threads", "torch"}
    assert found["machine"]["threads"] == 1
    assert found["size"]["images"] == 80
    assert len(found["losses"]) == 8


@pytest.fixture
def data(tmp_path):
    """Two classes that the first features tell apart, and one without a positive in the test split."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 6)).astype(np.float32)
    labels = (features[:, :3] > 0.3).astype(np.int8)
    labels[~labels.any(axis=1), 0] = 1
    split = np.repeat([0, 1, 2], 30)
    labels[split == 2, 2] = 0
    labels[~labels.any(axis=1), 0] = 1
    np.savez(tmp_path / "small.npz", features=features, labels=labels, split=split)
    return tmp_path


def test_results_writes_a_row_per_loss_and_only_replaces_the_row_asked_for(checkout, data):
    out = data / "results.csv"
    options = ("--data", data, "--out", out, "--seeds", 2)
    page = (checkout / "docs" / "results.md").read_bytes()
    table = command(checkout, "benchmarks/results.py", "--dataset", "small", *options)
    rows = read(out)
    losses = [row["loss"] for row in rows]
    assert {"bce", "bce-ls", "an", "an-ls", "wan", "iu", "iun", "epr", "role", "en", "em", "ll-r"} <= set(losses)
    for row in rows:
        assert 0.3 < float(row["test_map"]) <= 1.0
        assert (row["seeds"], row["classes"], row["left_out"]) == ("2", "2", "1")
        assert f"| {row['loss']} | {row['labels']} | {100 * float(row['test_map']):.1f} ± " in table
    changed = out.read_text().replace("small,an,", "small,an,was ", 1)
    out.write_text(changed)
    command(checkout, "benchmarks/results.py", "--only", "small,an", *options)
    again = read(out)
    assert [row["loss"] for row in again] == losses
    assert [row for row in again if row["loss"] != "an"] == [row for row in rows if row["loss"] != "an"]
    by_loss = {row["loss"]: row for row in rows}
    recomputed = next(row for row in again if row["loss"] == "an")
    assert float(recomputed["test_map"]) == pytest.approx(float(by_loss["an"]["test_map"]), abs=1e-3)
    assert (checkout / "docs" / "results.md").read_bytes() == page  # only the committed file's table is on the page


def test_an_unknown_loss_is_refused_without_a_traceback(checkout, data):
    done = subprocess.run(
        [sys.executable, "benchmarks/results.py", "--only", "small,rolle", "--data", data, "--out", data / "x.csv"],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert "did you mean 'role'" in done.stderr
    assert "Traceback" not in done.stderr
