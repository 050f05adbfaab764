"""Companion projects: beside the main one, Label Studio has one for each kind of question that was ever asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.loop.connecting import SAMPLING
from spml_annotate.loop.linking import same_moment
from spml_annotate.loop.links import Link, LinkStore
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.uploads import upload_files

LONGEST_TITLE = 50
EVERYWHERE = ("/data/", "http://", "https://")
"""How references begin that a task of any Label Studio project may use; cloud storages belong to one."""


def companion_of(project: Project, links: LinkStore, client: StudioClient, main: Link, kind: str) -> Link:
    """The link to the Label Studio project that asks questions of a kind; made, found or brought up to date.

    Args:
        project: ours.
        links: what is known of Label Studio.
        client: speaks with it.
        main: link of the main project, whose webhooks the companion gets, too.
        kind: of question.
    """
    config = FORMS[kind].config(project.taxonomy.names)
    link = _known(links, client, main, kind)
    if link is None:
        link = _found(links, client, main, kind) or _made(project, links, client, main, kind, config)
    if link.config != config:
        client.update_project(link.project, label_config=config)
        link = links.update(link.id, config=config)
    copy_webhooks(client, main, link)
    return link


def references_of(
    project: Project, links: LinkStore, client: StudioClient, main: Link, link: Link, rows: Sequence[int]
) -> dict[int, str]:
    """Row → what a task of ``link`` refers to its picture by: as the main project does, else an upload.

    Raises:
        DataError: if the file of an image is missing.
    """
    wanted = set(rows)
    found = _references(links, main, wanted)
    if link.id != main.id:
        found = {**_references(links, link, wanted), **found}
    missing = sorted(wanted - set(found))
    paths = [project.workspace.image_path(row) for row in missing]
    return {**found, **dict(zip(missing, _upload(project, links, client, main, paths), strict=True))}


def _upload(project: Project, links: LinkStore, client: StudioClient, main: Link, paths: Sequence[Path]) -> list[str]:
    """Label Studio takes no files for a project whose tasks have a list of their own; another one then keeps them."""
    if not paths:
        return []
    try:
        return upload_files(client, main.project, paths)
    except RemoteError as error:
        if error.status != 400:
            raise
    return upload_files(client, companion_of(project, links, client, main, "verify").project, paths)


def copy_webhooks(client: StudioClient, main: Link, link: Link) -> None:
    """Have a companion's events sent where the main project's go, with the same headers."""
    have = {str(hook["url"]) for hook in client.webhooks(link.project) if hook.get("project") == link.project}
    for hook in client.webhooks(main.project):
        url = str(hook["url"])
        if hook.get("project") == main.project and url.endswith("/webhook") and url not in have:
            client.create_webhook(link.project, url, hook.get("headers") or {})


def _references(links: LinkStore, link: Link, wanted: set[int]) -> dict[int, str]:
    config = parse_config(link.config)
    found: dict[int, str] = {}
    for task in links.tasks(link.id).values():
        if task.row in wanted and task.row not in found:
            try:
                reference = config.reference(task.data)
            except DataError:
                continue  # a task without a picture; the image is uploaded
            if reference.startswith(EVERYWHERE):
                found[task.row] = reference
    return found


def _mark(main: Link, kind: str) -> str:
    """Tells our companion from other projects, should the note of it be lost."""
    return f"(spml-annotate {main.tag} {kind})"


def _known(links: LinkStore, client: StudioClient, main: Link, kind: str) -> Link | None:
    link = links.of_kind(kind, main.host)
    if link is None:
        return None
    try:
        facts = client.project(link.project)
    except RemoteError as error:
        if error.status == 404:
            return None
        raise
    return link if same_moment(link.created, str(facts["created_at"])) else None


def _found(links: LinkStore, client: StudioClient, main: Link, kind: str) -> Link | None:
    """A companion that was made by a run which was killed before it could note it."""
    for listed in client.projects():
        if kind not in str(listed.get("title")):
            continue
        facts = client.project(int(listed["id"]))
        if _mark(main, kind) in str(facts.get("description") or ""):
            return _link(links, main, kind, facts)
    return None


def _made(project: Project, links: LinkStore, client: StudioClient, main: Link, kind: str, config: str) -> Link:
    end = f" · {kind}"
    title = project.workspace.settings.name[: LONGEST_TITLE - len(end)] + end
    client.validate_config(config)
    facts = client.create_project(
        title, config, description=f"{FORMS[kind].title} {_mark(main, kind)}", sampling=SAMPLING
    )
    return _link(links, main, kind, facts)


def _link(links: LinkStore, main: Link, kind: str, facts: dict[str, Any]) -> Link:
    return links.add(main.host, int(facts["id"]), str(facts["created_at"]), kind, str(facts["label_config"]))
