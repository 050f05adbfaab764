"""``studio``: tie a project to Label Studio, keep both in step, find out what is wrong, and a demonstration."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spml_annotate.cli.options import echo_json, json_option, verbosity
from spml_annotate.cli.projects import counted, open_project, project_option
from spml_annotate.errors import SettingError

if TYPE_CHECKING:
    from spml_annotate.loop.creating import Where
    from spml_annotate.loop.links import Link, LinkStore
    from spml_annotate.loop.pulling import Pulled
    from spml_annotate.studio.client import StudioClient
    from spml_annotate.studio.environment import StudioSettings

C = TypeVar("C", bound=Callable[..., Any])


def studio_options(function: C) -> C:
    """Add where Label Studio is and who we are there."""
    url = click.option(
        "--url",
        default="",
        metavar="URL",
        help="Address of Label Studio. [default: LABEL_STUDIO_URL]",
    )
    token = click.option(
        "--token",
        default="",
        metavar="TOKEN",
        help="Access token, legacy or personal; better in LABEL_STUDIO_API_KEY, where other users do not see it. "
        "[default: LABEL_STUDIO_API_KEY]",
    )
    return url(token(function))


def reach(url: str, token: str) -> tuple[StudioSettings, StudioClient]:
    """Settings from the environment and the options, and a client that speaks with Label Studio.

    Raises:
        SettingError: if the address or the token is missing.
    """
    from spml_annotate.studio.client import StudioClient
    from spml_annotate.studio.environment import settings_from
    from spml_annotate.studio.transport import studio_address

    settings = settings_from(url=studio_address(url) if url else None, token=token or None)
    if not settings.url:
        raise SettingError("no address of Label Studio; give --url URL or set LABEL_STUDIO_URL")
    if not settings.token:
        raise SettingError(
            "no token; make one in Label Studio (Account & Settings > Personal Access Token) and set "
            "LABEL_STUDIO_API_KEY to it"
        )
    return settings, StudioClient(settings.url, settings.token)


def main_link(links: LinkStore, client: StudioClient) -> Link:
    """The link to the Label Studio project whose stream asks for positives."""
    from spml_annotate.loop.creating import find_main

    link = find_main(links, client)
    if link is None:
        raise SettingError(f"this project is not tied to {client.url} yet; run `spml-annotate studio create` first")
    return link


@click.group()
def studio() -> None:
    """Label with Label Studio: set it up, keep both in step, find out what is wrong."""


@studio.command()
@click.option("--title", default="", help="Title of the Label Studio project. [default: the name of this project]")
@click.option(
    "--images",
    type=click.Choice(["upload", "local", "urls"]),
    default="upload",
    show_default=True,
    help="How Label Studio gets the pictures: copied there, read from a folder it can see, or from a web server.",
)
@click.option(
    "--files-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --images local: Label Studio's LOCAL_FILES_DOCUMENT_ROOT, as this machine sees it.",
)
@click.option(
    "--files-root-there",
    default="",
    metavar="DIR",
    help="With --images local: the same folder as Label Studio sees it, if that differs (Docker).",
)
@click.option("--base-url", default="", metavar="URL", help="With --images urls: what the images' ids are appended to.")
@click.option(
    "--backend",
    default="http://127.0.0.1:9090",
    show_default=True,
    metavar="URL",
    help="Address of `spml-annotate serve` as Label Studio reaches it.",
)
@click.option("--no-backend", is_flag=True, help="Connect no backend now; run the command again to do it later.")
@studio_options
@project_option
@json_option
@verbosity
def create(
    title: str,
    images: Where,
    files_root: Path | None,
    files_root_there: str,
    base_url: str,
    backend: str,
    no_backend: bool,
    url: str,
    token: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Make the Label Studio project: config, images, order, backend, webhook.

    Run it again after a failure, or when images, classes or the backend have changed: nothing is made twice.
    """
    from spml_annotate.loop.creating import Plan, create_studio_project
    from spml_annotate.loop.links import LinkStore

    settings, client = reach(url, token)
    plan = Plan(
        title=title,
        images=images,
        files_root=files_root,
        files_root_there=files_root_there,
        base_url=base_url,
        backend="" if no_backend else backend,
        basic=settings.basic,
    )

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    with client, open_project(folder) as project, closing(LinkStore(folder)) as links:
        done = create_studio_project(project, links, client, plan, say=say)
    if as_json:
        facts = {"project": done.link.project, "url": done.url, "new": done.new, "tasks": done.tasks}
        echo_json({**facts, "new_tasks": done.new_tasks, "version": done.link.version, "notes": list(done.notes)})
        return
    for note in done.notes:
        click.echo(f"note: {note}")
    if no_backend:
        click.echo("next: spml-annotate serve, then `studio create` again to connect it")
    else:
        click.echo(f"next: open {done.url} and click 'Label All Tasks'; `studio doctor` checks every link of the chain")


@studio.command()
@click.option("--watch", type=click.FloatRange(1.0), metavar="SECONDS", help="Go on, looking again every SECONDS.")
@studio_options
@project_option
@json_option
@verbosity
def sync(watch: float | None, url: str, token: str, folder: Path, as_json: bool) -> None:
    """Take over what annotators did: answers, corrections, deletions, new images and classes.

    The backend does this by itself while it runs; the command is for working without it.
    """
    from spml_annotate.loop import pulling
    from spml_annotate.loop.links import LinkStore
    from spml_annotate.studio.fetch import ImageFetcher

    settings, client = reach(url, token)
    fetcher = ImageFetcher(settings, client)
    with client, open_project(folder) as project, closing(LinkStore(folder)) as links:
        main_link(links, client)
        while True:
            done = pulling.sync(project, links, client, fetcher)
            if as_json:
                echo_json({name: asdict(pulled) for name, pulled in done.items()})
            else:
                _show_pulled(done)
            if watch is None:
                return
            time.sleep(watch)


def _show_pulled(done: dict[str, Pulled]) -> None:
    for name, pulled in done.items():
        click.echo(
            f"{name}: {counted(pulled.tasks, 'task')} looked at, {counted(pulled.acts, 'annotation')} changed, "
            f"{counted(pulled.answers, 'answer')} stored, {counted(pulled.new_images, 'new image')}"
            + (f", {pulled.waiting} wait" if pulled.waiting else "")
        )
        for task, reason in pulled.broken[:5]:
            click.echo(f"  task {task}: {reason}")
        if len(pulled.broken) > 5:
            click.echo(f"  ... and {len(pulled.broken) - 5} more")


@studio.command()
@click.option("--again", is_flag=True, help="Replace all predictions of the version in use, not only missing ones.")
@studio_options
@project_option
@json_option
@verbosity
def push(again: bool, url: str, token: str, folder: Path, as_json: bool) -> None:
    """Give Label Studio the current model's proposals and the order of the tasks, now and in bulk.

    The backend does this by itself after every training. It is many times faster than "Retrieve Predictions" there.
    """
    from spml_annotate.loop.links import LinkStore
    from spml_annotate.loop.round import run_round
    from spml_annotate.studio.fetch import ImageFetcher

    settings, client = reach(url, token)
    fetcher = ImageFetcher(settings, client)

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    open_project(folder).close()  # says what is wrong before anything is written
    with client, closing(LinkStore(folder)) as links:
        link = main_link(links, client)
        done = run_round(folder, link.id, client, fetcher, settings, train=False, say=say)
        sent = done.pushed.sent + (_replace(folder, links, link.id, client, settings) if again else 0)
    if as_json:
        echo_json({"version": done.version, "tasks": done.pushed.tasks, "sent": sent, "note": done.note})
        return
    click.echo(
        f"version {done.version}: {counted(sent, 'prediction')} sent, {counted(done.pushed.tasks, 'task')} in order"
    )


def _replace(folder: Path, links: LinkStore, link: int, client: StudioClient, settings: StudioSettings) -> int:
    from spml_annotate.loop import pushing

    with open_project(folder) as project:
        pushed = pushing.push(project, links, links.get(link), client, settings, again=True)
    pushing.publish(links, links.get(link), client, settings)
    return pushed.sent


@studio.command()
@click.option(
    "--backend",
    default="",
    metavar="URL",
    help="Address of the backend as this machine reaches it. [default: the one that Label Studio has]",
)
@studio_options
@project_option
@json_option
@verbosity
def doctor(backend: str, url: str, token: str, folder: Path, as_json: bool) -> None:
    """Check the chain from annotator to model, link by link, each with its remedy; exits 1 if one is broken."""
    from spml_annotate.loop.doctor import Case, examine
    from spml_annotate.loop.links import LinkStore

    settings, client = reach(url, token)
    with client, open_project(folder) as project, closing(LinkStore(folder)) as links:
        checks = examine(Case(project, links, settings, client, backend))
    if as_json:
        echo_json([check._asdict() for check in checks])
    else:
        for check in checks:
            remedy = f" -> {check.remedy}" if check.level != "ok" and check.remedy else ""
            click.echo(f"{check.level:<5} {check.name:<13} {check.found}{remedy}")
    if any(check.level == "fail" for check in checks):
        raise click.exceptions.Exit(1)


@studio.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of Label Studio. [default: a free one]")
@click.option("--backend-port", type=click.IntRange(1, 65535), help="Port of the backend. [default: a free one]")
@click.option("--images", type=click.IntRange(1, 5000), default=60, show_default=True, help="Pictures to draw.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep everything in DIR; the same DIR again goes on where it was left. [default: a temporary folder]",
)
@json_option
@verbosity
def demo(port: int | None, backend_port: int | None, images: int, keep: Path | None, as_json: bool) -> None:
    """Start a real Label Studio and the backend on built-in pictures, say where to click, and stay until Ctrl+C.

    Needs Label Studio: pip install 'spml-annotate[label-studio]'. With --json, prints one line when all is ready.
    """
    import json

    from spml_annotate.loop.demo import Demo, instructions, interrupt_on_terminate

    interrupt_on_terminate()

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    try:
        with Demo(keep, images=images, port=port, backend_port=backend_port, say=say) as running:
            click.echo(json.dumps(running.facts._asdict()) if as_json else instructions(running.facts, _program()))
            running.watch()
    except KeyboardInterrupt:
        click.echo("stopped both servers" + (f"; everything is kept in {keep}" if keep else ""), err=True)


def _program() -> str:
    """How a second terminal starts this program, in which no virtual environment need be active."""
    if shutil.which("spml-annotate"):
        return "spml-annotate"
    beside = Path(sys.executable).with_name("spml-annotate")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m spml_annotate"
