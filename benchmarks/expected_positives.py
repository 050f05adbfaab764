"""Test mAP of the methods that use k, the expected number of positives per image, when k is wrong.

    python benchmarks/expected_positives.py                    # writes docs/results-k.csv, table of docs/results.md
    python benchmarks/expected_positives.py --dataset scenes   # replaces the rows of one data set

Protocol: docs/results.md, "A wrong k".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from results import BATCH_SIZE, CHECKOUT, DATA, EPOCHS, PAGE, RATES, SEEDS, WEIGHT_DECAY, label_set, labels_of, load

from spml_annotate.device import set_threads
from spml_annotate.errors import SpmlError
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION, Dataset
from spml_annotate.losses import LOSSES
from spml_annotate.stores.atomic import write_text
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.inputs import resolve
from spml_annotate.training.metrics import mean_average_precision

RESULTS = CHECKOUT / "docs" / "results-k.csv"
BEGIN, END = "<!-- table: made by benchmarks/expected_positives.py -->", "<!-- end of the table of a wrong k -->"
SETS = ("scenes", "coco525", "voc20mix", "yeast")
FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)
REFERENCE = "an"  # knows k from the initial predictions only
COLUMNS = (
    *("dataset", "true_k", "loss", "factor", "learning_rate", "validation_map", "test_map", "test_sd"),
    *("change", "change_sd", "seeds"),
)
Row = dict[str, str]
Reached = NDArray[np.float64]  # [seeds, (validation mAP of the epoch chosen, test mAP)]


def losses_that_use_k() -> tuple[str, ...]:
    """Methods with a setting for k that stored features can train, after the reference."""
    methods = {name: resolve(name) for name in LOSSES}
    using = (n for n, m in methods.items() if "expected_positives" in {**m.settings, **m.state_settings})
    return (REFERENCE, *(name for name in using if not methods[name].unsupplied))


def measure(name: str, losses: Sequence[str], *, data: Path = DATA, seeds: int = SEEDS) -> list[Row]:
    """One row per loss and factor on one data set: `COLUMNS`, as text."""
    dataset, features = load(name, data, "cpu")
    k = dataset.positives_per_image(TRAIN)
    tables = [label_set(dataset, "1 positive", seed) for seed in range(seeds)]
    rates: dict[str, float] = {}
    right: dict[str, Reached] = {}
    for rate in RATES:
        found = _train(dataset, features, tables, dict.fromkeys(losses, rate), k)
        for loss, reached in found.items():
            if loss not in right or reached[:, 0].mean() > right[loss][:, 0].mean():
                rates[loss], right[loss] = rate, reached
    rows = []
    for factor in FACTORS:
        found = right if factor == 1.0 else _train(dataset, features, tables, rates, factor * k)
        rows += [_row(name, k, loss, factor, rates[loss], found[loss], right[loss]) for loss in losses]
    return rows


def _train(
    dataset: Dataset,
    features: NDArray[np.float32],
    tables: Sequence[NDArray[np.int8]],
    rates: dict[str, float],
    k: float,
) -> dict[str, Reached]:
    """What every loss reaches at its learning rate when it is told k."""
    train, validation, test = (dataset.rows(split) for split in (TRAIN, VALIDATION, TEST))
    truth, seeds = dataset.truth, range(len(tables))
    runs = [
        HeadRun(loss, label_set=seed, seed=seed, learning_rate=rate, weight_decay=WEIGHT_DECAY)
        for loss, rate in rates.items()
        for seed in seeds
    ]
    fitted = fit_heads(
        features[train],
        tables,
        runs,
        validation=(features[validation], truth[validation]),
        expected_positives=k,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        device="cpu",
        what=f"{dataset.name}, k = {k:.2f}",
    )
    tested = [mean_average_precision(head.predict(features[test]), truth[test]).value for head in fitted.heads]
    both = np.stack([fitted.validation_map.max(axis=1), np.array(tested)], axis=1).reshape(len(rates), len(tables), 2)
    return dict(zip(rates, both, strict=True))


def _row(name: str, k: float, loss: str, factor: float, rate: float, reached: Reached, right: Reached) -> Row:
    change = reached[:, 1] - right[:, 1]  # the same positives and the same initial weights, seed by seed
    values = (
        *(name, f"{k:.4f}", loss, f"{factor:g}", f"{rate:g}"),
        *(f"{reached[:, 0].mean():.4f}", f"{reached[:, 1].mean():.4f}", f"{_spread(reached[:, 1]):.4f}"),
        *(f"{change.mean():.4f}", f"{_spread(change):.4f}", str(len(reached))),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _spread(values: Reached) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def read(path: Path) -> list[Row]:
    """The rows of a results file, none if it does not exist."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8")))) if path.exists() else []


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows, those of data sets that were measured anew replaced, in the order of the table."""
    names = {row["dataset"] for row in new}
    rows = [row for row in old if row["dataset"] not in names] + list(new)
    order = {name: place for place, name in enumerate(SETS)}
    losses = {name: place for place, name in enumerate(LOSSES)}
    return sorted(
        rows, key=lambda row: (order.get(row["dataset"], len(order)), losses[row["loss"]], float(row["factor"]))
    )


def markdown(rows: Sequence[Row]) -> str:
    """Data sets and losses x factors: test mAP in percent at the true k, elsewhere the change from there."""
    cells = {(row["dataset"], row["loss"], row["factor"]): row for row in rows}
    factors = [f"{factor:g}" for factor in FACTORS]
    lines = [
        f"| data set (true k) | loss | {' | '.join(f'{factor} x' for factor in factors)} |",
        "|---|---|" + "---|" * len(factors),
    ]
    for name, k, loss in dict.fromkeys((row["dataset"], row["true_k"], row["loss"]) for row in rows):
        shown = " | ".join(_cell(cells[name, loss, factor]) for factor in factors)
        lines.append(f"| {name} ({float(k):.2f}) | {loss} | {shown} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    if float(row["factor"]) == 1.0:
        return f"{100 * float(row['test_map']):.1f} ± {100 * float(row['test_sd']):.1f}"
    return f"{100 * float(row['change']):+.1f} ± {100 * float(row['change_sd']):.1f}"


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
    losses = losses_that_use_k()
    assert {labels_of(loss) for loss in losses} == {"1 positive"}
    rows = read(out)
    for name in names or SETS:
        rows = merged(rows, measure(name, losses, data=data, seeds=seeds))
        _save(rows, out, PAGE if out == RESULTS else None)
        click.echo(f"{name}: done", err=True)
    click.echo(markdown(rows))


if __name__ == "__main__":
    try:
        main()
    except SpmlError as error:
        raise SystemExit(f"error: {error}") from None
