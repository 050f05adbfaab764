"""How well k and the class priors can be estimated without a checked image, from single positives and scores (CRISP).

    python benchmarks/class_priors.py                    # writes docs/results-priors.csv, table of docs/results.md
    python benchmarks/class_priors.py --dataset scenes   # replaces the rows of one data set

Protocol: docs/results.md, "How well k can be estimated".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from results import BATCH_SIZE, CHECKOUT, DATA, EPOCHS, PAGE, WEIGHT_DECAY, label_set, load

from spml_annotate.device import set_threads
from spml_annotate.errors import SpmlError
from spml_annotate.formats.dataset import TRAIN
from spml_annotate.labels import POSITIVE
from spml_annotate.project.estimating import held_out_scores
from spml_annotate.propose.estimating import from_sample, from_scores
from spml_annotate.stores.atomic import write_text
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.heads import LEARNING_RATE

RESULTS = CHECKOUT / "docs" / "results-priors.csv"
BEGIN, END = "<!-- table: made by benchmarks/class_priors.py -->", "<!-- end of the table of estimates -->"
SETS = ("scenes", "coco525", "voc20mix", "yeast")
LOSSES = ("an", "en", "crisp")
SEEDS = 3
SAMPLE = 50  # checked images to compare with
CHECKED = f"{SAMPLE} checked images"
SCORES = {"final": "final scores", "ema": "moving average", "held-out": "held out"}
COLUMNS = ("dataset", "images", "true_k", "loss", "scores", "k", "k_sd", "half_width", "prior_error", "seeds")
Row = dict[str, str]
Shares = NDArray[np.float64]


def measure(name: str, *, data: Path = DATA, seeds: int = SEEDS) -> list[Row]:
    """Rows of one data set: `COLUMNS`, as text; loss and scores "-" for estimates that use no scores."""
    dataset, features = load(name, data, "cpu")
    train = dataset.rows(TRAIN)
    features, truth = features[train], dataset.truth[train]
    priors: Shares = (truth == POSITIVE).mean(axis=0)
    tables = [label_set(dataset, "1 positive", seed) for seed in range(seeds)]
    found: dict[tuple[str, str], list[Shares]] = {}
    widths: list[float] = []
    for seed, codes in enumerate(tables):
        known = (codes == POSITIVE).mean(axis=0)
        found.setdefault(("known positives, scaled to the true k", "-"), []).append(known * priors.sum() / known.sum())
        sample = np.random.default_rng(seed).permutation(len(train))[:SAMPLE]
        checked = from_sample(truth[sample])
        widths.append((checked.high - checked.low) / 2.0)
        found.setdefault((CHECKED, "-"), []).append(checked.priors)
    runs = [
        HeadRun(loss, label_set=seed, seed=seed, weight_decay=WEIGHT_DECAY) for loss in LOSSES for seed in range(seeds)
    ]
    fitted = fit_heads(features, tables, runs, epochs=EPOCHS, batch_size=BATCH_SIZE, device="cpu", what=name)
    for run, head, ema in zip(runs, fitted.heads, fitted.ema, strict=True):
        codes = tables[run.label_set]
        scores = {"final": head.predict(features), "ema": ema, "held-out": _held_out(features, codes, run)}
        for kind, table in scores.items():
            found.setdefault((run.loss, kind), []).append(from_scores(table, codes).priors)
    half = f"{np.mean(widths):.4f}"
    return [
        _row(name, priors, len(train), key, np.stack(said), half if key[0] == CHECKED else "")
        for key, said in found.items()
    ]


def _held_out(features: NDArray[np.float32], codes: NDArray[np.int8], run: HeadRun) -> NDArray[np.float16]:
    trained = {
        **{"loss": run.loss, "settings": {}, "seed": run.seed, "learning_rate": LEARNING_RATE},
        **{"weight_decay": WEIGHT_DECAY, "epochs": EPOCHS, "batch_size": BATCH_SIZE},
    }
    return held_out_scores(features, codes, trained, None, run.seed, "cpu")


def _row(name: str, priors: Shares, images: int, key: tuple[str, str], found: Shares, half: str) -> Row:
    k = found.sum(axis=1)
    error = np.abs(found - priors).mean() / priors.mean()
    spread = float(k.std(ddof=1)) if len(k) > 1 else 0.0
    values = (
        *(name, str(images), f"{priors.sum():.4f}", *key),
        *(f"{k.mean():.4f}", f"{spread:.4f}", half, f"{error:.4f}", str(len(k))),
    )
    return dict(zip(COLUMNS, values, strict=True))


def read(path: Path) -> list[Row]:
    """The rows of a results file, none if it does not exist."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8")))) if path.exists() else []


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows, those of data sets that were measured anew replaced, in the order of the table."""
    names = {row["dataset"] for row in new}
    order = {name: place for place, name in enumerate(SETS)}
    rows = [row for row in old if row["dataset"] not in names] + list(new)
    return sorted(rows, key=lambda row: order.get(row["dataset"], len(order)))


def markdown(rows: Sequence[Row]) -> str:
    """Estimates x data sets: k, mean and standard deviation over the seeds, and the relative error of the priors."""
    cells = {(row["dataset"], row["loss"], row["scores"]): row for row in rows}
    sets = {row["dataset"]: row for row in rows}
    truth = [f"{float(row['true_k']):.2f} ({row['images']} images)" for row in sets.values()]
    lines = [
        f"| estimate from | {' | '.join(sets)} |",
        "|---|" + "---|" * len(sets),
        f"| the truth | {' | '.join(truth)} |",
    ]
    for loss, scores in dict.fromkeys((row["loss"], row["scores"]) for row in rows):
        title = loss if scores == "-" else f"CRISP, `{loss}`, {SCORES[scores]}"
        lines.append(f"| {title} | {' | '.join(_cell(cells[name, loss, scores]) for name in sets)} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    interval = f" (95 %: ± {float(row['half_width']):.2f})" if row["half_width"] else ""
    return f"{float(row['k']):.2f} ± {float(row['k_sd']):.2f}{interval}; {100 * float(row['prior_error']):.0f} %"


def with_table(page: str, table: str) -> str:
    """The page with the table between its two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _save(rows: Sequence[Row], out: Path, page: Path | None) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out, text.getvalue())
    if page is not None and BEGIN in page.read_text("utf-8"):
        write_text(page, with_table(page.read_text("utf-8"), markdown(rows)))


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=DATA, help="Folder of .npz files.")
@click.option("--dataset", "names", multiple=True, help="Data sets, all of the table if none is named.")
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="Positives and starts.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS, help="CSV; rows are replaced.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
def main(data: Path, names: tuple[str, ...], seeds: int, out: Path, threads: int | None) -> None:
    """Measure, write the CSV (and, for the committed one, the table of docs/results.md), print the table."""
    set_threads(threads)
    rows = read(out)
    for name in names or SETS:
        rows = merged(rows, measure(name, data=data, seeds=seeds))
        _save(rows, out, PAGE if out == RESULTS else None)
        click.echo(f"{name}: done", err=True)
    click.echo(markdown(rows))


if __name__ == "__main__":
    try:
        main()
    except SpmlError as error:
        raise SystemExit(f"error: {error}") from None
