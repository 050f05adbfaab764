"""``embed``, ``train``, ``propose`` and ``evaluate``: what the machine does with a project."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spml_annotate.cli.options import (
    as_published_option,
    device_option,
    echo_json,
    json_option,
    parse_assignments,
    seed_option,
    set_option,
    threads_option,
    verbosity,
)
from spml_annotate.cli.projects import counted, open_project, parse_numbers, project_option, share
from spml_annotate.errors import SettingError

if TYPE_CHECKING:
    from spml_annotate.embed.images import Precision
    from spml_annotate.project import Evaluated, Project, Proposed, Trained
    from spml_annotate.propose import Proposals

SHOWN = 10


@click.command()
@click.option(
    "--backbone", metavar="NAME", help="builtin, or a network of torchvision. [default: as before, or builtin]"
)
@click.option(
    "--weights", metavar="default|none|FILE", help="Weights of the backbone. [default: as before, or default]"
)
@click.option("--mean", metavar="R[,G,B]", help="What is subtracted from the channels (in 0..1) before the network.")
@click.option("--std", metavar="R[,G,B]", help="What the channels are divided by.")
@click.option("--size", type=click.IntRange(1), help="Side in pixels to which every picture is squeezed.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Pictures per step.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Of the products; auto is float16 on a GPU and float32 elsewhere.",
)
@device_option
@threads_option
@project_option
@json_option
@verbosity
def embed(
    backbone: str | None,
    weights: str | None,
    mean: str | None,
    std: str | None,
    size: int | None,
    batch_size: int,
    precision: Precision,
    device: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Turn the images into features; only those that have none yet. Interrupted, it goes on where it was."""
    with open_project(folder) as project:
        done = project.embed(
            backbone=backbone,
            weights=weights,
            mean=parse_numbers("--mean", mean),
            std=parse_numbers("--std", std),
            size=size,
            batch_size=batch_size,
            precision=precision,
            device=device,
        )
    if as_json:
        echo_json(asdict(done))
        return
    click.echo(
        f"{counted(done.new, 'image')} embedded with {done.backbone}; "
        f"{counted(done.images, 'image')} in all, {done.width} features each"
    )
    for name, reason in done.unreadable[:SHOWN]:
        click.echo(f"  unreadable: {name}: {reason}")
    if len(done.unreadable) > SHOWN:
        click.echo(f"  ... and {len(done.unreadable) - SHOWN} more (images list --unreadable)")


@click.command()
@click.option("--loss", default="en", show_default=True, metavar="NAME", help="See `spml-annotate losses`.")
@set_option
@click.option("--epochs", type=click.IntRange(1), default=25, show_default=True, help="Passes over the images.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images per step.")
@click.option("--learning-rate", type=float, default=3e-3, show_default=True, help="AdamW's learning rate.")
@click.option("--weight-decay", type=float, default=0.3, show_default=True, help="AdamW's weight decay.")
@click.option(
    "--expected-positives",
    type=float,
    metavar="K",
    help="Positives per image. [default: saved by `estimate-k`, else of the checked sample, else from what is known]",
)
@as_published_option
@seed_option
@device_option
@threads_option
@project_option
@json_option
@verbosity
def train(
    loss: str,
    assignments: tuple[str, ...],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    expected_positives: float | None,
    as_published: bool,
    seed: int,
    device: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Train on everything known about the training images, and make the result the current model."""
    settings = parse_assignments(assignments)
    strange = sorted(set(settings) - {loss})
    if strange:
        raise SettingError(f"--set {strange[0]}...: this trains {loss}; write {loss}.SETTING=VALUE")
    with open_project(folder) as project:
        done = project.train(
            loss=loss,
            settings=settings.get(loss, {}),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            expected_positives=expected_positives,
            as_published=as_published,
            seed=seed,
            device=device,
        )
        checked = len(project.checked()[0])
    if as_json:
        echo_json(asdict(done))
        return
    _show_training(done, checked)


def _show_training(done: Trained, checked: int) -> None:
    read = ", read as unknown where the method allows" if done.as_published else ""
    positives, negatives = counted(done.positives, "known positive"), counted(done.negatives, "known negative")
    click.echo(
        f"model {done.version}: {done.loss} on {counted(done.images, 'image')} ({positives}, {negatives}{read}), "
        f"k = {done.expected_positives:.2f} ({done.expected_positives_from})"
    )
    if done.validation_map is None:
        click.echo(f"epoch {done.epoch} of {done.epochs}: the last one, for {_no_sample(checked)} to choose by")
        click.echo("next: spml-annotate ask --validation 200 (to know how good it is), or spml-annotate ask")
        return
    click.echo(
        f"epoch {done.epoch} of {done.epochs}: the best by mAP {done.validation_map:.3f} on "
        f"{counted(done.validation_images, 'checked image')} "
        f"({counted(done.left_out, 'class')} without a positive there left out)"
    )
    click.echo("next: spml-annotate propose, or spml-annotate ask")


def _no_sample(checked: int) -> str:
    from spml_annotate.project.sample import LEAST

    if not checked:
        return "there is no checked sample"
    return f"{LEAST} checked images are needed, and there {'is' if checked == 1 else 'are'} {checked},"


@click.command()
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Wanted share of true ones among expected positives; needs a checked sample.",
)
@click.option("--proposer", default="combined", show_default=True, help="combined, ema or prototypes.")
@click.option("--limit", type=click.IntRange(1), help="Show and write only so many, the surest first.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the proposals to a CSV file.")
@seed_option
@threads_option
@project_option
@json_option
@verbosity
def propose(
    precision: float, proposer: str, limit: int | None, out: Path | None, seed: int, folder: Path, as_json: bool
) -> None:
    """Propose expected positives and negatives for cells that nobody has answered, and keep them for `export`."""
    with open_project(folder) as project:
        done = project.propose(precision=precision, proposer=proposer, seed=seed)
        chosen = done.strongest(limit)
        facts, checked = _proposal_facts(done), len(project.checked()[0])
        if out is not None:
            _write_proposals(project, out, done, chosen)
        listed = _proposal_lines(project, chosen if as_json else chosen.select(_first(len(chosen))))
    if as_json:
        echo_json({**facts, "proposals": listed})
        return
    click.echo(f"{facts['positives']} expected positives, {facts['negatives']} expected negatives (model {done.model})")
    click.echo(_basis(facts, checked))
    for line in listed:
        spoken = ", ".join(f"{name} {value:.2f}" for name, value in line["sources"].items())
        sign = "yes" if line["value"] else "no "
        click.echo(f"  {sign} {line['score']:.3f}  {line['image']}: {line['label']} ({spoken})")
    if len(chosen) > len(listed):
        click.echo(f"  ... and {len(chosen) - len(listed)} more" + ("" if out else " (--out FILE writes all)"))


def _proposal_facts(done: Proposed) -> dict[str, Any]:
    return {
        "model": done.model,
        "images": done.images,
        "positives": len(done.proposals.positives),
        "negatives": len(done.proposals.negatives),
        "wanted_precision": done.precision,
        "checked_images": done.sample,
        "thresholds": done.basis(),
    }


def _basis(facts: dict[str, Any], checked: int) -> str:
    if not facts["checked_images"]:
        why = _no_sample(checked).rstrip(",")
        return f"thresholds: stated defaults, for {why} (spml-annotate ask --validation 200)"
    counts = facts["thresholds"]
    none = (
        ""
        if facts["positives"]
        else f"; no threshold reaches a precision of {facts['wanted_precision']:g} surely enough"
    )
    return (
        f"thresholds: from {counted(facts['checked_images'], 'checked image')} ({counts['own']} classes on their own, "
        f"{counts['pooled']} together, {counts['default']} by default){none}"
    )


def _first(count: int) -> Any:  # noqa: ANN401  (an array)
    import numpy as np

    return np.arange(min(count, SHOWN))


def _proposal_lines(project: Project, chosen: Proposals) -> list[dict[str, Any]]:
    names, ids = project.taxonomy.names, project.image_ids
    return [
        {
            "image": ids[item.row],
            "label": names[item.label],
            "value": item.value,
            "score": item.score,
            "sources": dict(item.sources),
        }
        for item in chosen
    ]


def _write_proposals(project: Project, path: Path, done: Proposed, chosen: Proposals) -> None:
    from spml_annotate.formats.text import csv_line
    from spml_annotate.propose.thresholds import Basis
    from spml_annotate.stores.atomic import write_atomically

    names, ids = project.taxonomy.names, project.image_ids
    sources = sorted(chosen.sources)
    limits = done.thresholds

    def line(item: Any) -> bytes:  # noqa: ANN401  (a Proposal)
        basis = (limits.positive_basis if item.value else limits.negative_basis)[item.label]
        limit = (limits.positive if item.value else limits.negative)[item.label]
        spoken = [f"{item.sources[name]:.6g}" if name in item.sources else "" for name in sources]
        fixed = (ids[item.row], names[item.label], str(item.value), f"{item.score:.6g}")
        return csv_line((*fixed, *spoken, f"{limit:.6g}", Basis(int(basis)).name.lower()))

    header = csv_line(("image", "label", "value", "score", *sources, "threshold", "basis"))
    write_atomically(path, lambda file: file.writelines([header, *map(line, chosen)]))


@click.command()
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="Images to judge by: the checked sample, or test images that are fully checked.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Wanted precision of expected positives, as in propose.",
)
@seed_option
@threads_option
@project_option
@json_option
@verbosity
def evaluate(split: str, precision: float, seed: int, folder: Path, as_json: bool) -> None:
    """Judge the current model and its proposals on images that were checked and never trained on."""
    with open_project(folder) as project:
        done = project.evaluate(split=split, precision=precision, seed=seed)
    if as_json:
        echo_json(asdict(done))
        return
    _show_evaluation(done)


def _show_evaluation(done: Evaluated) -> None:
    click.echo(
        f"model {done.model} on {counted(done.images, f'checked {done.split} image')} ({done.waiting} not yet checked)"
    )
    note = "; its epoch was chosen on them, which flatters a little" if done.epoch_chosen_here else ""
    click.echo(
        f"  mAP  {share(done.map)}  over {counted(done.classes, 'class')} "
        f"({done.left_out} without a positive left out){note}"
    )
    click.echo(f"  CF1  {share(done.class_f1)}   OF1  {share(done.overall_f1)}  (at 0.5)")
    for what, count, precision, recall in (
        ("positives", done.proposed_positives, done.positive_precision, done.positive_recall),
        ("negatives", done.proposed_negatives, done.negative_precision, done.negative_recall),
    ):
        click.echo(f"  expected {what}: {count} proposed, precision {share(precision)}, recall {share(recall)}")
    click.echo(f"  thresholds: {done.thresholds}")
    low, high = done.expected_positives_low, done.expected_positives_high
    click.echo(f"  k = {done.expected_positives:.2f} positives per image (95 % interval {low:.2f} to {high:.2f})")
