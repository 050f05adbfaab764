"""What one step of every loss costs, as a ratio to plain binary cross-entropy with logits.

    python benchmarks/losses.py                  # all losses; writes docs/benchmarks.csv, tables of docs/benchmarks.md
    python benchmarks/losses.py --only gr,asl    # those rows only
    python benchmarks/losses.py --device cuda --out cuda.csv

A step is the loss of a batch, its mean, and the gradient with respect to the logits; beside it what the loss's state
does for the batch (observe, read, write). Steps of the loss and of plain cross-entropy take turns in one process with
one thread, and the median of the ratios is kept. On a CPU the seconds are those of the thread's own work, so that a
busy machine, which interrupts long steps more often than short ones, does not count.
"""

from __future__ import annotations

import csv
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from explanations import EXPLANATIONS
from page import machine, replace_table
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from spml_annotate.device import choose_device
from spml_annotate.errors import SettingError, SpmlError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.states import STATES
from spml_annotate.stores.atomic import write_text

CHECKOUT = Path(__file__).resolve().parent.parent
FIGURES = CHECKOUT / "docs" / "benchmarks.csv"
TABLE = "benchmarks/losses.py"

BATCH, CLASSES = 256, (80, 1000)
IMAGES, FEATURES = 4096, 64  # of a state
PROGRESS = (3, 10)  # an epoch in which rejecting and correcting losses do so
KNOWN_SHARE = 0.1  # negatives that are known, where a loss needs them
NEAR = 3.0  # a ratio above it needs an explanation
COLUMNS = (
    "loss",
    *(f"ratio_{classes}" for classes in CLASSES),
    "state",
    *(f"state_{classes}" for classes in CLASSES),
    "memory",
)
Row = dict[str, str]
Step = Callable[[], None]


def inputs_of(name: str, classes: int, device: torch.device) -> dict[str, Any]:
    """Drawn values for every input of a loss, as a training step would have them: float32, single positives."""
    draw = torch.Generator().manual_seed(0)
    shape = (BATCH, classes)
    logits = 2.0 * torch.randn(shape, generator=draw) - 2.0
    views = {view: 2.0 * torch.randn(shape, generator=draw) - 2.0 for view in ("strong", "background")}
    beliefs = {cells: (torch.rand(shape, generator=draw) < 0.05).float() for cells in ("expected", "picked")}
    possible: dict[str, Any] = {
        "logits": logits,
        "labels": labels_of(name, shape, draw),
        "estimate": torch.rand(shape, generator=draw),
        "priors": 0.2 * torch.rand(classes, generator=draw) + 0.01,
        "thresholds": torch.randn((*shape, 2), generator=draw),
        "teacher": torch.where(torch.rand(shape, generator=draw) < 0.1, 1, -1).to(torch.int8),
        "latent": torch.rand((*shape, 2, 4), generator=draw) + 0.2,
        "relation": torch.rand((classes, classes), generator=draw).softmax(dim=-1),
        "masked": 2.0 * torch.randn(shape, generator=draw) - 2.0,
        "reconstruction": torch.rand((), generator=draw).expand(shape),
        "progress": PROGRESS,
        **views,
        **beliefs,
    }
    wanted = LOSSES[name].inputs
    missing = [key for key in wanted if key not in possible]
    if missing:
        raise SettingError(f"loss {name!r} asks for {missing[0]!r}: add a value for it to `inputs_of`")
    return {key: possible[key].to(device) if key != "progress" else PROGRESS for key in wanted}


def labels_of(name: str, shape: tuple[int, int], draw: torch.Generator) -> Tensor:
    """Codes int8 [B, L]: a positive per row, and known negatives for a loss that needs them."""
    labels = torch.full(shape, UNKNOWN, dtype=torch.int8)
    facts = LOSSES[name].facts
    if facts["oracle"] or facts["needs_negatives"]:
        share = 0.9 if facts["oracle"] else KNOWN_SHARE
        labels[torch.rand(shape, generator=draw) < share] = NEGATIVE
    labels[torch.arange(shape[0]), torch.randint(shape[1], shape[:1], generator=draw)] = POSITIVE
    return labels


def step_of(name: str, inputs: dict[str, Any]) -> Step:
    """One step of a loss: forward, mean, backward to the logits (and to what else is trained)."""
    function = LOSSES[name].function
    trained = [key for key in ("logits", "strong", "background", "masked", "latent") if key in inputs]
    given = {**inputs, **{key: inputs[key].clone().requires_grad_() for key in trained}}
    leaves = [given[key] for key in trained]

    def step() -> None:
        torch.autograd.grad(function(**given).mean(), leaves, allow_unused=True)  # a view may only decide

    return step


def plain_step(inputs: dict[str, Any]) -> Step:
    """One step of plain cross-entropy; its target is ready made, which those of the losses are not."""
    logits = inputs["logits"].clone().requires_grad_()
    target = (inputs["labels"] == POSITIVE).to(logits.dtype)

    def step() -> None:
        torch.autograd.grad(binary_cross_entropy_with_logits(logits, target), [logits])

    return step


def state_step(name: str, inputs: dict[str, Any]) -> Step | None:
    """What the loss's state does for one batch, in its second epoch or later; None for a loss without a state."""
    if LOSSES[name].facts["state"] is None:
        return None
    entry, classes = STATES[LOSSES[name].facts["state"]], inputs["logits"].shape[-1]
    draw = torch.Generator().manual_seed(1)
    labels = labels_of(name, (IMAGES, classes), draw)[None].to(inputs["logits"].device)
    features = {"features": torch.randn((IMAGES, FEATURES), generator=draw)} if "features" in entry.inputs else {}
    state = entry.function(labels, seeds=[0], **features)
    outputs = {"logits": inputs["logits"][None], "progress": PROGRESS}
    outputs |= {key: inputs[key][None] for key in ("strong", "masked") if key in inputs}
    for epoch in range(PROGRESS[0]):
        state.end_epoch(epoch)
    rows = torch.randperm(IMAGES, generator=draw)[:BATCH].to(labels.device)

    def step() -> None:
        state.observe(rows, outputs)
        state.read(rows)
        state.write(rows, outputs)

    return step


def ratios(steps: Sequence[Step | None], plain: Step, repeats: int, clock: Callable[[], float]) -> list[float]:
    """Median ratio of every step's seconds to those of the plain one, turns being taken; NaN for None."""
    found: list[list[float]] = [[] for _ in steps]
    for turn in range(repeats + 3):  # the first turns warm up
        base = _seconds(plain, clock)
        for place, step in enumerate(steps):
            if step is not None:
                taken = _seconds(step, clock)
                if turn >= 3:
                    found[place].append(taken / base)
    return [statistics.median(values) if values else float("nan") for values in found]


def _seconds(step: Step, clock: Callable[[], float]) -> float:
    began = clock()
    step()
    step()
    return clock() - began


def _cuda_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def peak_matrices(step: Step, classes: int) -> float:
    """Peak memory of a step on the CPU beyond its inputs, in float32 matrices of the logits' size."""
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    held, peak = 0, 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak / (4 * BATCH * classes)


def measure(name: str, repeats: int, device: torch.device) -> Row:
    """The row of one loss."""
    clock = _cuda_clock if device.type == "cuda" else time.thread_time
    row: Row = {"loss": name, "state": LOSSES[name].facts["state"] or ""}
    for classes in CLASSES:
        inputs = inputs_of(name, classes, device)
        steps = (step_of(name, inputs), state_step(name, inputs))
        own, state = ratios(steps, plain_step(inputs), repeats, clock)
        row[f"ratio_{classes}"] = f"{own:.2f}"
        row[f"state_{classes}"] = f"{state:.2f}" if steps[1] else ""
        if device.type == "cpu":
            row["memory"] = f"{peak_matrices(steps[0], classes):.1f}"  # the last one is kept: the most classes
    return row


def table_of(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, and below it why the dear ones are dear."""
    heads = ("loss", *(f"L={classes}" for classes in CLASSES), "state", *(f"its L={c}" for c in CLASSES), "memory")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row.get(column, "") for column in COLUMNS) + " |" for row in rows]
    lines.append("")
    lines += [f"- `{row['loss']}`: {EXPLANATIONS[row['loss']]}" for row in rows if row["loss"] in needing(rows)]
    return "\n".join(lines)


def needing(rows: Sequence[Row]) -> list[str]:
    """Losses that cost more than `NEAR` times plain cross-entropy at some size."""
    return [row["loss"] for row in rows if max(float(row[f"ratio_{classes}"]) for classes in CLASSES) > NEAR]


def read(path: Path) -> list[Row]:
    """The rows of a figures file, none if there is no such file."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8")))) if path.exists() else []


def write(path: Path, rows: Sequence[Row]) -> None:
    """Replace a figures file, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


@click.command()
@click.option("--only", default="", help="Names of losses, separated by commas; other rows are kept.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option("--repeats", type=click.IntRange(1), default=60, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=FIGURES, help="Default: docs/benchmarks.csv.")
def main(only: str, device: str, repeats: int, out: Path) -> None:
    """Measure what a step of each loss costs beside plain cross-entropy."""
    torch.set_num_threads(1)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports its beginning and its end
    try:
        chosen = choose_device(device)
        names = [LOSSES[name].name for name in only.split(",") if name] or list(LOSSES)
        kept = {row["loss"]: row for row in read(out)}
        for name in names:
            kept[name] = measure(name, repeats, chosen)
            click.echo(" ".join(f"{kept[name].get(column, ''):>18}" for column in COLUMNS))
    except SpmlError as error:
        raise click.ClickException(str(error)) from None
    rows = [kept[name] for name in LOSSES if name in kept]
    write(out, rows)
    if out == FIGURES:
        unexplained = [name for name in needing(rows) if name not in EXPLANATIONS]
        if unexplained:
            raise click.ClickException(f"{', '.join(unexplained)}: above {NEAR:.0f}x; say why in explanations.py")
        replace_table(TABLE, f"{machine(chosen)}\n\n{table_of(rows)}")


if __name__ == "__main__":
    main()
