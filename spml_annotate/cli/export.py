"""``export`` and ``formats``: the labelled data set, in the format that whoever trains on it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spml_annotate.cli.options import echo_json, json_option, settings_for, verbosity
from spml_annotate.cli.projects import counted, open_project, project_option

if TYPE_CHECKING:
    from spml_annotate.project import Project
    from spml_annotate.project.exporting import ClassCount, Exported, Images, Labels, Unknown
    from spml_annotate.project.exporting.quality import Share

SHOWN = 5
"""Classes that are named before the rest is only counted."""


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    metavar="NAME",
    help="How to write it; `spml-annotate formats` lists them. [default: what the ending of OUT tells; .csv is "
    "open-images, without an ending parquet]",
)
@click.option(
    "--labels",
    type=click.Choice(["human", "all"]),
    help="People's labels only, or what `propose` kept, too. [default: all if there are proposals]",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Leave out proposals that are less sure (belief of expected positives, 1 - belief of expected negatives).",
)
@click.option(
    "--min-precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Propose anew with this wanted precision of expected positives; it needs a checked sample.",
)
@click.option(
    "--soft",
    is_flag=True,
    help="Give cells that nobody answered their probability: that of the proposal, else the model's.",
)
@click.option(
    "--unknown",
    type=click.Choice(["keep", "negative", "drop-images"]),
    default="keep",
    show_default=True,
    help="Leave unknown cells unknown, call them negative (wrong for many), or leave out images that have any.",
)
@click.option(
    "--splits",
    default="train,validation,test",
    show_default=True,
    metavar="A,B",
    help="Splits to write, separated by commas.",
)
@click.option(
    "--images",
    type=click.Choice(["none", "copy", "link"]),
    help="For formats that hold pictures: none, copies, or hard links where the file system can. [default: copy]",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="FORMAT.SETTING=VALUE",
    help="Set a setting of the writer, such as webdataset.shard_images=5000. Repeatable.",
)
@click.option("--licence", default="", metavar="TEXT", help="Licence of the data set, for its card.")
@click.option("--names", is_flag=True, help="Name annotators in the data card; without it they are numbered.")
@project_option
@json_option
@verbosity
def export(
    out: Path,
    form: str | None,
    labels: Labels | None,
    min_confidence: float | None,
    min_precision: float | None,
    soft: bool,
    unknown: Unknown,
    splits: str,
    images: Images | None,
    assignments: tuple[str, ...],
    licence: str,
    names: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Write the labelled data set to OUT, with a data card and counts per class beside it.

    What the format cannot hold is said, and written to OUT.lost.csv. An interrupted export leaves what was there.
    """
    from spml_annotate.project.exporting.choices import format_of

    kind = format_of(out, form)
    settings = settings_for(kind, assignments, f"{out} is written")
    with open_project(folder) as project:
        done = project.export(
            out,
            format=kind,
            labels=labels,
            min_confidence=min_confidence,
            min_precision=min_precision,
            soft=soft,
            unknown=unknown,
            splits=splits,
            images=images,
            licence=licence,
            names=names,
            notes=_bias(project, folder),
            settings=settings,
        )
    if as_json:
        echo_json(asdict(done))
        return
    for line in (*_outline(done), *_per_class(done), *_precision(done), *_remarks(done)):
        click.echo(line)


def _bias(project: Project, folder: Path) -> tuple[str, ...]:
    """What `report-bias` concludes; nothing where Label Studio was never used."""
    from spml_annotate.loop.bias import report_bias
    from spml_annotate.loop.links import FILE, LinkStore

    if not (folder / FILE).exists():
        return ()
    with closing(LinkStore(folder)) as links:
        return report_bias(project.workspace, links).conclusions


def _outline(done: Exported) -> Iterator[str]:
    strange = any(count.model_positive or count.model_negative or count.assumed_negative for count in done.classes)
    others = "labels that nobody gave" if strange else "proposals"
    yield (
        f"{counted(done.images, 'image')} with {counted(done.human, 'label')} of people and {done.proposals} {others} "
        f"in {done.path} ({done.format})"
    )
    for why, count in done.left_out.items():
        yield f"{counted(count, 'image')} left out: {why}"


def _per_class(done: Exported) -> Iterator[str]:
    def added(name: str) -> int:
        return sum(getattr(count, name) for count in done.classes)

    parts = [
        f"people {added('human_positive')} yes, {added('human_negative')} no",
        f"proposed {added('proposed_positive')} yes, {added('proposed_negative')} no",
    ]
    if model := added("model_positive") + added("model_negative"):
        parts.append(f"model's probability {model}")
    if assumed := added("assumed_negative"):
        parts.append(f"assumed no {assumed}")
    yield f"cells: {'; '.join(parts)}; unknown {added('unknown')}"
    yield from _lacking("no positive", [count for count in done.classes if not count.positive], len(done.classes))
    yield from _lacking("no negative", [count for count in done.classes if not count.negative], len(done.classes))
    yield f"per class in {done.report}, data card in {done.card}"


def _lacking(what: str, counts: list[ClassCount], classes: int) -> Iterator[str]:
    if counts:
        names = ", ".join(count.name for count in counts[:SHOWN]) + (", ..." if len(counts) > SHOWN else "")
        yield f"{len(counts)} of {counted(classes, 'class')} {'has' if len(counts) == 1 else 'have'} {what}: {names}"


def _precision(done: Exported) -> Iterator[str]:
    if done.quality is None:
        if done.proposals:
            yield "how right proposals are is not known, too few images are checked: spml-annotate ask --validation 200"
        return
    found = done.quality.overall
    yield f"expected positives: precision {_share(found.positive_precision)}, recall {_share(found.positive_recall)}"
    yield f"expected negatives: precision {_share(found.negative_precision)}, recall {_share(found.negative_recall)}"
    yield f"estimated on {counted(done.quality.images, 'checked image')}, thresholds {done.quality.basis}"


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "-"
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def _remarks(done: Exported) -> Iterator[str]:
    if done.lost:
        yield f"{done.format} does not hold: {'; '.join(done.lost)}"
        yield f"all of it is in {done.side}"
    if done.unproposed:
        yield f"nothing was proposed with model {done.unproposed} yet: spml-annotate propose, then export again"
    if done.disagreements:
        yield f"listed in {done.conflicts}: {counted(done.disagreements, 'cell')} on which annotators disagree"


@click.command()
@json_option
def formats(as_json: bool) -> None:
    """List the formats: what is read and written, and what each can hold."""
    from spml_annotate.formats import CAPABILITIES, FORMATS

    found = [
        {
            "name": name,
            "reads": bool(FORMATS[name].facts["loads"]),
            "writes": FORMATS[name].facts["saves"] is not None,
            "folder": FORMATS[name].facts["is_folder"],
            "suffixes": list(FORMATS[name].facts["suffixes"]),
            "holds": [capability for capability in CAPABILITIES if capability in FORMATS[name].facts["can"]],
            "notes": FORMATS[name].facts["notes"],
        }
        for name in FORMATS
    ]
    if as_json:
        echo_json(found)
        return
    width = max(len(str(entry["name"])) for entry in found)
    for entry in found:
        does = " and ".join(what for what, can in (("read", entry["reads"]), ("written", entry["writes"])) if can)
        click.echo(f"{entry['name']!s:<{width}}  {does}; holds {', '.join(entry['holds'])}")
        click.echo(f"{'':<{width}}  {entry['notes']}")
    click.echo("\nWhat they hold:\n")
    for name, words in CAPABILITIES.items():
        click.echo(f"  {name:<12}{words}")
