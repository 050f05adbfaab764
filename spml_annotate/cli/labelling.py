"""``import-labels``, ``ask``, ``answer`` and ``undo``: how facts get into a project."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spml_annotate.cli.options import (
    echo_json,
    json_option,
    parse_assignments,
    seed_option,
    set_option,
    settings_for,
    verbosity,
)
from spml_annotate.cli.projects import annotator_option, counted, duration, open_project, parse_budget, project_option
from spml_annotate.cli.studio import reach, studio_options
from spml_annotate.errors import SettingError

if TYPE_CHECKING:
    from spml_annotate.project import Asking, Project
    from spml_annotate.project.importing import Missing
    from spml_annotate.studio.client import StudioClient

SHOWN = 10


@click.command("import-labels")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--annotator", default="import", show_default=True, help="Who gave the labels, where FILE does not say.")
@click.option(
    "--map-missing",
    "missing",
    type=click.Choice(["unknown", "negative"]),
    default="unknown",
    show_default=True,
    help="What a cell means of which FILE says nothing; negative only if FILE names every positive of its images.",
)
@click.option("--skip-unknown", is_flag=True, help="Leave out images that the project lacks instead of refusing FILE.")
@click.option("--splits", is_flag=True, help="Take the images' splits from FILE, too.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    help="How FILE is written; `spml-annotate formats`. [default: what it looks like]",
)
@click.option("--prefix", default="", metavar="NAME/", help="Put before every image name of FILE.")
@click.option(
    "--strip",
    default="",
    metavar="FOLDER",
    help="Take off the front of FILE's image names, such as C:\\data\\pictures.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="FORMAT.SETTING=VALUE",
    help="Set a setting of the reader, such as voc.difficult=positive. Repeatable.",
)
@project_option
@json_option
@verbosity
def import_labels(
    file: Path,
    annotator: str,
    missing: Missing,
    skip_unknown: bool,
    splits: bool,
    form: str | None,
    prefix: str,
    strip: str,
    assignments: tuple[str, ...],
    folder: Path,
    as_json: bool,
) -> None:
    """Add labels that exist already; the same FILE again changes nothing.

    FILE is a file or folder in any format that is read: CSV (one column per class, or image,label[,value][,split]),
    Open Images, COCO, Pascal VOC, Label Studio, Hugging Face, ... or an export of another project. Images are matched
    by their path relative to the folder that was added. Proposals in FILE are left out: they are nobody's answer.
    """
    from spml_annotate.formats.telling import tell_format

    kind = tell_format(file, form)
    _note_proposals(file, kind)
    settings = settings_for(kind, assignments, f"{file} is read")
    with open_project(folder) as project:
        done = project.import_labels(
            file,
            annotator=annotator,
            missing=missing,
            skip_unknown=skip_unknown,
            splits=splits,
            format=kind,
            prefix=prefix,
            strip=strip,
            settings=settings,
        )
    if as_json:
        echo_json(asdict(done))
        return
    click.echo(
        f"{counted(done.labels, 'label')} on {counted(done.images, 'image')} ({done.positives} yes, "
        f"{done.negatives} no): {done.new} new, "
        f"{done.labels - done.new} were there already"
    )
    if done.left_out:
        click.echo(f"{counted(done.left_out, 'label')} left out: their images are not in the project")
    if done.proposals:
        click.echo(f"{counted(done.proposals, 'proposal')} in the file left out: nobody's answer")
    if done.moved:
        click.echo(f"{counted(done.moved, 'image')} changed the split")


def _note_proposals(file: Path, kind: str) -> None:
    """An export of ours whose format could not say which labels are people's must not pass for answers unnoticed."""
    from spml_annotate.formats import FORMATS
    from spml_annotate.formats.losing import has_proposals, side_path

    if "provenance" not in FORMATS[kind].facts["can"] and has_proposals(side_path(file)):
        click.echo(
            f"note: {file} is an export, and {kind} does not say which of its labels are proposals: all of them become "
            "answers; to bring people's alone, export with --labels human",
            err=True,
        )


@click.command()
@click.option(
    "--strategy",
    default="expected-positives",
    show_default=True,
    metavar="NAME[:KIND]",
    help="How questions are chosen, and by which kind they are asked; see `spml-annotate strategies`.",
)
@click.option("--budget", default="1h", show_default=True, help="Time of a person to plan for: 1h, 30m or 600s.")
@click.option("--pick", is_flag=True, help="Ask for one positive on images about which nothing is known.")
@click.option(
    "--validation",
    type=click.IntRange(1),
    metavar="N",
    help="Draw random images until N are set aside, and ask for full checks of them; 200 are usual.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the questions to a CSV file, classes joined by | (one in a name is \\|).",
)
@click.option(
    "--to",
    "where",
    type=click.Choice(["terminal", "label-studio"]),
    default="terminal",
    show_default=True,
    help="Where people will answer. label-studio makes tasks there: one project for each kind of question.",
)
@click.option(
    "--hidden-share",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of pre-filled tasks in Label Studio that are shown blank; `report-bias` compares.",
)
@click.option(
    "--negatives",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    metavar="K",
    help="Proposed negatives to tick beside the one positive that --pick asks for in Label Studio.",
)
@studio_options
@annotator_option
@set_option
@seed_option
@project_option
@json_option
@verbosity
def ask(
    strategy: str,
    budget: str,
    pick: bool,
    validation: int | None,
    out: Path | None,
    where: str,
    hidden_share: float,
    negatives: int,
    url: str,
    token: str,
    annotator: str,
    assignments: tuple[str, ...],
    seed: int,
    folder: Path,
    as_json: bool,
) -> None:
    """Put questions: those that are open already, then new ones worth the next seconds.

    Answer them with `spml-annotate answer`, here or from a file; or, with --to label-studio, let people answer there
    and `spml-annotate serve` or `studio sync` bring the answers.
    """
    from spml_annotate.stores.atomic import check_target

    if pick and validation is not None:
        raise SettingError("--pick and --validation are different questions; ask for one of them at a time")
    settings = parse_assignments(assignments)
    if settings and (pick or validation is not None):
        raise SettingError(f"--set {min(settings)}...: only questions of a --strategy have settings; leave it out")
    if out is not None:
        check_target(out)  # before questions are put
    seconds = parse_budget(budget)
    client = reach(url, token)[1] if where != "terminal" else None  # before questions are put that nobody can see
    with open_project(folder) as project:
        if validation is not None:
            asking = project.ask_validation(validation, annotator=annotator, seed=seed)
        elif pick:
            asking = project.ask_picks(budget=seconds, annotator=annotator, seed=seed)
        else:
            asking = project.ask(strategy, budget=seconds, annotator=annotator, settings=settings, seed=seed)
        tasks = {} if client is None else _to_label_studio(project, asking, client, hidden_share, negatives)
        lines = _questions(project, asking)
        if out is not None:
            _write_questions(out, lines)
    if as_json:
        facts = {"again": len(asking.again), "new": len(asking.new), "seconds": asking.seconds, "open": asking.open}
        echo_json({**facts, "drawn": asking.drawn, "questions": lines, **({"tasks": tasks} if tasks else {})})
        return
    _show(asking, lines, out, tasks)


def _to_label_studio(
    project: Project, asking: Asking, client: StudioClient, hidden_share: float, negatives: int
) -> dict[str, Any]:
    from contextlib import closing

    from spml_annotate.loop.asking import ask_label_studio
    from spml_annotate.loop.links import LinkStore

    with client, closing(LinkStore(project.workspace.root)) as links:
        return ask_label_studio(project, links, client, asking, hidden_share=hidden_share, negatives=negatives)


def _show(asking: Asking, lines: list[dict[str, Any]], out: Path | None, tasks: dict[str, Any]) -> None:
    if asking.drawn:
        click.echo(f"{counted(asking.drawn, 'random image')} set aside as the checked sample, never trained on")
    again = f" ({len(asking.again)} of them were open already)" if asking.again else ""
    click.echo(f"{counted(len(lines), 'question')}{again}, about {duration(asking.seconds)} of a person's time")
    for line in lines[:SHOWN]:
        labels = line["labels"]
        some = ", ".join(labels[:6]) + (f", ... ({len(labels)} classes)" if len(labels) > 6 else "")
        click.echo(f"  {line['question']}  {line['kind']:<7} {line['image']}: {some}")
    if len(lines) > SHOWN:
        click.echo(f"  ... and {len(lines) - SHOWN} more" + ("" if out else " (--out FILE writes all)"))
    if out is not None:
        click.echo(f"questions written to {out}")
    for kind, done in tasks.items():
        extras = [f"{done['known']} were there already"] if done["known"] else []
        extras += [f"{done['hidden']} shown blank"] if done["hidden"] else []
        extras += [f"{done['negatives']} with proposed negatives"] if done.get("negatives") else []
        click.echo(
            f"{kind}: {counted(done['new'], 'new task')} at {done['url']}"
            + (f" ({', '.join(extras)})" if extras else "")
        )
    if lines and not asking.new:
        click.echo("nothing new was asked: what is open comes first; answer that, or ask for more")
    if lines:
        there = "next: label them there; `serve` brings the answers while it runs, `studio sync` does it now"
        click.echo(there if tasks else "next: spml-annotate answer")
    else:
        click.echo("nothing to ask: all cells are known, open or not to be asked, or one question exceeds the budget")


def _questions(project: Project, asking: Asking) -> list[dict[str, Any]]:
    names, ids, paths = project.taxonomy.names, project.image_ids, project.workspace.image_paths()
    return [
        {
            "question": question.query.id,
            "image": ids[question.query.row],
            "path": str(paths[question.query.row]),
            "kind": question.query.kind,
            "labels": [names[label] for label in question.remaining],
            "ticked": [names[label] for label in question.query.shown if label in question.remaining],
            "seconds": question.query.seconds,
        }
        for question in (*asking.again, *asking.new)
    ]


def _write_questions(path: Path, lines: list[dict[str, Any]]) -> None:
    from spml_annotate.formats.text import csv_line
    from spml_annotate.stores.atomic import write_atomically

    columns = ("question", "image", "path", "kind", "labels", "ticked", "seconds")
    content = [csv_line(columns)]
    for line in lines:
        values = (line[name] for name in columns)
        content.append(csv_line("|".join(map(_one_of_many, v)) if isinstance(v, list) else str(v) for v in values))
    write_atomically(path, lambda file: file.writelines(content))


def _one_of_many(name: str) -> str:
    """A class name as it stands among others: what would end it gets a backslash."""
    return name.replace("\\", "\\\\").replace("|", "\\|")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1), help="Stop after so many questions (in the terminal).")
@annotator_option
@project_option
@json_option
@verbosity
def answer(file: Path | None, limit: int | None, annotator: str, folder: Path, as_json: bool) -> None:
    """Answer the open questions in the terminal, or read answers from FILE.

    FILE is a CSV with the columns question,label,answer or image,label,answer (and seconds, if measured), or JSON lines
    with the same names. Answers are yes, no, unsure or skip; an empty label answers all classes that no other line
    names. Every answer is stored at once, and the same FILE again changes nothing.
    """
    with open_project(folder) as project:
        if file is None:
            from spml_annotate.cli.terminal import Session

            answered, stored = Session(project.workspace, annotator).run(limit)
            done: dict[str, Any] = {"questions": answered, "answers": stored, "open": len(project.open_questions())}
        else:
            done = {**asdict(project.answer(file, annotator=annotator)), "open": len(project.open_questions())}
    if as_json:
        echo_json(done)
        return
    already = done["answers"] - done.get("new", done["answers"])
    known = f" ({already} were there already)" if already else ""
    click.echo(
        f"{counted(done['questions'], 'question')}, {counted(done['answers'], 'answer')} stored{known}; "
        f"{counted(done['open'], 'question')} {'is' if done['open'] == 1 else 'are'} open"
    )


@click.command()
@click.option("--question", metavar="ID", help="Id of the question. [default: the one answered last]")
@project_option
@json_option
@verbosity
def undo(question: str | None, folder: Path, as_json: bool) -> None:
    """Take back the answers to a question; it is open again, and nothing is deleted from the log."""
    with open_project(folder) as project:
        done = project.undo(question)
    if as_json:
        echo_json(asdict(done))
        return
    said = ", ".join(f"{label}: {text}" for label, text in done.answers[:SHOWN])
    more = f", ... ({len(done.answers)} in all)" if len(done.answers) > SHOWN else ""
    click.echo(f"took back {done.kind or 'answers'} {done.question} on {done.image}: {said}{more}")
