"""``export``, ``status`` and ``doctor``: what there is, and what comes out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spml_annotate.cli.options import echo_json, json_option, verbosity
from spml_annotate.cli.projects import duration, open_project, project_option, share

if TYPE_CHECKING:
    from spml_annotate.project import Status
    from spml_annotate.project.exporting import Format


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "open-images"]),
    help="Parquet with a manifest in the folder OUT, or one long CSV. [default: CSV if OUT ends in .csv]",
)
@click.option(
    "--proposals/--no-proposals",
    default=None,
    help="Write what `propose` kept, too, or people's labels only. [default: if there is something]",
)
@click.option(
    "--min-precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Propose anew with this wanted precision of expected positives.",
)
@project_option
@json_option
@verbosity
def export(
    out: Path, form: Format | None, proposals: bool | None, min_precision: float | None, folder: Path, as_json: bool
) -> None:
    """Write the labelled data set to OUT: every label with value, source, score, annotator and time."""
    with open_project(folder) as project:
        done = project.export(out, format=form, proposals=proposals, min_precision=min_precision)
    if as_json:
        echo_json(asdict(done))
        return
    click.echo(f"{done.images} images with {done.human} labels of people and {done.proposals} proposals in {done.path}")
    if done.unproposed:
        click.echo(f"nothing was proposed with model {done.unproposed} yet: spml-annotate propose, then export again")
    if done.disagreements:
        click.echo(f"{done.disagreements} cells on which annotators disagree are listed in {done.conflicts}")


@click.command()
@project_option
@json_option
@verbosity
def status(folder: Path, as_json: bool) -> None:
    """Say where the project stands and what to do next."""
    from spml_annotate.loop.gain import gain_line
    from spml_annotate.server.jobs import server_line

    with open_project(folder) as project:
        now = project.status()
    served, gain = server_line(folder), gain_line(folder)
    if as_json:
        echo_json({**asdict(now), "server": served, "gain": gain})
        return
    lines = _lines(now)
    if served is not None:
        lines.insert(-1, ("server", served))
    if gain is not None:
        lines.insert(-1, ("gain", gain))
    for name, text in lines:
        click.echo(f"{name:<10} {text}")


def _lines(now: Status) -> list[tuple[str, str]]:
    splits = ", ".join(f"{count} {name}" for name, count in now.splits.items())
    kinds = ", ".join(f"{count} {name}" for name, count in now.kinds.items())
    known = f"{now.positives} positive, {now.negatives} negative ({100 * now.known_share:.1f} % of all cells)"
    people = ", ".join(f"{name} {count}" for name, count in now.annotators.items()) or "nobody yet"
    model = "none"
    if now.model is not None and now.metrics is not None:
        quality = share(now.metrics["validation_map"])
        model = f"{now.model}, {now.metrics['loss']}, validation mAP {quality}, {now.answers_since_model} answers since"
    return [
        ("project", f"{now.name} in {now.folder}"),
        ("images", f"{now.images} ({splits}); {now.duplicates} exact copies, {now.unreadable} unreadable"),
        (
            "features",
            f"{now.embedded} of {now.images} images embedded" + (f" ({now.features})" if now.features else ""),
        ),
        ("classes", str(now.classes)),
        ("known", known),
        ("per image", f"{kinds} (none known, one positive, positives, both signs, everything)"),
        ("answers", f"{people}; {now.hours:.2f} hours; {now.conflicts} disagreements"),
        ("checked", f"{now.checked} validation images ({now.waiting_checks} wait)"),
        ("k", f"{now.expected_positives:.2f} positives per image ({now.expected_positives_from})"),
        ("model", model),
        ("open", f"{now.open_questions} questions, about {duration(now.open_seconds)}"),
        ("next", now.next),
    ]


@click.command()
@project_option
@json_option
@verbosity
def doctor(folder: Path, as_json: bool) -> None:
    """Check this machine and the project: versions, device, disk, files, fingerprints; exits 1 if something fails."""
    from spml_annotate.project import doctor as look

    checks = look(folder)
    if as_json:
        echo_json([check._asdict() for check in checks])
    else:
        for check in checks:
            remedy = f" -> {check.remedy}" if check.level != "ok" and check.remedy else ""
            click.echo(f"{check.level:<5} {check.name:<13} {check.found}{remedy}")
    if any(check.level == "fail" for check in checks):
        raise click.exceptions.Exit(1)
