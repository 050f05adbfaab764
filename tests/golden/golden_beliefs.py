"""Adapters of the losses that correct, re-label or remember: what our code computes for their reference values."""

import math
from typing import Any

import torch
from golden_adapters import Adapter, Entry, Values, mean, run
from golden_file import observed, table

from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.states import STATES

EPOCHS = ("logits", "logits_2", "logits_3", "logits_4")


def drifted_rate(entry: Entry, cells: int, passed: int) -> float:
    """The rate with which our formula counts as many cells as the authors' repeated subtraction does.

    They subtract the rate from 1 once an epoch, which can lift the count one above the formula's.
    """
    rate, clean = entry["params"]["delta_rel"], 1.0
    for _ in range(passed):
        clean -= rate
    theirs = math.ceil((1.0 - clean) * cells) if passed else 0
    ours = math.ceil(cells * passed * rate * (1.0 - 1e-9))
    if abs(theirs - ours) > 1:
        raise AssertionError(f"drift of more than one cell: {theirs} instead of {ours}")
    return rate if theirs == ours else theirs / (cells * passed)


def counted(corrected: torch.Tensor, inputs: Entry, labels: torch.Tensor, entry: Entry) -> int:
    """The corrected cells; the first repository reports those above the threshold only, so not the last one itself."""
    count = int(corrected.sum())
    if entry["repo"] != "snucml/LargeLossMatters" or count in (0, int((labels == UNKNOWN).sum())):
        return count
    logits = table(inputs["logits"])[corrected]
    return int((logits > logits.min()).sum())


def ll_ct(entry: Entry, inputs: Entry) -> Values:
    labels = observed(entry, inputs)
    passed = entry["params"]["epoch"] - 1
    rate = drifted_rate(entry, labels.numel(), passed)
    found = run("ll-ct", entry, inputs, labels, mean, progress=(passed, passed + 1), correction_rate=rate)
    corrected = (labels == UNKNOWN) & (found["grad_logits"] < 0)  # only a positive is pushed up
    return {**found, "n_correction_idx": counted(corrected, inputs, labels, entry)}


def corrected_state(entry: Entry, labels: torch.Tensor) -> Any:
    """The state of `ll-cp`, given the rate with which it counts ceil(N L rate) cells as the authors' floats do."""
    rate = entry["params"]["delta_rel"]
    count = math.ceil(labels.numel() * rate)
    exact = math.ceil(labels.numel() * rate * (1.0 - 1e-9))
    rate = rate if count == exact else count / labels.numel()
    return STATES["corrected"].function(labels[None], correction_rate=rate)


def ll_cp(entry: Entry, inputs: Entry) -> Values:
    labels = observed(entry, inputs)
    state = corrected_state(entry, labels)
    rows = torch.arange(len(labels))
    if entry["params"]["epoch"] > 1:
        state.end_epoch(0)
    state.observe(rows, {"logits": table(inputs["logits"])[None]})
    found = run("ll-cp", entry, inputs, labels, mean, expected=state.read(rows)["expected"][0])
    return {**found, "n_correction_idx": counted(state.chosen[0], inputs, labels, entry)}


def ll_cp_or_ct(entry: Entry, inputs: Entry) -> Values:
    """As first released, LL-Cp counts as LL-Ct does."""
    as_ct = "as released" in entry["convention"] and entry["repo"] == "snucml/LargeLossMatters"
    return ll_ct(entry, inputs) if as_ct else ll_cp(entry, inputs)


def ll_cp_sequence(entry: Entry, inputs: Entry) -> Values:
    """Four epochs of one batch. The first repository forgets the cell at the threshold; here it is taken back."""
    labels = observed(entry, inputs)
    state = corrected_state(entry, labels)
    rows = torch.arange(len(labels))
    steps = []
    for epoch, view in enumerate(EPOCHS[: len(entry["outputs"]["steps"])]):
        logits = table(inputs[view])[None]
        before = state.chosen.clone()
        state.observe(rows, {"logits": logits})
        value = LOSSES["ll-cp"].function(logits, labels, **state.read(rows)).mean()
        new = state.chosen & ~before
        if entry["repo"] == "snucml/LargeLossMatters" and new.any():
            last = new & (logits == logits[new].min())
            state.chosen &= ~last
        state.end_epoch(epoch)
        positive = (state.chosen[0] | (labels == POSITIVE)).flatten()
        steps.append(
            {
                "loss": value,
                "n_new": int((state.chosen & ~before).sum()),
                "n_pos_after": int(positive.sum()),
                "pos_cells_after": positive.nonzero().flatten(),
            }
        )
    return {"steps": steps}


BELIEFS = {
    "LL-Ct": Adapter(ll_ct),
    "LL-Cp": Adapter(ll_cp_or_ct),
    "LL-Cp (4 epochs, one batch each)": Adapter(ll_cp_sequence),
}
