"""``estimate-k``: how many positives an image has, and how common each class is."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from spml_annotate.cli.options import device_option, echo_json, json_option, seed_option, threads_option, verbosity
from spml_annotate.cli.projects import open_project, project_option

if TYPE_CHECKING:
    from spml_annotate.project.estimating import Estimated, Source

INDENT = " " * 4


@click.command("estimate-k")
@click.option("--expected-positives", type=float, metavar="K", help="A number that you know, beside the estimates.")
@click.option(
    "--held-out",
    is_flag=True,
    help="Also estimate from scores of images not trained on; trains five heads like the current model.",
)
@click.option(
    "--save",
    metavar="SOURCE|NUMBER",
    help="Make a source (validation, crisp, crisp-held-out, given) or a number the k that train, propose, ask and the "
    "server use from now on; automatic: the checked sample, else what is known.",
)
@click.option("--classes", is_flag=True, help="Also list the class priors of every source.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Write the class priors of every source to a CSV file.",
)
@seed_option
@device_option
@threads_option
@project_option
@json_option
@verbosity
def estimate_k(
    expected_positives: float | None,
    held_out: bool,
    save: str | None,
    classes: bool,
    out: Path | None,
    seed: int,
    device: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Estimate k, the positives per image, and the class priors, from every source; say what the project uses.

    Sources: the checked sample (`ask --validation`), with its 95 % interval; CRISP, from the current model's scores and
    the known positives, which needs no checked image but is rough; a number of yours. A k given to `train` goes before
    the saved one, that before the checked sample, and that before the default, which is 1.5 or what is known already.
    """
    from spml_annotate.stores.atomic import check_target

    if out is not None:
        check_target(out)  # before anything is saved
    with open_project(folder) as project:
        found = project.estimate_expected_positives(
            expected_positives=expected_positives, held_out=held_out, save=save, seed=seed, device=device
        )
    if out is not None:
        _write(found, out)
    if as_json:
        echo_json(_facts(found))
        return
    _show(found)
    if classes:
        _show_classes(found)
    if out is not None:
        click.echo(f"class priors written to {out}")


def _facts(found: Estimated) -> dict[str, Any]:
    return {
        "used": {"expected_positives": found.used.expected_positives, "from": found.used.source, "saved": found.saved},
        "sources": [_source(source) for source in found.sources],
        "classes": [
            {"class": name, "used": float(found.used.priors[label]), **_of_class(found, label)}
            for label, name in enumerate(found.classes)
        ],
    }


def _source(source: Source) -> dict[str, Any]:
    said = source.estimate
    if said is None:
        return {"source": source.name, "expected_positives": None, "note": source.note}
    return {
        "source": source.name,
        "expected_positives": said.expected_positives,
        "low": said.low,
        "high": said.high,
        "if_unknown_are_no": said.if_no,
        "if_unknown_are_yes": said.if_yes,
        "images": said.images,
        "unseen_classes": said.unseen,
        "note": source.note,
    }


def _of_class(found: Estimated, label: int) -> dict[str, dict[str, float]]:
    return {
        source.name: {
            "prior": float(source.estimate.priors[label]),
            "low": float(source.estimate.prior_low[label]),
            "high": float(source.estimate.prior_high[label]),
        }
        for source in found.sources
        if source.estimate is not None
    }


def _show(found: Estimated) -> None:
    click.echo(f"{'source':<15} {'k':>6}  {'95 % interval':<16} {'images':>6}")
    for source in found.sources:
        said = source.estimate
        if said is None:
            click.echo(f"{source.name:<15} {'-':>6}  {source.note}")
            continue
        images = str(said.images) if said.images else "-"
        interval = _interval(said.low, said.high, 2)
        click.echo(f"{source.name:<15} {said.expected_positives:>6.2f}  {interval:<16} {images:>6}")
        for remark in (source.note, *_remarks(source)):
            click.echo(fill(remark, 100, initial_indent=INDENT, subsequent_indent=INDENT))
    verb = "saved" if found.saved else "used now"
    click.echo(f"{verb}: k = {found.used.expected_positives:.2f} ({found.used.source})")


def _remarks(source: Source) -> list[str]:
    said = source.estimate
    remarks: list[str] = []
    if said is None:
        return remarks
    if source.name == "validation" and said.if_yes > said.if_no:
        remarks.append(
            f"unknown cells count like the rest of their class; k is {said.if_no:.2f} if all are no, "
            f"{said.if_yes:.2f} if all are yes"
        )
    if said.unseen:
        lacking = "an answer there" if source.name == "validation" else "a known positive or a score"
        remarks.append(f"{said.unseen} classes without {lacking} count as 0")
    return remarks


def _interval(low: float, high: float, digits: int) -> str:
    return "-" if low != low else f"{low:.{digits}f} to {high:.{digits}f}"


def _show_classes(found: Estimated) -> None:
    sources = [source for source in found.sources if source.estimate is not None]
    width = max(len(name) for name in found.classes)
    click.echo(f"{'class':<{width}}  {'used':>6}  " + "  ".join(f"{source.name:<24}" for source in sources))
    for label, name in enumerate(found.classes):
        cells = []
        for source in sources:
            assert source.estimate is not None  # those without one were left out
            said = source.estimate
            interval = _interval(said.prior_low[label], said.prior_high[label], 3)
            shown = f"{said.priors[label]:.3f}" + ("" if interval == "-" else f" ({interval})")
            cells.append(f"{shown:<24}")
        click.echo(f"{name:<{width}}  {found.used.priors[label]:>6.3f}  " + "  ".join(cells).rstrip())


def _write(found: Estimated, path: Path) -> None:
    from spml_annotate.formats.text import csv_line
    from spml_annotate.stores.atomic import write_atomically

    sources = [source for source in found.sources if source.estimate is not None]
    header = ["class", "used", *(f"{source.name}{part}" for source in sources for part in ("", "_low", "_high"))]

    def lines() -> list[bytes]:
        rows = []
        for label, name in enumerate(found.classes):
            cells = [f"{found.used.priors[label]:.6g}"]
            for said in _of_class(found, label).values():
                cells += ["" if value != value else f"{value:.6g}" for value in said.values()]
            rows.append(csv_line((name, *cells)))
        return rows

    write_atomically(path, lambda file: file.writelines([csv_line(header), *lines()]))
