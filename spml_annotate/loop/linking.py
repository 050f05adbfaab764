"""Ties a project to Label Studio projects, and follows what becomes of them: their config and its classes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.loop.links import MAIN, Link, LinkStore
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.transport import studio_address
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace import SETTINGS, Workspace
from spml_annotate.workspace.settings import load_settings

logger = logging.getLogger(__name__)


class Followed(NamedTuple):
    """A Label Studio project as it is now.

    ``tasks`` and ``annotated`` are its own counts of tasks and of tasks with an annotation; ``waiting`` says that
    classes could not be added because another process is writing.
    """

    link: Link
    config: LabellingConfig
    tasks: int
    annotated: int
    waiting: bool


def add_link(
    project: Project,
    links: LinkStore,
    client: StudioClient,
    ls_project: int,
    kind: str = MAIN,
    host: str = "",
    *,
    complete: bool = False,
) -> Link:
    """Tie the project to a Label Studio project, or find the tie that is there.

    The classes of a main project's config that are new are added to the project's.

    Args:
        project: ours.
        links: where it is noted.
        client: speaks with Label Studio.
        ls_project: id of the project there.
        kind: `MAIN`, or the kind of question that it asks.
        host: address to note, that of the client by default.
        complete: whether a tick left out means that the class is absent.

    Raises:
        DataError: if its labelling config cannot be used. MismatchError: if another process is writing.
        RemoteError: if Label Studio does not have it.
    """
    facts = client.project(ls_project)
    address, created, xml = studio_address(host or client.url), str(facts["created_at"]), str(facts["label_config"])
    for link in links.links():
        if (link.host, link.project) == (address, ls_project) and same_moment(link.created, created):
            return link
    config = parse_config(xml)
    if kind == MAIN and not adopt_classes(project.workspace, config.classes):
        raise MismatchError(
            f"{project.workspace.root} is being written by another process, and Label Studio project {ls_project} has "
            "classes that it lacks; wait until it has ended"
        )
    return links.add(address, ls_project, created, kind, xml, complete=complete)


def host_links(links: LinkStore, client: StudioClient) -> list[Link]:
    """The links of the client's server; if there is none under its address, those of its projects under another.

    One server may be called localhost, by its number, or by a service's name inside a container.
    """
    everything = links.links()
    same = [link for link in everything if link.host == client.url]
    if same or not everything:
        return same
    there = {int(facts["id"]) for facts in client.projects()}
    found = []
    for link in everything:
        created = str(client.project(link.project)["created_at"]) if link.project in there else ""
        if created and link.created and same_moment(link.created, created):
            found.append(link)
    return found


def follow(project: Project, links: LinkStore, link: Link, client: StudioClient) -> Followed:
    """Read a Label Studio project anew and take over what changed in its config: new classes and new names.

    A config that cannot be used is reported, and the one before it is used on.

    Raises:
        MismatchError: if the id means another project now. RemoteError: if it is gone.
    """
    facts = client.project(link.project)
    check_same(link, facts, client.url)
    workspace = project.workspace
    workspace.settings = load_settings(workspace.root / SETTINGS)  # another process may have added classes
    xml, config = _config(link, str(facts["label_config"]))
    waiting = False
    if link.kind == MAIN:
        waiting = not adopt_classes(workspace, config.classes, renamed(_parsed(link.config), config))
    if xml != link.config and not waiting:
        link = links.update(link.id, config=xml)
    annotated = int(facts.get("num_tasks_with_annotations") or 0)
    return Followed(link, config, int(facts.get("task_number") or 0), annotated, waiting)


def check_same(link: Link, facts: dict[str, Any], url: str) -> None:
    """Raise MismatchError if a Label Studio project is another one than the link was made for: ids are used again."""
    if not same_moment(link.created, str(facts["created_at"])):
        raise MismatchError(
            f"project {link.project} at {url} is another one than this folder was connected to (made "
            f"{facts['created_at']}, not {link.created}); is LABEL_STUDIO_URL another server's? Connect it again"
        )


def same_moment(one: str, other: str) -> bool:
    """Whether two times of creation are equal: Label Studio writes some in ISO 8601, some in Unix seconds."""
    return not one or not other or one == other or abs(_unix(one) - _unix(other)) <= 1.0


def _unix(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def _config(link: Link, xml: str) -> tuple[str, LabellingConfig]:
    try:
        return xml, parse_config(xml)
    except DataError as error:
        logger.warning("Label Studio project %d: %s; going on with the config before it", link.project, error)
        return link.config, parse_config(link.config)


def _parsed(xml: str) -> LabellingConfig | None:
    """A config that was in use, None if it never could be."""
    try:
        return parse_config(xml)
    except DataError:
        return None


def column_of(taxonomy: Taxonomy, name: str) -> int | None:
    """Column of a class, None if nothing is called that."""
    return taxonomy.column(name) if name in taxonomy else None


def renamed(before: LabellingConfig | None, now: LabellingConfig) -> dict[str, str]:
    """New name → name before, of classes whose results are still spelled the same (by their alias)."""
    if before is None:
        return {}
    pairs = zip(now.main.values, now.main.names, strict=True)
    old = {name: before.main.name_of(spelling) for spelling, name in pairs}
    return {name: was for name, was in old.items() if was is not None and was != name and was not in now.classes}


def adopt_classes(workspace: Workspace, names: Iterable[str], before: dict[str, str] | None = None) -> bool:
    """Add classes that the project lacks, after the present ones; ``before`` has names of classes that were renamed.

    Returns:
        Whether all are there now; False if another process is writing. Names that cannot be added are reported.
    """
    wanted = [name for name in names if column_of(workspace.taxonomy, name) is None]
    if not wanted:
        return True
    with writing_if_free(workspace, "classes from Label Studio") as free:
        for name in wanted if free else ():
            _adopt(workspace, name, (before or {}).get(name))
    return free


def _adopt(workspace: Workspace, name: str, before: str | None) -> None:
    taxonomy = workspace.taxonomy
    if column_of(taxonomy, name) is not None:
        return
    try:
        if before is not None and column_of(taxonomy, before) is not None:
            workspace.change_taxonomy(taxonomy.renamed(before, name))
        else:
            workspace.change_taxonomy(taxonomy.extended([name]))
    except DataError as error:
        logger.warning("a class of the labelling config was left out: %s", error)


@contextmanager
def writing_if_free(workspace: Workspace, what: str) -> Iterator[bool]:
    """Hold the project's lock while the block runs, if nobody else does; gives whether it is held."""
    holder = workspace.writing(what)
    try:
        holder.__enter__()
    except MismatchError as error:
        logger.info("%s: %s", what, error)
        yield False
        return
    try:
        yield True
    finally:
        holder.__exit__(None, None, None)
