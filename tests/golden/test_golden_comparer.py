"""The comparer itself: it must see a changed value, name what it does not cover, and work on other inputs and sizes."""

import copy
import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from golden_compare import DIFFERED, MATCHED, NOT_COVERED, REFUSED, judge
from golden_file import COMPACT, Golden, default_file, load_golden, observed, recode, with_true_negatives
from golden_methods import ADAPTERS
from make_core import kept

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN

CORE = load_golden(COMPACT)
MATCHING = [entry for entry in CORE.entries if "raises" not in entry["outputs"]]

# Inputs of a method that the file keeps among its outputs: what is computed follows them.
GIVEN = ("estimator_init", "similarity_logits", "relation", "classwise_acc")


def leaves(value, path=()):
    """Paths of all numbers inside an entry's outputs."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, item in enumerate(value) for leaf in leaves(item, (*path, key))]
    return [] if value is None else [path]


def at(value, path):
    for key in path:
        value = value[key]
    return value


def gradients(outputs):
    paths = [p for p in leaves(outputs) if is_gradient(p) and not str(p[-1]).endswith(("l2", "sum"))]
    return [abs(at(outputs, p)) for p in paths]


def is_gradient(path):
    return any(str(key).startswith("grad") for key in path)


def just_beyond(entry, path):
    """A little more than twice what may be off, by the rule as the values' owner states it."""
    name, value = str([key for key in path if isinstance(key, str)][-1]), abs(at(entry["outputs"], path))
    role = entry["method"].startswith("ROLE (3")
    inside = any(constant in entry["convention"] for constant in ("1e-5)", "1e-7)")) or role
    if not inside or name in ("reg", "estimator_init"):
        return 2.2e-5 * value + 1e-11
    if role and "after" in name:
        return 2.2e-2 * 0.031  # an Adam step moves by its learning rate: three of 0.01, a little more
    if name.endswith(("l2", "sum")):
        return 2.2 * max(2e-4 * abs(entry["outputs"]["loss"]), 1e-2 * max(gradients(entry["outputs"])))
    if is_gradient(path):
        return 2.2e-2 * max(gradients(entry["outputs"]))
    return 4.4e-4 * value if name.startswith("loss") else 2.2e-5 * value + 1e-11


def changed(entry, path, amount):
    twin = copy.deepcopy(entry)
    at(twin["outputs"], path[:-1])[path[-1]] += amount
    return twin


@pytest.mark.parametrize("entry", MATCHING, ids=[entry["id"] for entry in MATCHING])
def test_a_value_changed_just_beyond_the_tolerance_differs(entry):
    assert judge(entry, CORE) == (MATCHED, [])
    draw = random.Random(entry["id"])
    for name in entry["outputs"]:
        path = draw.choice(leaves(entry["outputs"][name], (name,)))
        if name in GIVEN:
            continue
        sign = draw.choice((-1, 1))
        amount = sign * just_beyond(entry, path)
        assert judge(changed(entry, path, amount), CORE).status == DIFFERED, path


def test_a_changed_input_differs():
    entry = next(e for e in MATCHING if e["id"] == "cole-an|public-4x5|spl")
    sets = copy.deepcopy(CORE.input_sets)
    sets["public-4x5"]["logits"][1][2] += 0.01
    assert judge(entry, Golden(CORE.path, sets, CORE.entries)).status == DIFFERED


def test_nothing_is_passed_over():
    entry = copy.deepcopy(next(e for e in MATCHING if e["id"] == "cole-an|public-4x5|spl"))
    entry["outputs"]["grad_of_something_new"] = [1.0]
    assert "nothing of ours computes" in judge(entry, CORE).problems[0]
    assert judge({**entry, "method": "Unheard of"}, CORE).status == NOT_COVERED
    wrong_shape = copy.deepcopy(next(e for e in MATCHING if e["id"] == "cole-an|public-4x5|spl"))
    wrong_shape["outputs"]["grad_logits"].pop()
    assert "shape" in judge(wrong_shape, CORE).problems[0]


def test_entries_that_the_authors_refuse_run_on_ours():
    refused = [entry for entry in CORE.entries if "raises" in entry["outputs"]]
    assert {judge(entry, CORE).status for entry in refused} == {REFUSED}


def test_every_adapter_has_an_entry_in_the_compact_copy():
    assert {entry["method"] for entry in CORE.entries} == set(ADAPTERS)


def test_the_compact_copy_agrees_with_the_whole_file(checkout):
    whole = default_file(checkout)
    if whole == COMPACT:
        pytest.skip("../shared/golden/losses.json is not beside the checkout")
    assert kept(load_golden(whole)) == CORE.entries


def test_recoding():
    assert recode([[1, 0, -1]]).tolist() == [[POSITIVE, UNKNOWN, NEGATIVE]]
    assert recode([[1.0, 0.0, -1.0]]).dtype == torch.int8
    with pytest.raises(ValueError, match="none of"):
        recode([[2]])
    inputs = {"truth": [[1, 1, 0, 0]], "obs_spl": [[1, 0, 0, 0]]}
    assert observed({"labels": "full"}, inputs).tolist() == [[POSITIVE, POSITIVE, NEGATIVE, NEGATIVE]]
    spl = observed({"labels": "spl"}, inputs)
    assert with_true_negatives(spl, inputs).tolist() == [[POSITIVE, UNKNOWN, NEGATIVE, NEGATIVE]]


def softplus(x):
    return np.logaddexp(0.0, x)


def other_file(rows, classes, seed):
    """Entries on inputs of another size, computed here by plain loops and numpy only."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(rows, classes)).round(4)
    labels = np.zeros((rows, classes), dtype=int)
    labels[np.arange(rows), draw.integers(classes, size=rows)] = 1
    labels[draw.random((rows, classes)) < 0.1] = -1
    p = 1.0 / (1.0 + np.exp(-logits))
    cells = rows * classes
    common = {"group": "a", "repo": "elsewhere", "commit": None, "input_set": "other", "labels": "pal"}

    def entry(method, params, loss, gradient, **more):
        outputs = {"loss": loss, "grad_logits": gradient.tolist(), **more}
        convention = {"convention": "exact log-sigmoid", "id": method, "method": method, "params": params}
        return {**common, **convention, "outputs": outputs}

    negative = np.where(labels == 1, softplus(-logits), softplus(logits))
    an = entry("AN", {}, negative.sum() / cells, (p - (labels == 1)) / cells)
    k = 2.5
    fit = np.where(labels == 0, 0.0, negative)
    gap = (p.sum() / rows - k) / classes
    slope = np.where(labels == 0, 0.0, p - (labels == 1)) / cells + 2.0 * gap * p * (1.0 - p) / cells
    epr = entry("EPR", {"expected_num_pos": k}, fit.sum() / cells + gap**2, slope, reg=gap**2)
    count = math.ceil(cells * 2 * 0.0317)
    ranked = sorted(((negative[i, j], i, j) for i, j in zip(*np.nonzero(labels == 0), strict=True)), reverse=True)
    rejected = np.zeros((rows, classes), dtype=bool)
    for _, i, j in ranked[:count]:
        rejected[i, j] = True
    params = {"scheme": "LL-R", "delta_rel": 0.0317, "epoch": 3}
    kept = np.where(rejected, 0.0, negative)
    slope = np.where(rejected, 0.0, p - (labels == 1)) / cells
    rejection = entry("LL-R", params, kept.sum() / cells, slope, n_correction_idx=count)
    sets = {
        "other": {"logits": logits.tolist(), "obs_pal": labels.tolist(), "truth": (labels == 1).astype(int).tolist()}
    }
    return {"header": {}, "input_sets": sets, "entries": [an, epr, rejection]}


@pytest.mark.parametrize(("rows", "classes"), [(1, 7), (9, 3), (50, 33)])
def test_other_inputs_and_sizes(tmp_path, rows, classes):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other_file(rows, classes, seed=rows)))
    golden = load_golden(path)
    assert [judge(entry, golden) for entry in golden.entries] == [(MATCHED, [])] * 3


def run_pytest(checkout, path):
    """The command line of the user, in a process of its own: exit code and the lines that it printed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/golden/test_golden.py",
        "--golden",
        str(path),
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    return done.returncode, [line for line in done.stdout.splitlines() if line.strip()]


def test_the_command_counts_and_fails(tmp_path, checkout):
    content = other_file(6, 5, seed=0)
    content["entries"][0]["outputs"]["loss"] *= 1.0001
    refused = {**content["entries"][1], "id": "refused", "outputs": {"raises": "AssertionError"}}
    unheard = [{**refused, "id": name, "method": name} for name in ("Unheard of", "Unheard of", "Later")]
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({**content, "entries": [*content["entries"], refused, *unheard]}))
    code, lines = run_pytest(checkout, path)
    assert code == 1
    assert lines[-2] == "golden: matched=2 differed=1 refused_by_authors=1 not_covered=3 (Unheard of, Later)"
    assert "1 failed" in lines[-1]


def test_the_counts_are_said_even_of_a_file_that_is_not_covered_at_all(tmp_path, checkout):
    content = other_file(6, 5, seed=0)
    path = tmp_path / "unheard.json"
    path.write_text(json.dumps({**content, "entries": [{**content["entries"][0], "method": "Unheard of"}]}))
    _, lines = run_pytest(checkout, path)
    assert lines[-2] == "golden: matched=0 differed=0 refused_by_authors=0 not_covered=1 (Unheard of)"


def test_a_file_that_is_none_is_refused(tmp_path, checkout):
    path = tmp_path / "none.json"
    path.write_text("[]")
    code, lines = run_pytest(checkout, path)
    assert code != 0
    assert any("not a file of reference values" in line for line in lines)
