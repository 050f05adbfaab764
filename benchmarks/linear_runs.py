"""Seconds per linear run when 1, 8 and 32 runs are trained together, beside a plain loop over a DataLoader.

    python benchmarks/linear_runs.py
    python benchmarks/linear_runs.py --write    # replaces the table of docs/benchmarks.md
    python benchmarks/linear_runs.py --device cuda --json

Features and labels are drawn, every number is the median of repeats, and every way of training has a process of its
own, so that peak memory is its own. Repeats take turns, so that a busy machine slows all of them alike; still, only
the ratios of one call may be compared.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from page import replace_table

from spml_annotate.device import choose_device, set_threads
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.heads import Scaling
from spml_annotate.training.inputs import Method, resolve

COUNTS = (1, 8, 32)
APART = "32 apart"  # the 32 runs of the largest count, each in a call of its own
TABLE = "benchmarks/linear_runs.py"
BATCH_SIZE, EXPECTED_POSITIVES = 64, 1.5
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Size:
    """What is trained: N images, D features, L labels; CPU threads, None for torch's choice."""

    images: int
    features: int
    labels: int
    epochs: int
    device: str
    threads: int | None


def draw(size: Size) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Features [N, D] and codes [N, L] with one positive per image; time and memory do not depend on the values."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((size.images, size.features), dtype=np.float32)
    codes = np.full((size.images, size.labels), UNKNOWN, dtype=np.int8)
    codes[np.arange(size.images), rng.integers(0, size.labels, size.images)] = POSITIVE
    return features, codes


def trainable() -> list[str]:
    """Every loss that stored features and single positives can train, in an order drawn once for all."""
    found = []
    for name in LOSSES:
        facts = LOSSES[name].facts
        if not (resolve(name).unsupplied or facts["oracle"] or facts["needs_negatives"]):
            found.append(name)
    return [found[place] for place in np.random.default_rng(0).permutation(len(found))]


def mixed_runs(count: int) -> list[HeadRun]:
    """Runs of the trainable losses in turn; a loss that comes again has another seed."""
    losses = trainable()
    return [HeadRun(losses[place % len(losses)], seed=place // len(losses)) for place in range(count)]


def together(size: Size, runs: list[HeadRun]) -> None:
    """The runs in one call."""
    features, codes = draw(size)
    fit_heads(
        features,
        codes,
        runs,
        expected_positives=EXPECTED_POSITIVES,
        epochs=size.epochs,
        batch_size=BATCH_SIZE,
        device=size.device,
    )


def plainly(size: Size, loss: str) -> None:
    """One run as one would write it by hand: a DataLoader, a linear layer, AdamW."""
    features, codes = draw(size)
    device = choose_device(size.device)
    method = resolve(loss, expected_positives=EXPECTED_POSITIVES, epochs=size.epochs)
    run = HeadRun(loss)
    data = torch.utils.data.TensorDataset(
        torch.from_numpy(Scaling.of(features).apply(features)), torch.from_numpy(codes), torch.arange(size.images)
    )
    loader = torch.utils.data.DataLoader(
        data, batch_size=BATCH_SIZE, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    state = _state(method, torch.from_numpy(codes[None]).to(device), data.tensors[0].to(device))
    model = torch.nn.Linear(size.features, size.labels).to(device)
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if state is not None and list(state.parameters()):
        groups.append({"params": list(state.parameters()), "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, lr=run.learning_rate, weight_decay=run.weight_decay)
    for epoch in range(size.epochs):
        for part, labels, rows in loader:
            _step(method, state, model, optimizer, (part.to(device), labels.to(device), rows.to(device)), epoch, size)
        if state is not None:
            state.end_epoch(epoch)


def _state(method: Method, codes: torch.Tensor, features: torch.Tensor) -> Any:  # noqa: ANN401  (whatever it has)
    if method.state is None:
        return None
    given = {"features": features} if "features" in method.state.inputs else {}
    return method.state.function(codes, seeds=[0], **given, **method.state_settings)


def _step(
    method: Method,
    state: Any,  # noqa: ANN401
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    epoch: int,
    size: Size,
) -> None:
    part, labels, rows = batch
    logits = model(part)[None]
    inputs: dict[str, Any] = {"logits": logits, "labels": labels[None], "progress": (epoch, size.epochs)}
    if state is not None:
        state.observe(rows, {"logits": logits.detach()})
        inputs.update(state.read(rows))
    loss = method.loss.function(**{n: inputs[n] for n in method.loss.inputs if n in inputs}, **method.settings).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if state is not None:
        state.write(rows, {"logits": logits.detach()})


def measure_here(size: Size, what: str) -> dict[str, float]:
    """Seconds per run, and peak memory in MiB, of one way of training in this process.

    ``what`` is a number of runs trained together, `APART`, or "plain": every loss once, one after another.
    """
    set_threads(size.threads)
    cuda = choose_device(size.device).type == "cuda"
    _train(Size(2 * BATCH_SIZE, size.features, size.labels, 1, size.device, None), what)  # what is done only once
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    runs = _train(size, what)
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() if cuda else _resident()
    return {"seconds": seconds / runs, "memory": peak / MEBIBYTE}


def _train(size: Size, what: str) -> int:
    if what == "plain":
        for loss in trainable():
            plainly(size, loss)
        return len(trainable())
    runs = mixed_runs(max(COUNTS) if what == APART else int(what))
    for part in [[run] for run in runs] if what == APART else [runs]:
        together(size, part)
    return len(runs)


def _resident() -> int:
    """Peak bytes in memory of this process, libraries included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure_apart(size: Size, what: str) -> dict[str, float]:
    """`measure_here` in a fresh process."""
    command = [sys.executable, __file__, "--child", json.dumps([asdict(size), what])]
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as the command line has it, for both sides
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(size: Size, repeats: int) -> dict[str, Any]:
    """The facts of the machine and, per way of training, medians and ratios to the plain loop."""
    ways = ("plain", APART, *(str(count) for count in COUNTS))
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            found[way].append(measure_apart(size, way))
    middle = {way: {k: statistics.median(f[k] for f in found[way]) for k in ("seconds", "memory")} for way in ways}
    rows = [
        {
            "way": "plain DataLoader loop" if way == "plain" else "fit_heads",
            "runs_together": 1 if way in ("plain", APART) else int(way),
            "runs": {"plain": len(trainable()), APART: max(COUNTS)}.get(way) or int(way),
            "seconds_per_run": middle[way]["seconds"],
            "times_as_fast_as_plain": statistics.median(
                plain["seconds"] / own["seconds"] for plain, own in zip(found["plain"], found[way], strict=True)
            ),
            "peak_memory_mib": middle[way]["memory"],
        }
        for way in ways
    ]
    return {"machine": _machine(size), "size": asdict(size), "losses": trainable(), "repeats": repeats, "rows": rows}


def _machine(size: Size) -> dict[str, Any]:
    device = choose_device(size.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    threads = size.threads or torch.get_num_threads()
    return {"device": name, "cores": os.cpu_count(), "threads": threads, "torch": torch.__version__}


def _text(found: dict[str, Any]) -> str:
    size, machine = found["size"], found["machine"]
    lines = [
        f"{size['images']} images x {size['features']} features x {size['labels']} labels, {size['epochs']} epochs, "
        f"batch size {BATCH_SIZE}; losses {', '.join(found['losses'])}; median of {found['repeats']}",
        f"{machine['device']}, {machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}",
        "",
        f"{'':24}{'runs together':>15}{'seconds per run':>17}{'times as fast':>15}{'peak MiB':>10}",
    ]
    lines += [
        f"{row['way']:24}{row['runs_together']:>15}{row['seconds_per_run']:>17.3f}"
        f"{row['times_as_fast_as_plain']:>15.1f}{row['peak_memory_mib']:>10.0f}"
        for row in found["rows"]
    ]
    return "\n".join(lines)


def _markdown(found: dict[str, Any]) -> str:
    size, where = found["size"], found["machine"]
    lines = [
        f"Measured on: {where['device']}, {where['cores']} cores, {where['threads']} threads, torch {where['torch']}. "
        f"{size['images']:,} images x {size['features']:,} features x {size['labels']} classes, "
        f"{size['epochs']} epochs, batches of {BATCH_SIZE}; median of {found['repeats']}. "
        f"Losses: {', '.join(found['losses'])}.",
        "",
        "| | runs | together | seconds per run | times as fast | peak MiB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['way']} | {row['runs']} | {row['runs_together']} | {row['seconds_per_run']:.3f} | "
        f"{row['times_as_fast_as_plain']:.1f} | {row['peak_memory_mib']:.0f} |"
        for row in found["rows"]
    ]
    return "\n".join(lines)


@click.command()
@click.option("--images", type=click.IntRange(1), default=5000, show_default=True)
@click.option("--features", type=click.IntRange(1), default=1280, show_default=True)
@click.option("--labels", type=click.IntRange(1), default=20, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=5, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads; torch's choice if not given.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--write", is_flag=True, help="Replace the table of docs/benchmarks.md.")
@click.option("--child", hidden=True)
def main(
    images: int,
    features: int,
    labels: int,
    epochs: int,
    device: str,
    threads: int | None,
    repeats: int,
    as_json: bool,
    write: bool,
    child: str | None,
) -> None:
    """Print seconds per linear run, beside a plain DataLoader loop, with peak memory."""
    if child is not None:
        given, what = json.loads(child)
        click.echo(json.dumps(measure_here(Size(**given), what)))
        return
    found = compare(Size(images, features, labels, epochs, device, threads), repeats)
    click.echo(json.dumps(found, indent=1) if as_json else _text(found))
    if write:
        replace_table(TABLE, _markdown(found))


if __name__ == "__main__":
    main()
