"""docs/results.csv is what the program measures, and docs/results.md shows exactly that file."""

import importlib.util
import sys

import pytest

from spml_annotate.losses import LOSSES
from spml_annotate.training.inputs import resolve

# Another CPU sums in another order: a validation mAP can then choose another epoch.
ROUNDING = 0.003
ROW = ("yeast", "an")


@pytest.fixture(scope="module")
def results():
    from pathlib import Path

    path = Path(__file__).resolve().parent.parent / "benchmarks" / "results.py"
    spec = importlib.util.spec_from_file_location("benchmark_results", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def rows(results):
    return {(row["dataset"], row["loss"]): row for row in results.read(results.RESULTS)}


def test_one_row_comes_out_as_committed(results, rows):
    name, loss = ROW
    if not (results.DATA / f"{name}.npz").exists():
        pytest.skip(f"../shared/data/features/{name}.npz is not beside this checkout")
    committed = rows[ROW]
    (measured,) = results.measure(name, [loss], seeds=int(committed["seeds"]))
    for exact in ("labels", "seeds", "classes", "left_out"):
        assert measured[exact] == committed[exact]
    for value in ("validation_map", "test_map", "test_sd"):
        assert float(measured[value]) == pytest.approx(float(committed[value]), abs=ROUNDING)


def test_the_table_on_the_page_is_the_file(results):
    page = results.PAGE.read_text("utf-8")
    assert results.with_table(page, results.markdown(results.read(results.RESULTS))) == page
    assert page.count(results.BEGIN) == page.count(results.END) == 1


WHOLE = {"scenes", "coco525", "voc20mix", "voc12animal", "yeast"}


def test_the_file_has_every_loss_that_stored_features_can_train_once(results, rows):
    trainable = {loss for loss in LOSSES if not resolve(loss).unsupplied}
    assert {loss for _, loss in rows} == trainable
    assert {(name, loss) for name in WHOLE for loss in trainable} <= set(rows)
    assert len(rows) == len(results.read(results.RESULTS))
    assert all(int(row["seeds"]) >= (5 if name in WHOLE else 3) for (name, _), row in rows.items())


def test_full_labels_win_on_every_data_set(rows):
    for name in {name for name, _ in rows}:
        full = max(float(rows[name, loss]["test_map"]) for loss in ("bce", "bce-ls"))
        single = [float(row["test_map"]) for (n, _), row in rows.items() if n == name and row["labels"] == "1 positive"]
        assert full > max(single) + 0.01
