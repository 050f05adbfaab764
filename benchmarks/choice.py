"""The choice of the p_i most probable images of every class, as a ratio to one read of the table of scores.

    python benchmarks/choice.py
    python benchmarks/choice.py --images 100000 --json

Scores are float16 as in the state `ema`, in memory or mapped from a file; the read is a sum over the same bytes, as
whole numbers of 8 bytes.
Every way has a process of its own, so that peak memory is its own: the resident bytes above those when the tables are
ready (pages of a mapped file that the kernel keeps for the process are counted apart: they are given back when needed).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from page import machine, replace_table
from torch import Tensor

from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.states.choice import choose_largest

TABLE = "benchmarks/choice.py"
SHARE = 0.03  # of the images are chosen for a class, on average
ROWS = 1 << 10
MEBIBYTE = 2**20
WAYS = ("in memory", "memory-mapped")


def table(shape: tuple[int, ...], dtype: type, folder: Path | None) -> Tensor:
    """Zeros, in memory or in a file of the folder."""
    if folder is None:
        return torch.from_numpy(np.zeros(shape, dtype))
    with tempfile.TemporaryFile(dir=folder) as file:
        return torch.from_numpy(np.memmap(file, dtype=dtype, mode="w+", shape=shape))


def fill(scores: Tensor, labels: Tensor) -> None:
    """Scores as of trained heads, most of them low, and one known positive per image."""
    rng = np.random.default_rng(0)
    for start in range(0, scores.shape[1], ROWS):
        block = slice(start, min(start + ROWS, scores.shape[1]))
        logits = torch.from_numpy(rng.standard_normal(scores[:, block].shape, dtype=np.float32))
        scores[:, block] = (2.0 * logits - 3.0).sigmoid().half()
        labels[:, block] = UNKNOWN
        rows = torch.arange(block.start, block.stop)
        labels[0, rows, torch.from_numpy(rng.integers(0, scores.shape[2], len(rows)))] = POSITIVE


class Peak:
    """The most bytes in use while the block runs, above those at its start: (of the process itself, with mapped files).

    The kernel's figures are read a few hundred times a second.
    """

    def __enter__(self) -> Peak:
        self._first = _resident()
        self.own, self.all = 0, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.003):
            own, everything = _resident()
            self.own, self.all = max(self.own, own - self._first[0]), max(self.all, everything - self._first[1])

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _resident() -> tuple[int, int]:
    """Bytes of this process in memory: not backed by files, and all (Linux)."""
    found = {}
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = 1024 * int(value.split()[0])
    return found["RssAnon"], found["VmRSS"]


def measure_here(images: int, classes: int, repeats: int, way: str) -> dict[str, float]:
    """Seconds and peak memory of one way in this process, with one thread."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if way == "memory-mapped" else None
        shape = (1, images, classes)
        scores, labels = table(shape, np.float16, folder), table(shape, np.int8, None)
        chosen = table(shape, np.bool_, folder)
        fill(scores, labels)
        chosen.fill_(value=True)  # so that its pages are there
        rng = np.random.default_rng(1)
        quota = torch.from_numpy(rng.integers(0, int(2 * SHARE * images) + 1, (1, classes)))
        read: list[float] = []
        choice: list[float] = []
        words = scores.view(-1).view(torch.int64) if scores.numel() % 4 == 0 else scores  # summed at memory speed
        with Peak() as peak:
            for _ in range(repeats):
                read.append(_seconds(lambda: words.sum()))
                choice.append(_seconds(lambda: choose_largest(scores, labels, quota, chosen)))
        if not torch.equal(chosen.sum(dim=1), quota):
            raise RuntimeError("the choice is not as many as asked for")
    ratio = statistics.median(c / r for c, r in zip(choice, read, strict=True))
    return {
        "read_seconds": statistics.median(read),
        "choice_seconds": statistics.median(choice),
        "ratio": ratio,
        "extra_mib": peak.own / MEBIBYTE,
        "extra_with_files_mib": peak.all / MEBIBYTE,
    }


def _seconds(step: Callable[[], object]) -> float:
    """Seconds of this thread's own work: a busy machine does not count."""
    began = time.thread_time()
    step()
    return time.thread_time() - began


def measure_apart(images: int, classes: int, repeats: int, way: str) -> dict[str, float]:
    """`measure_here` in a fresh process."""
    command = [sys.executable, __file__, "--child", json.dumps([images, classes, repeats, way])]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def text(found: dict[str, dict[str, float]], images: int, classes: int) -> str:
    """The figures as a Markdown table."""
    torch.set_num_threads(1)
    lines = [
        f"{machine(torch.device('cpu'))} {images:,} images x {classes} classes, float16: "
        f"{2 * images * classes / MEBIBYTE:.0f} MiB of scores.",
        "",
        "| scores | one read, s | the choice, s | times a read | extra memory, MiB | with file pages, MiB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {way} | {row['read_seconds']:.4f} | {row['choice_seconds']:.2f} | {row['ratio']:.0f} | "
        f"{row['extra_mib']:.0f} | {row['extra_with_files_mib']:.0f} |"
        for way, row in found.items()
    ]
    return "\n".join(lines)


@click.command()
@click.option("--images", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--classes", type=click.IntRange(1), default=80, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--write", is_flag=True, help="Replace the table of docs/benchmarks.md.")
@click.option("--child", hidden=True)
def main(images: int, classes: int, repeats: int, as_json: bool, write: bool, child: str | None) -> None:
    """Print what choosing the most probable images costs, beside one read of the scores."""
    if child is not None:
        click.echo(json.dumps(measure_here(*json.loads(child))))
        return
    found = {way: measure_apart(images, classes, repeats, way) for way in WAYS}
    click.echo(json.dumps(found, indent=1) if as_json else text(found, images, classes))
    if write:
        replace_table(TABLE, text(found, images, classes))


if __name__ == "__main__":
    main()
