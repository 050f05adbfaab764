"""``cost`` and ``report-bias``: what answers cost, and whether proposals change them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spml_annotate.cli.options import echo_json, json_option, seed_option, verbosity
from spml_annotate.cli.projects import counted, open_project, project_option, share

if TYPE_CHECKING:
    from spml_annotate.loop.comparing import Compared
    from spml_annotate.project.costing import FittedCosts


@click.group()
def cost() -> None:
    """Show what questions cost in seconds, or fit it to the times that people really took."""


@cost.command("show")
@project_option
@json_option
@verbosity
def show(folder: Path, as_json: bool) -> None:
    """List the prices of this project, where they come from, and the times in its log."""
    from spml_annotate.acquire import PRICES
    from spml_annotate.project.measuring import measured_acts

    with open_project(folder) as project:
        settings = project.workspace.settings
        measured = measured_acts(project.workspace)
        lines = [
            {
                "price": name,
                "seconds": getattr(settings.prices, name),
                "from": "spml.toml" if name in settings.seconds else "published default",
                "low": price.low,
                "high": price.high,
                "pays": price.pays,
                "acts": sum(name in act.uses for act in measured.acts),
            }
            for name, price in PRICES.items()
        ]
    if as_json:
        echo_json({"prices": lines, "acts": len(measured.acts), "left_out": dict(measured.left_out)})
        return
    for line in lines:
        rests = f"{line['from']}, {line['acts']} acts in the log paid it"
        click.echo(f"{line['price']:<8} {line['seconds']:>6.3g} s  {line['pays']} ({rests})")
    click.echo(_counted(len(measured.acts), measured.left_out))
    click.echo("next: spml-annotate cost fit" if measured.acts else "next: spml-annotate ask, and answer")


@cost.command("fit")
@click.option(
    "--apply/--dry-run", "apply", default=True, show_default=True, help="Use the result from now on, or only show it."
)
@click.option("--per-annotator", is_flag=True, help="Also list the prices of every annotator with 50 answers.")
@click.option(
    "--min-answers",
    type=click.IntRange(2),
    default=30,
    show_default=True,
    help="Answers that must have paid a price before it is fitted; others stay as they are.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the prices to a TOML file, for `simulate --costs`.",
)
@seed_option
@project_option
@json_option
@verbosity
def fit(
    apply: bool, per_annotator: bool, min_answers: int, out: Path | None, seed: int, folder: Path, as_json: bool
) -> None:
    """Fit seconds per action to the times in the log; `ask` plans with them from then on.

    Idle gaps and slips are cut, what was skipped or changed afterwards is left out. Intervals (95 %) come from a
    bootstrap over these annotators' answers. Fit again when some hundred answers have come since.
    """
    from spml_annotate.project.costing import fit_costs

    with open_project(folder) as project:
        costs = fit_costs(project.workspace, least=min_answers, seed=seed, apply=apply, out=out)
    if as_json:
        echo_json(_facts(costs))
        return
    _show_fit(costs, per_annotator)
    if out is not None:
        click.echo(f"prices written to {out}; simulate with --costs {out}")


def _facts(costs: FittedCosts) -> dict[str, Any]:
    fitted = costs.fit
    return {
        "applied": costs.applied,
        "acts": fitted.acts,
        "cut": fitted.cut,
        "left_out": dict(costs.measured.left_out),
        "seconds": asdict(costs.prices),
        "before": asdict(costs.before),
        "prices": [{**asdict(price), "fitted": price.fitted} for price in fitted.prices],
        "annotators": [
            {**asdict(pace), "seconds": {name: value * pace.factor for name, value in fitted.seconds.items()}}
            for pace in fitted.paces
        ],
        "kinds": [asdict(kind) for kind in fitted.kinds],
        "warnings": list(costs.warnings),
    }


def _show_fit(costs: FittedCosts, per_annotator: bool) -> None:
    fitted = costs.fit
    for price in fitted.prices:
        before, now = getattr(costs.before, price.name), getattr(costs.prices, price.name)
        if price.fitted:
            text = f"95 %: {price.low:.3g} to {price.high:.3g}; {counted(price.acts, 'answer')}; {before:.3g} before"
        else:
            text = f"stays: {price.note}"
        click.echo(f"{price.name:<8} {now:>6.3g} s  {text}")
    for kind in fitted.kinds:
        cut = f", {kind.cut} cut as idle or slips" if kind.cut else ""
        click.echo(f"{kind.kind:<8} {counted(kind.acts, 'answer')}, median {kind.median:.3g} s{cut}")
    for pace in fitted.paces:
        click.echo(f"{pace.annotator}: {pace.factor:.2f} times these seconds ({pace.low:.2f} to {pace.high:.2f})")
        if per_annotator:
            own = ", ".join(f"{name} {value * pace.factor:.3g}" for name, value in fitted.seconds.items())
            click.echo(f"  {own}")
    if per_annotator and not fitted.paces:
        click.echo("no two annotators with 50 answers each: nobody's pace is told apart")
    click.echo(_counted(fitted.acts, costs.measured.left_out))
    for warning in costs.warnings:
        click.echo(f"note: {warning}")
    click.echo("used from now on" if costs.applied else "nothing was changed")


def _counted(acts: int, left_out: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    return counted(acts, "measured answer") + (f"; left out: {reasons}" if reasons else "")


@click.command("report-bias")
@project_option
@json_option
@verbosity
def report_bias(folder: Path, as_json: bool) -> None:
    """Say whether proposals change what people answer: answers with the proposal shown against hidden ones."""
    from spml_annotate.loop.bias import report_bias as report
    from spml_annotate.loop.links import FILE, LinkStore

    with open_project(folder) as project, ExitStack() as opened:
        links = opened.enter_context(closing(LinkStore(folder))) if (folder / FILE).exists() else None
        found = report(project.workspace, links)
    if as_json:
        echo_json(asdict(found))
        return
    for title, lines in (
        ("by kind of question", found.kinds),
        ("by annotator", found.annotators),
        ("classes that showing adds to most", found.classes),
    ):
        if lines:
            click.echo(f"{title}:")
        for line in lines:
            click.echo(_compared(line))
    for conclusion in found.conclusions:
        click.echo(conclusion)


def _compared(line: Compared) -> str:
    parts = [f"{line.shown} shown, {line.hidden} hidden; accepted {share(line.accepted_shown)}"]
    parts.append(f"against {share(line.accepted_hidden)}")
    if line.difference is not None and line.low is not None and line.high is not None:
        parts.append(f"({line.difference:+.3f}, 95 %: {line.low:+.3f} to {line.high:+.3f})")
    if line.seconds_shown is not None:
        hidden = "-" if line.seconds_hidden is None else f"{line.seconds_hidden:.1f} s"
        parts.append(f"in {line.seconds_shown:.1f} s against {hidden}")
    if line.untouched is not None:
        parts.append(f"; {100 * line.untouched:.0f} % of the shown ones submitted untouched")
    return f"  {line.kind} {line.name}".rstrip() + ": " + " ".join(parts).replace(" ;", ";")
