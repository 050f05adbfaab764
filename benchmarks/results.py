"""Test mAP of every loss on every data set, and the learning rate that validation chose for it.

    python benchmarks/results.py                  # all rows; writes docs/results.csv, table of docs/results.md
    python benchmarks/results.py --only yeast,an  # one row

Protocol: docs/results.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from spml_annotate.datasets import DATASETS, load_dataset
from spml_annotate.datasets.single import single_positives
from spml_annotate.device import set_threads
from spml_annotate.errors import SpmlError
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION, Dataset
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.stores.atomic import write_text
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.inputs import resolve
from spml_annotate.training.metrics import mean_average_precision

CHECKOUT = Path(__file__).resolve().parent.parent
DATA = CHECKOUT.parent / "shared" / "data" / "features"
RESULTS = CHECKOUT / "docs" / "results.csv"
PAGE = CHECKOUT / "docs" / "results.md"
BEGIN, END = "<!-- table: made by benchmarks/results.py -->", "<!-- end of table -->"

SETS = ("coco525", "voc20mix", "voc12animal", "yeast", "bibtex", "corel5k", "scenes")
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
WEIGHT_DECAY, EPOCHS, BATCH_SIZE, SEEDS = 0.3, 25, 64, 5
ALL_LABELS = ("bce", "bce-ls")
COLUMNS = (
    *("dataset", "loss", "labels", "learning_rate", "validation_map", "test_map", "test_sd"),
    *("seeds", "classes", "left_out"),
)
Codes = NDArray[np.int8]
Row = dict[str, str]


def labels_of(loss: str) -> str:
    """What of the truth a loss is shown."""
    if loss in ALL_LABELS:
        return "all"
    if LOSSES[loss].facts["oracle"]:
        return "1 positive + all negatives"
    return "1 positive + 1 negative" if LOSSES[loss].facts["needs_negatives"] else "1 positive"


def label_set(dataset: Dataset, shown: str, seed: int) -> Codes:
    """Codes [n, L] of the training images: what is shown of their truth, drawn evenly by the seed."""
    train = dataset.rows(TRAIN)
    truth = dataset.truth[train]
    if shown == "all":
        return truth
    rows = np.arange(len(train))
    codes = np.full_like(truth, UNKNOWN)
    if shown == "1 positive + all negatives":
        codes[truth == NEGATIVE] = NEGATIVE
    elif shown == "1 positive + 1 negative":
        chance = np.where(truth == NEGATIVE, np.random.default_rng(seed).random(truth.shape), -1.0)
        with_negative = chance.max(axis=1) >= 0.0
        codes[rows[with_negative], chance.argmax(axis=1)[with_negative]] = NEGATIVE
    codes[rows, single_positives(dataset.truth, train, seed=seed)] = POSITIVE
    return codes


def load(name: str, data: Path, device: str) -> tuple[Dataset, NDArray[np.float32]]:
    """A data set and its features; the built-in pictures go through the built-in extractor."""
    dataset = load_dataset(name if name in DATASETS else data / f"{name}.npz")
    if dataset.features is not None:
        return dataset, dataset.features
    from spml_annotate.embed.backbones import load_backbone
    from spml_annotate.embed.images import extract

    assert dataset.pictures is not None  # it has features or pictures
    blocks = extract(load_backbone("builtin", device=device), dataset.pictures)
    return dataset, np.concatenate([block.features for block in blocks])


def measure(
    name: str, losses: Sequence[str], *, data: Path = DATA, seeds: int = SEEDS, device: str = "cpu"
) -> list[Row]:
    """One row per loss on one data set: `COLUMNS`, as text."""
    dataset, features = load(name, data, device)
    train, validation, test = (dataset.rows(split) for split in (TRAIN, VALIDATION, TEST))
    truth = dataset.truth
    shown = sorted({labels_of(loss) for loss in losses})
    tables = [label_set(dataset, what, seed) for what in shown for seed in range(seeds)]
    plan = [(loss, rate, seed) for rate in RATES for loss in losses for seed in range(seeds)]
    best: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for rate in RATES:  # one call per learning rate keeps the memory of many classes in bounds
        part = [p for p in plan if p[1] == rate]
        runs = [
            HeadRun(
                loss,
                label_set=shown.index(labels_of(loss)) * seeds + seed,
                seed=seed,
                learning_rate=rate,
                weight_decay=WEIGHT_DECAY,
            )
            for loss, _, seed in part
        ]
        fitted = fit_heads(
            features[train],
            tables,
            runs,
            validation=(features[validation], truth[validation]),
            expected_positives=dataset.positives_per_image(VALIDATION),
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            device=device,
            what=f"{name}, learning rate {rate:g}",
        )
        for (loss, _, _), head, history in zip(part, fitted.heads, fitted.validation_map, strict=True):
            reached = mean_average_precision(head.predict(features[test]), truth[test]).value
            best.setdefault((loss, rate), []).append((float(history.max()), reached))
    counted = int((truth[test] == POSITIVE).any(axis=0).sum())
    return [_row(name, loss, best, counted, truth.shape[1] - counted) for loss in losses]


def _row(
    name: str, loss: str, best: dict[tuple[str, float], list[tuple[float, float]]], counted: int, left_out: int
) -> Row:
    rate = max(RATES, key=lambda r: np.mean([validation for validation, _ in best[loss, r]]))
    reached = np.array(best[loss, rate])  # [seeds, (validation, test)]
    spread = float(reached[:, 1].std(ddof=1)) if len(reached) > 1 else 0.0
    values = (
        *(name, loss, labels_of(loss), f"{rate:g}", f"{reached[:, 0].mean():.4f}", f"{reached[:, 1].mean():.4f}"),
        *(f"{spread:.4f}", str(len(reached)), str(counted), str(left_out)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def read(path: Path) -> list[Row]:
    """The rows of a results file, none if it does not exist."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8")))) if path.exists() else []


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows, replaced by new ones of the same data set and loss, in the order of the table."""
    rows = {(row["dataset"], row["loss"]): row for row in (*old, *new)}
    order = {name: place for place, name in enumerate((*SETS, *LOSSES))}
    return [rows[key] for key in sorted(rows, key=lambda key: [(order.get(part, len(order)), part) for part in key])]


def markdown(rows: Sequence[Row]) -> str:
    """Losses x data sets: test mAP in percent, mean and standard deviation over the seeds."""
    sets = list(dict.fromkeys(row["dataset"] for row in rows))
    losses = [loss for loss in LOSSES if any(row["loss"] == loss for row in rows)]
    cells = {(row["loss"], row["dataset"]): row for row in rows}
    classes = {row["dataset"]: f"{row['classes']} ({row['left_out']})" for row in rows}
    lines = [
        f"| loss | labels | {' | '.join(sets)} |",
        "|---|---|" + "---|" * len(sets),
        *(
            f"| {loss} | {labels_of(loss)} | {' | '.join(_cell(cells.get((loss, name))) for name in sets)} |"
            for loss in losses
        ),
        f"| classes counted (left out) | | {' | '.join(classes[name] for name in sets)} |",
    ]
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    return "–" if row is None else f"{100 * float(row['test_map']):.1f} ± {100 * float(row['test_sd']):.1f}"


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
    if page is not None and page.exists():
        write_text(page, with_table(page.read_text("utf-8"), markdown(rows)))


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=DATA, help="Folder of .npz files.")
@click.option("--dataset", "names", multiple=True, help="Data sets, all if none is named.")
@click.option("--only", metavar="DATASET,LOSS", help="Measure one row.")
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="Positives and starts.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS, help="CSV; rows are replaced.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
def main(
    data: Path, names: tuple[str, ...], only: str | None, seeds: int, out: Path, device: str, threads: int | None
) -> None:
    """Measure, write the CSV (and, for the committed one, the table of docs/results.md), print the table."""
    set_threads(threads)
    losses: Sequence[str] = tuple(loss for loss in LOSSES if not resolve(loss).unsupplied)
    names = names or SETS
    if only is not None:
        name, _, loss = only.partition(",")
        names, losses = (name,), (LOSSES[loss].name,)
    rows = read(out)
    for name in names:
        rows = merged(rows, measure(name, losses, data=data, seeds=seeds, device=device))
        _save(rows, out, PAGE if out == RESULTS else None)
        click.echo(f"{name}: done", err=True)
    click.echo(markdown(rows))


if __name__ == "__main__":
    try:
        main()
    except SpmlError as error:
        raise SystemExit(f"error: {error}") from None
