"""``status`` and ``doctor``: what there is, and whether it is sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spml_annotate.cli.options import echo_json, json_option, verbosity
from spml_annotate.cli.projects import counted, duration, open_project, project_option, share

if TYPE_CHECKING:
    from spml_annotate.project import Status


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
        since = counted(now.answers_since_model, "answer")
        model = f"{now.model}, {now.metrics['loss']}, validation mAP {quality}, {since} since"
    return [
        ("project", f"{now.name} in {now.folder}"),
        ("images", f"{now.images} ({splits}); {counted(now.duplicates, 'exact copy')}, {now.unreadable} unreadable"),
        (
            "features",
            f"{now.embedded} of {counted(now.images, 'image')} embedded"
            + (f" ({now.features})" if now.features else ""),
        ),
        ("classes", str(now.classes)),
        ("known", known),
        ("per image", f"{kinds} (none known, one positive, positives, both signs, everything)"),
        ("answers", f"{people}; {now.hours:.2f} hours; {counted(now.conflicts, 'disagreement')}"),
        ("checked", f"{counted(now.checked, 'validation image')} ({now.waiting_checks} wait)"),
        ("k", f"{now.expected_positives:.2f} positives per image ({now.expected_positives_from})"),
        ("model", model),
        ("open", f"{counted(now.open_questions, 'question')}, about {duration(now.open_seconds)}"),
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
