"""``report-gain``: what choosing the images brought, measured in the live run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spml_annotate.cli.options import echo_json, json_option, seed_option, verbosity
from spml_annotate.cli.projects import open_project, project_option

if TYPE_CHECKING:
    from spml_annotate.loop.comparing import Estimate
    from spml_annotate.loop.gain import ArmGain, Gain


@click.command("report-gain")
@click.option(
    "--draws", type=click.IntRange(2, 1000), default=20, show_default=True, help="Heads trained per arm, if they are."
)
@seed_option
@project_option
@json_option
@verbosity
def report_gain(draws: int, seed: int, folder: Path, as_json: bool) -> None:
    """Compare images chosen for their worth with random ones, by the answers given in Label Studio.

    A share of the tasks (SPML_RANDOM_SHARE, 0.1 by default) is served at random for this. Intervals are 95 %, from
    resampled answers. With a checked sample, heads are trained on equally many answers of each side and compared.
    """
    from spml_annotate.errors import DataError
    from spml_annotate.loop import gain
    from spml_annotate.loop.links import FILE, MAIN, LinkStore

    with open_project(folder) as project:
        if not (folder / FILE).exists():
            raise DataError(f"{folder} is not tied to Label Studio yet; run `spml-annotate studio create`")
        with closing(LinkStore(folder)) as links:
            found = [
                gain.report_gain(project.workspace, links, link, draws=draws, seed=seed)
                for link in links.links()
                if link.kind == MAIN
            ]
        if not found:
            raise DataError(f"{folder} is not tied to Label Studio yet; run `spml-annotate studio create`")
    if as_json:
        echo_json([gain.as_json(one) for one in found])
        return
    for one in found:
        _print(one)


def _print(gain: Gain) -> None:
    click.echo(f"Label Studio project {gain.project}")
    rows: list[tuple[str, str, str, str]] = [
        ("", "chosen", "random", "difference"),
        ("answers", f"{gain.chosen.answers}", f"{gain.random.answers}", ""),
        ("hours", f"{gain.chosen.hours:.2f}", f"{gain.random.hours:.2f}", ""),
        ("positives", f"{gain.chosen.positives}", f"{gain.random.positives}", ""),
        _row("positives per hour", gain.chosen, gain.random, "positives_per_hour", f"x {_text(gain.ratio, 2)}", 0),
        _row("surprise, nats per answer", gain.chosen, gain.random, "surprise", _text(gain.surprise, 2)),
        _row("surprise, nats per minute", gain.chosen, gain.random, "per_minute", _text(gain.per_minute, 2)),
    ]
    if gain.heads is not None:
        heads = gain.heads
        rows.append(("mAP of heads", _text(heads.chosen, 3), _text(heads.random, 3), _text(heads.difference, 3)))
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(4)]
    for name, *cells in rows:
        line = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        click.echo(f"{name:<{widths[0]}}{line}".rstrip())
    if gain.heads is not None:
        click.echo(
            f"heads: {gain.heads.answers} answers of each side, {gain.heads.draws} draws, "
            f"{gain.heads.sample} checked images"
        )
    else:
        click.echo(f"no heads compared: {gain.missing}")


def _row(
    name: str, chosen: ArmGain, random: ArmGain, field: str, difference: str, digits: int = 2
) -> tuple[str, str, str, str]:
    return name, _text(getattr(chosen, field), digits), _text(getattr(random, field), digits), difference


def _text(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
