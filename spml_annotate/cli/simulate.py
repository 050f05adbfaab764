"""``spml-annotate simulate``: cost curves from one positive per image to everything known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spml_annotate.cli.options import (
    as_published_option,
    device_option,
    echo_json,
    json_option,
    parse_assignments,
    parse_hours,
    seed_option,
    set_option,
    threads_option,
    verbosity,
)
from spml_annotate.cli.projects import parse_numbers
from spml_annotate.errors import SettingError

ALL = "all"
EMBED_BATCH = 64

if TYPE_CHECKING:
    from spml_annotate.datasets.single import Bias
    from spml_annotate.formats.dataset import Dataset


@click.command()
@click.argument("dataset", default="scenes")
@click.option(
    "--loss",
    "losses",
    multiple=True,
    metavar="NAME|all",
    help="Loss to train; repeatable. all: every loss that stored features suffice for; those that must be told more "
    "than people say are drawn as references. [default: an, en]",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME[:KIND]",
    help="How further labels are chosen, and by which kind of question; repeatable. random-images is always run. "
    "[default: random-pairs, uncertain-per-label, expected-positives, expected-positives:list; with --rounds 0, where "
    "nothing is chosen, the first]",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Repetitions of every curve.")
@click.option(
    "--budget",
    metavar="HOURS[,HOURS...]",
    help="Hours of human time that each asking round may spend: one number for all rounds, or one per round. "
    "[default: --rounds steps, evenly in log hours, between one positive per image and everything known]",
)
@click.option(
    "--rounds",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Asking rounds before the last; 0 compares one positive per image with everything known.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("spml-out"), show_default=True,
    help="Folder for curves.csv, classes.csv, summary.json, curves.png, curves.svg and report.html.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with an interrupted simulation; ends with the same bytes.")
@click.option("--overwrite", is_flag=True, help="Replace another simulation in --out.")
@click.option(
    "--count-validation", is_flag=True, help="Add the hours of the labelled validation sample to every point."
)
@click.option(
    "--first-label",
    type=click.Choice(["uniform", "frequency", "size", "location"]),
    default="uniform",
    show_default=True,
    help="Which positive an annotator names first (size and location need boxes).",
)
@click.option("--expected-positives", type=float, help="Positives per image (k). [default: from the validation sample]")
@click.option(
    "--costs",
    "--prices",
    "costs",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file with seconds per action, such as `cost fit --out FILE` writes.",
)
@click.option("--epochs", type=click.IntRange(1), default=25, show_default=True, help="Training epochs per round.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images per step.")
@click.option(
    "--learning-rate",
    default="0.003",
    show_default=True,
    metavar="RATE[,RATE...]|auto",
    help="AdamW's learning rate. Of several (auto: 0.0003,0.001,0.003,0.01), each loss takes the one with the best "
    "mean validation mAP over the seeds in round 0.",
)
@click.option("--weight-decay", type=float, default=0.3, show_default=True, help="AdamW's weight decay.")
@as_published_option
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the images of DATASET, where it needs one.")
@click.option("--backbone", default="builtin", show_default=True, help="Embeds pictures that come without features.")
@click.option(
    "--weights", default="default", show_default=True, help="Weights of the backbone: default, none or a file."
)
@click.option("--mean", metavar="R[,G,B]", help="What the backbone subtracts from the channels (in 0..1).")
@click.option("--std", metavar="R[,G,B]", help="What it divides them by.")
@click.option("--size", type=click.IntRange(1), help="Side in pixels to which it squeezes every picture.")
@click.option(
    "--map-missing",
    "missing",
    type=click.Choice(["unknown", "negative"]),
    default="unknown",
    show_default=True,
    help="What a cell means of which DATASET says nothing; negative only if it names every positive of its images.",
)
@set_option
@seed_option
@device_option
@threads_option
@json_option
@verbosity
def simulate(
    dataset: str,
    losses: tuple[str, ...],
    strategies: tuple[str, ...],
    seeds: int,
    budget: str | None,
    rounds: int,
    out: Path,
    resume: bool,
    overwrite: bool,
    count_validation: bool,
    first_label: Bias,
    expected_positives: float | None,
    costs: Path | None,
    epochs: int,
    batch_size: int,
    learning_rate: str,
    weight_decay: float,
    as_published: bool,
    root: Path | None,
    backbone: str,
    weights: str,
    mean: str | None,
    std: str | None,
    size: int | None,
    missing: str,
    assignments: tuple[str, ...],
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Simulate labelling a data set whose labels are all known, and draw what each hour buys.

    DATASET is a built-in name (scenes) or a features file (.npz), a CSV or a folder. Round 0 names one positive on
    every training image; further rounds ask what each strategy chooses; the last round asks for all the rest.
    """
    from spml_annotate.acquire import Prices, load_prices
    from spml_annotate.datasets import load_dataset
    from spml_annotate.simulate.comparing import compares
    from spml_annotate.simulate.plan import DEFAULT_LOSSES, DEFAULT_STRATEGIES, Plan
    from spml_annotate.simulate.report import text_comparison, text_table
    from spml_annotate.simulate.runs import check_truth
    from spml_annotate.simulate.runs import simulate as run
    from spml_annotate.simulate.state import check_out
    from spml_annotate.training.heads import LEARNING_RATE

    hours = parse_hours(budget)
    rates = _parse_rates(learning_rate)
    plan = Plan(
        losses=_named(losses) or DEFAULT_LOSSES,
        strategies=strategies or (DEFAULT_STRATEGIES if rounds or hours else DEFAULT_STRATEGIES[:1]),
        seeds=seeds,
        rounds=rounds,
        hours=hours * rounds if len(hours) == 1 else hours,
        settings=parse_assignments(assignments),
        first_label=first_label,
        expected_positives=expected_positives,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=rates[0] if len(rates) == 1 else LEARNING_RATE,
        learning_rates=rates if len(rates) > 1 else (),
        weight_decay=weight_decay,
        seed=seed,
        count_validation=count_validation,
        as_published=as_published,
        prices=load_prices(costs) if costs else Prices(),
    )
    data = load_dataset(dataset, root=root)
    if missing == "negative":
        data = data.with_missing_negative()
    plan.check(data)
    check_truth(data)  # embedding takes minutes: what is wrong with the labels or the folder is said before
    check_out(out, plan.outline(data), overwrite=overwrite)
    options = {"mean": parse_numbers("--mean", mean), "std": parse_numbers("--std", std), "size": size}
    data = _embedded(data, backbone, weights, device, options)
    summary = run(data, plan, out, resume=resume, overwrite=overwrite, device=device)
    if as_json:
        echo_json(summary)
        return
    if not compares(plan):
        click.echo(text_table(summary))
    if "losses" in summary:
        click.echo(("" if compares(plan) else "\n") + text_comparison(summary))
    facts = summary["validation"]
    if facts["images"]:
        counted = "counted in the hours" if facts["counted"] else "not counted in the hours; --count-validation adds it"
        click.echo(f"\nvalidation sample: {facts['images']} full checks, {facts['hours']:.2f} h ({counted})")
    click.echo(f"curves.csv, classes.csv, summary.json, curves.png, curves.svg, report.html are in {out}")


def _named(losses: tuple[str, ...]) -> tuple[str, ...]:
    """The losses asked for; ``all`` stands for every one that can be trained here, and the others are named."""
    if ALL not in losses:
        return losses
    from spml_annotate.simulate.references import every_loss, left_out
    from spml_annotate.training.inputs import in_words

    by_need: dict[str, list[str]] = {}
    for name, inputs in left_out().items():
        by_need.setdefault(in_words(inputs), []).append(name)
    missing = "; ".join(f"{', '.join(names)} ({need})" for need, names in by_need.items())
    click.echo(f"left out, for stored features do not give what they need: {missing}", err=True)
    return tuple(dict.fromkeys((*every_loss(), *(name for name in losses if name != ALL))))


def _parse_rates(text: str) -> tuple[float, ...]:
    """One learning rate or several, ascending."""
    from spml_annotate.simulate.plan import LEARNING_RATES

    if text.strip() == "auto":
        return LEARNING_RATES
    try:
        return tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        raise SettingError(f"--learning-rate {text!r}: write a number, several with commas, or auto") from None


def _embedded(data: Dataset, backbone: str, weights: str, device: str, options: dict[str, Any]) -> Dataset:
    if data.features is not None:
        return data
    import numpy as np

    from spml_annotate.embed.backbones import load_backbone
    from spml_annotate.embed.images import extract
    from spml_annotate.errors import DataError
    from spml_annotate.progress import progress

    if data.pictures is None:
        raise DataError(f"{data.name} has neither features nor pictures; give --root, the folder of its images")
    built = load_backbone(backbone, weights, device=device, **options)
    blocks = []
    total = -(-len(data) // EMBED_BATCH)
    for block in progress(extract(built, data.pictures, batch_size=EMBED_BATCH), total=total, what="embedding"):
        if block.faults:
            raise DataError(f"{block.faults[0][1]}; remove the picture from {data.name} to simulate without it")
        blocks.append(block.features)
    return data.with_features(np.concatenate(blocks))
