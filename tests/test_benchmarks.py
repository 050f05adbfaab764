"""Each benchmark runs as its own command at tiny size and says what it promises; nothing here is timed."""

import csv
import io
import json
import runpy
import subprocess
import sys

import numpy as np
import pytest

from spml_annotate.losses import LOSSES


def command(checkout, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=checkout, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


TINY = ("--images", 80, "--features", 12, "--labels", 4, "--epochs", 2, "--repeats", 1, "--threads", 1)


def test_linear_runs_says_seconds_ratios_and_memory_for_1_8_and_32_runs_together_and_32_apart(checkout):
    found = json.loads(command(checkout, "benchmarks/linear_runs.py", *TINY, "--json"))
    assert [(row["way"], row["runs"], row["runs_together"]) for row in found["rows"]] == [
        ("plain DataLoader loop", len(found["losses"]), 1),
        ("fit_heads", 32, 1),
        ("fit_heads", 1, 1),
        ("fit_heads", 8, 8),
        ("fit_heads", 32, 32),
    ]
    for row in found["rows"]:
        assert row["seconds_per_run"] > 0
        assert row["times_as_fast_as_plain"] > 0
        assert row["peak_memory_mib"] > 1
    assert found["rows"][0]["times_as_fast_as_plain"] == 1.0
    assert found["machine"].keys() == {"device", "cores", "threads", "torch"}
    assert found["machine"]["threads"] == 1
    assert found["size"]["images"] == 80
    assert {"an", "en", "role", "ll-r", "gr", "smile"} <= set(found["losses"])
    assert not {"bce", "iun", "lac", "vlpl"} & set(found["losses"])  # they need more than single positives and features


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


def test_a_step_of_one_loss_is_measured_and_other_rows_are_kept(checkout, tmp_path):
    out = tmp_path / "steps.csv"
    page = (checkout / "docs" / "benchmarks.md").read_bytes()
    for only in ("en", "an"):
        command(checkout, "benchmarks/losses.py", "--only", only, "--repeats", 1, "--out", out)
    rows = read(out)
    assert [row["loss"] for row in rows] == ["an", "en"]  # in the order of the registry
    for row in rows:
        assert float(row["ratio_80"]) > 0
        assert float(row["ratio_1000"]) > 0
        assert float(row["memory"]) >= 1.0
    assert (rows[0]["state"], rows[0]["state_80"]) == ("", "")
    assert rows[1]["state"] == "ema"
    assert float(rows[1]["state_1000"]) > 0
    assert (checkout / "docs" / "benchmarks.md").read_bytes() == page


def explanations(checkout):
    return runpy.run_path(str(checkout / "benchmarks" / "explanations.py"))["EXPLANATIONS"]


def test_every_loss_has_a_row_and_every_ratio_above_three_its_reason(checkout):
    rows = {row["loss"]: row for row in read(checkout / "docs" / "benchmarks.csv")}
    assert list(rows) == list(LOSSES)
    reasons = explanations(checkout)
    assert set(reasons) <= set(rows)
    page = (checkout / "docs" / "benchmarks.md").read_text("utf-8")
    for name, row in rows.items():
        figures = [row[key] for key in ("ratio_80", "ratio_1000")]
        assert f"| {name} | {' | '.join(figures)} |" in page
        assert row["state"] == (LOSSES[name].facts["state"] or "")
        if max(map(float, figures)) > 3.0:
            assert f"- `{name}`: {reasons[name]}" in page, f"{name} is dear and nobody says why"


def test_the_choice_says_its_ratio_to_one_read_and_its_memory(checkout):
    found = json.loads(command(checkout, "benchmarks/choice.py", "--images", 3001, "--repeats", 1, "--json"))
    assert list(found) == ["in memory", "memory-mapped"]
    for row in found.values():
        assert min(row["ratio"], row["choice_seconds"], row["read_seconds"]) > 0
        assert 0 <= row["extra_mib"] <= row["extra_with_files_mib"] + 1


def test_large_tables_says_seconds_memory_and_the_ratio_to_pandas_for_every_step(checkout, tmp_path):
    page = (checkout / "docs" / "benchmarks.md").read_bytes()
    options = ("--images", 300, "--classes", 4, "--labels", 2, "--folder", tmp_path, "--json")
    found = json.loads(command(checkout, "benchmarks/large_tables.py", "--only", "Parquet", *options))
    assert found["size"] == {"images": 300, "classes": 4, "labels": 2}
    assert [row["step"] for row in found["rows"]] == ["write Parquet", "read Parquet", "... as Parquet"]
    for row in found["rows"]:
        assert row["ratio"] == pytest.approx(row["seconds"] / row["pandas_seconds"])
        assert min(row["peak_mib"], row["pandas_peak_mib"]) > 1
    assert (tmp_path / "parquet" / "labels.parquet").stat().st_size > 300
    assert (checkout / "docs" / "benchmarks.md").read_bytes() == page


def test_the_tables_of_large_tables_are_what_it_says(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    script = runpy.run_path(str(checkout / "benchmarks" / "large_tables.py"))
    size = script["Size"](50, 5, 3)
    table = script["draw"](size)
    assert table == script["draw"](size)
    assert len(table) == 150
    assert np.bincount(table.rows).tolist() == [3] * 50
    assert np.bincount(table.rows[table.values == 1], minlength=50).tolist() == [1] * 50
    for form, columns in (("long CSV", 4), ("one-hot CSV", 7), ("Parquet", 9)):
        assert script["frame"](size, form).shape == (50 if form == "one-hot CSV" else 150, columns)


def test_promises_counts_draws_that_keep_a_wish_and_intervals_that_hold(checkout, data, monkeypatch):
    options = ("--dataset", "small", "--data", data, "--draws", 2, "--json")
    rows = json.loads(command(checkout, "benchmarks/promises.py", *options))
    assert rows == []  # 40 checked images are more than half of thirty
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    made = runpy.run_path(str(checkout / "benchmarks" / "promises.py"))
    content = np.load(data / "small.npz")
    truth = content["labels"].astype(np.int8)
    drawn = list(made["draw"](data / "p", ("a", "b", "c"), content["features"], truth, 20, 0))
    assert [wish for wish, _ in drawn] == [0.7, 0.8, 0.9]
    unnamed = int(truth.sum() - len(truth))  # one positive of each image is named
    assert all(0 <= right <= min(count, unnamed) for _, (count, right, _) in drawn)
    found = made["summed"]("small", 40, 0.8, [(10, 8, True), (0, 0, None), (10, 7, False), (5, 5, None)])
    assert (found.draws, found.proposing, found.reached, found.stated, found.held) == (4, 3, 2, 2, 1)
    assert (found.proposed, found.precision) == (6.25, 0.8)
    assert "| small | 40 | 0.8 | 3 of 4 | 1 of 4 | 6 | 0.800 | 1 of 2 |" in made["text"]([found])
