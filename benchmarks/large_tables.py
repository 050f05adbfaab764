"""Seconds and peak memory of reading and writing large tables of labels, beside pandas alone on the same files.

    python benchmarks/large_tables.py
    python benchmarks/large_tables.py --images 100000 --json
    python benchmarks/large_tables.py --write    # replaces the table of docs/benchmarks.md

Images, labels and times are drawn; one-hot files state every cell of the table, the others a line per known label.
Every step has a process of its own, so that peak memory is its own, interpreter and libraries included. Pandas reads
with `read_csv` and `read_parquet` and writes with `to_csv` and `to_parquet`, all with their defaults: it checks nothing
and matches no names. Steps of a project have the read or write of the same file by pandas beside them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import numpy as np
from page import PAGE, replace_table

from spml_annotate.formats.csv_table import load_csv, save_csv_long, save_csv_onehot
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.open_images import load_open_images, save_open_images
from spml_annotate.formats.parquet import LABELS, load_parquet, save_parquet
from spml_annotate.progress import set_quiet
from spml_annotate.project import Project
from spml_annotate.stores.images import ImageEntry
from spml_annotate.taxonomy import Taxonomy

TABLE = "benchmarks/large_tables.py"
MEBIBYTE = 2**20
PROPOSER = "proposal:scores"


@dataclass(frozen=True)
class Size:
    """N images, L classes, and labels per image: one positive, then negatives; the last of several is a proposal."""

    images: int
    classes: int
    labels: int


@dataclass(frozen=True)
class Measured:
    """One step: what was done by whom, in how many seconds, and the most memory that its process had."""

    step: str
    seconds: float
    peak_mib: float
    pandas_seconds: float
    pandas_peak_mib: float

    @property
    def ratio(self) -> float:
        """Times as long as pandas."""
        return self.seconds / self.pandas_seconds


def image_name(row: int) -> str:
    """Like a path in a folder of folders."""
    return f"images/{row // 1000:05d}/{row:09d}.jpg"


def draw(size: Size) -> LabelTable:
    """The table that is written; the same for the same size."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(size.images), size.labels)
    first = rng.integers(0, size.classes, size.images)
    labels = (first[:, None] + np.arange(size.labels)) % size.classes
    place = np.tile(np.arange(size.labels), size.images)
    human = (place < size.labels - 1) | (size.labels == 1)
    names = np.array([f"annotator {number}" for number in range(5)], dtype=np.object_)
    return LabelTable(
        taxonomy=Taxonomy(tuple(f"class {number}" for number in range(size.classes))),
        image_ids=tuple(map(image_name, range(size.images))),
        split=rng.choice(np.array([0, 1, 2], dtype=np.int8), size.images, p=[0.8, 0.1, 0.1]),
        rows=rows,
        labels=labels.ravel(),
        values=(place == 0).astype(np.int8),
        sources=np.where(human, HUMAN, PROPOSAL_OBJECT).astype(np.object_),
        scores=np.where(human, np.nan, rng.random(len(rows))),
        annotators=np.where(human, names[rng.integers(0, len(names), len(rows))], ""),
        times=np.where(human, 1.7e9 + rng.integers(0, 10**7, len(rows)), 1.8e9),
        shown=rng.random(len(rows)) < 0.1,
    )


PROPOSAL_OBJECT: Any = np.array(PROPOSER, dtype=np.object_)


def frame(size: Size, form: str) -> Any:  # noqa: ANN401  (a DataFrame)
    """The same content as pandas would have it."""
    import pandas as pd

    table = draw(size)
    splits = np.array(["train", "validation", "test"])
    if form == "one-hot CSV":
        made = pd.DataFrame(table.matrix().dense(), columns=list(table.taxonomy.names))
        made.insert(0, "image", list(table.image_ids))
        return made.assign(split=splits[table.split])
    ids = pd.Series(table.image_ids)
    columns = {
        "image": ids.iloc[table.rows].to_numpy(),
        "label": np.array(table.taxonomy.names)[table.labels],
        "value": table.values,
        "split": splits[table.split[table.rows]],
    }
    if form != "long CSV":
        columns |= {name: getattr(table, name) for name in ("sources", "scores", "annotators", "times", "shown")}
    return pd.DataFrame(columns)


FORMS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "long CSV": ("long.csv", save_csv_long, load_csv),
    "one-hot CSV": ("onehot.csv", save_csv_onehot, load_csv),
    "Open Images CSV": ("open_images.csv", save_open_images, load_open_images),
    "Parquet": ("parquet", save_parquet, load_parquet),
}
VERBS = ("import labels into a project", "import the same again", "export a project as CSV", "... as Parquet")
FILE_STEPS = tuple(f"{verb} {form}" for form in FORMS for verb in ("write", "read"))


def step_of(size: Size, folder: Path, step: str, by: str) -> Callable[[], object]:
    """What is timed; all that it needs is made before."""
    if step in VERBS:
        return _verb(size, folder, step)
    verb, _, form = step.partition(" ")
    name, save, load = FORMS[form]
    if by == "spml":
        if verb == "read":
            return lambda: load(folder / name)
        table = draw(size)
        return lambda: save(folder / name, table)
    return _pandas(size, folder, verb, form, name)


def _pandas(size: Size, folder: Path, verb: str, form: str, name: str) -> Callable[[], object]:
    import pandas as pd

    if verb == "read":
        if form == "Parquet":
            return lambda: pd.read_parquet(folder / name / LABELS)
        return lambda: pd.read_csv(folder / name)
    content = frame(size, form)
    if form == "Parquet":
        return lambda: content.to_parquet(folder / "pandas.out", compression="zstd", index=False)
    return lambda: content.to_csv(folder / "pandas.out", index=False)


def _verb(size: Size, folder: Path, step: str) -> Callable[[], object]:
    """Images without files, as of features that came without pictures: the list of images is not what is measured."""
    where = folder / "project"
    if not where.exists():
        with Project.create(where, [f"class {number}" for number in range(size.classes)]) as project:
            project.workspace.images.add(ImageEntry(image_name(row)) for row in range(size.images))

    def run() -> None:
        with Project(where) as project:
            if step.startswith("import"):
                project.import_labels(folder / FORMS["long CSV"][0])
            else:
                project.export(folder / "export.csv" if "CSV" in step else folder / "export")

    return run


def measure_here(size: Size, folder: Path, step: str, by: str) -> dict[str, float]:
    """Seconds and peak memory in MiB of one step in this process."""
    set_quiet(True)
    run = step_of(size, folder, step, by)
    _forget_peak()
    began = time.perf_counter()
    run()
    return {"seconds": time.perf_counter() - began, "peak_mib": _peak() / MEBIBYTE}


def _forget_peak() -> None:
    """Making the data does not count, as far as the kernel can be told so (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("the kernel does not say how much memory was used; run this on Linux")


def measure_apart(size: Size, folder: Path, step: str, by: str) -> dict[str, float]:
    """`measure_here` in a fresh process."""
    command = [sys.executable, __file__, "--child", json.dumps([asdict(size), str(folder), step, by])]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def measure(size: Size, folder: Path, only: str) -> Iterator[Measured]:
    """Every step, pandas right beside it."""
    pandas: dict[str, dict[str, float]] = {}
    beside = dict(zip(VERBS, ("read long CSV", "read long CSV", "write Open Images CSV", "write Parquet"), strict=True))
    for step in (*FILE_STEPS, *VERBS):
        if only not in step:
            continue
        ours = measure_apart(size, folder, step, "spml")
        other = beside.get(step, step)
        if other not in pandas:
            pandas[other] = measure_apart(size, folder, other, "pandas")
        theirs = pandas[other]
        yield Measured(step, ours["seconds"], ours["peak_mib"], theirs["seconds"], theirs["peak_mib"])


def kept_lines(found: list[Measured], page: Path = PAGE) -> dict[str, str]:
    """Lines of the table on the page, by step, of all steps that are not measured now."""
    part = page.read_text("utf-8").partition(f"<!-- made by {TABLE} -->")[2].partition("<!-- end")[0]
    lines = {line.split("|")[1].strip(): line for line in part.splitlines() if line.startswith("| ")}
    return {step: line for step, line in lines.items() if step not in {"step", *(row.step for row in found)}}


def text(found: list[Measured], size: Size, kept: Mapping[str, str] = MappingProxyType({})) -> str:
    """The figures as a Markdown table, with lines of other steps that are kept."""
    import pandas as pd

    lines = [
        f"Measured on: {os.cpu_count()} cores, pandas {pd.__version__}. {size.images:,} images x {size.classes} "
        f"classes, {size.labels} labels per image.",
        "",
        "| step | seconds | pandas, s | ratio | peak MiB | pandas, MiB |",
        "|---|---|---|---|---|---|",
    ]
    measured = {
        row.step: f"| {row.step} | {row.seconds:.1f} | {row.pandas_seconds:.1f} | {row.ratio:.1f} | "
        f"{row.peak_mib:.0f} | {row.pandas_peak_mib:.0f} |"
        for row in found
    }
    every = {**kept, **measured}
    lines += [every[step] for step in (*FILE_STEPS, *VERBS) if step in every]
    return "\n".join(lines)


@click.command()
@click.option("--images", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--classes", type=click.IntRange(1), default=80, show_default=True)
@click.option("--labels", type=click.IntRange(1), default=3, show_default=True, help="Known labels per image.")
@click.option("--only", default="", help="Steps whose name contains this; they need the files of the steps before.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the files here. [default: a temporary folder]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--write", is_flag=True, help="Replace the table of docs/benchmarks.md, or its rows of --only.")
@click.option("--child", hidden=True)
def main(
    images: int,
    classes: int,
    labels: int,
    only: str,
    folder: Path | None,
    as_json: bool,
    write: bool,
    child: str | None,
) -> None:
    """Print what reading and writing large tables costs, beside pandas."""
    if child is not None:
        size, where, step, by = json.loads(child)
        click.echo(json.dumps(measure_here(Size(**size), Path(where), step, by)))
        return
    size = Size(images, classes, min(labels, classes))
    with tempfile.TemporaryDirectory() as temporary:
        where = folder or Path(temporary)
        where.mkdir(parents=True, exist_ok=True)
        found = []
        for row in measure(size, where, only):
            found.append(row)
            said = f"{row.step}: {row.seconds:.1f} s, {row.ratio:.1f} times pandas, {row.peak_mib:.0f} MiB"
            click.echo(said, err=True)
    if as_json:
        rows = [{**asdict(row), "ratio": row.ratio} for row in found]
        click.echo(json.dumps({"size": asdict(size), "rows": rows}, indent=1))
    else:
        click.echo(text(found, size))
    if write:
        replace_table(TABLE, text(found, size, kept_lines(found) if only else {}))


if __name__ == "__main__":
    main()
