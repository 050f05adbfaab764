"""Makes the Label Studio project of a labelling project: config, images as tasks, and the link that ties them.

Every step can be repeated: what is there already is found again, so a run that was killed is finished by the next one.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from spml_annotate.errors import DataError, RemoteError, SettingError
from spml_annotate.loop.companions import LONGEST_TITLE
from spml_annotate.loop.connecting import SAMPLING, Connection, connect_backend, order_tab
from spml_annotate.loop.links import MAIN, Link, LinkStore
from spml_annotate.loop.sending import send_images
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.forms import FORMS

Where = Literal["upload", "local", "urls"]


@dataclass(frozen=True)
class Plan:
    """What to make.

    Args:
        title: of the Label Studio project; the project's own name by default.
        images: how Label Studio gets the pictures: ``upload`` copies them there, ``local`` lets it read them from a
            folder that it can see, ``urls`` lets the annotators' browsers fetch them from a web server.
        files_root: for ``local``: Label Studio's LOCAL_FILES_DOCUMENT_ROOT as this machine sees it.
        files_root_there: for ``local``: the same folder as Label Studio sees it, if that differs (Docker).
        base_url: for ``urls``: what the images' ids are appended to.
        backend: URL of our backend as Label Studio reaches it; empty: connect none.
        basic: user and password that the backend asks for.
    """

    title: str = ""
    images: Where = "upload"
    files_root: Path | None = None
    files_root_there: str = ""
    base_url: str = ""
    backend: str = ""
    basic: tuple[str, str] | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raise SettingError unless the parts fit together."""
        if self.images == "local" and self.files_root is None:
            raise SettingError(
                "--images local needs --files-root DIR: the folder that Label Studio was started with as "
                "LOCAL_FILES_DOCUMENT_ROOT (and LOCAL_FILES_SERVING_ENABLED=true)"
            )
        if self.images == "urls" and not _is_address(self.base_url):
            raise SettingError("--images urls needs --base-url URL, such as https://images.example.org/birds/")
        if self.backend and not _is_address(self.backend):
            raise SettingError(f"--backend {self.backend!r} is no address; give one such as http://127.0.0.1:9090")
        if len(self.title.strip()) > LONGEST_TITLE:
            raise SettingError(
                f"--title has more than the {LONGEST_TITLE} characters that Label Studio takes; shorten it"
            )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class Created(NamedTuple):
    """What was made or found: ``new`` says whether the Label Studio project is new, ``notes`` what to look at."""

    link: Link
    url: str
    new: bool
    tasks: int
    new_tasks: int
    connection: Connection | None
    notes: tuple[str, ...]


def create_studio_project(
    project: Project,
    links: LinkStore,
    client: StudioClient,
    plan: Plan,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Created:
    """Make the Label Studio project with all images as tasks, and connect the backend; again changes nothing.

    Args:
        project: whose classes and training images are taken; exact copies and unreadable images are left out.
        links: of the project's folder.
        client: speaks with Label Studio.
        plan: what to make.
        say: is told what was done, one line each.

    Raises:
        SettingError: if the plan is incomplete. DataError: if images are where Label Studio cannot read them.
        RemoteError: if Label Studio or the backend refuses or does not answer; what was made until then stays.
    """
    plan.check()
    link, new = _link(project, links, client, plan)
    say(f"{'made' if new else 'found'} the Label Studio project {link.project}: {client.url}/projects/{link.project}")
    link, notes = _fit_config(project, links, client, link)
    new_tasks = send_images(
        project,
        links,
        link,
        client,
        images=plan.images,
        files_root=plan.files_root,
        files_root_there=plan.files_root_there,
        base_url=plan.base_url,
    )
    tasks = len(links.tasks(link.id))
    say(f"{new_tasks} images sent; the Label Studio project has {tasks} of them")
    connection = None
    if plan.backend:
        connection = connect_backend(links, link, client, plan.backend, plan.basic)
        notes = (*notes, *connection.notes)
        say(f"connected the backend {plan.backend}; the version in use is {link.version}")
    client.update_project(link.project, sampling=SAMPLING, show_collab_predictions=True)
    order_tab(client, link)
    url = f"{client.url}/projects/{link.project}/data"
    return Created(links.get(link.id), url, new, tasks, new_tasks, connection, notes)


def _link(project: Project, links: LinkStore, client: StudioClient, plan: Plan) -> tuple[Link, bool]:
    """The main link of this server, made with its Label Studio project if need be."""
    known = find_main(links, client)
    if known is not None:
        return known, False
    mark, new = _mark(project), False
    found = _marked(client, mark)  # left by a run that was killed before the link was noted
    if found is None:
        config = FORMS["pick"].config(project.taxonomy.names)
        client.validate_config(config)
        found = client.create_project(_title(project, plan), config, description=_description(mark), sampling=SAMPLING)
        new = True
    made = client.project(int(found["id"]))
    return links.add(client.url, int(made["id"]), str(made["created_at"]), MAIN, str(made["label_config"])), new


def find_main(links: LinkStore, client: StudioClient) -> Link | None:
    """The link to the Label Studio project that asks for positives, if that project is there on this server.

    The address does not decide: the backend may know the same server by another name.
    """
    for link in reversed(links.links()):
        if link.kind != MAIN:
            continue
        try:
            found = client.project(link.project)
        except RemoteError as error:
            if error.status == 404:
                continue
            raise
        if not link.created or whole_seconds(link.created) == whole_seconds(str(found["created_at"])):
            return link
    return None


def whole_seconds(created: str) -> int:
    """When a Label Studio project was made, as it names it to backends: Unix time without a fraction."""
    if created.isdigit():
        return int(created)
    return int(datetime.datetime.fromisoformat(created).timestamp())


def _marked(client: StudioClient, mark: str) -> dict[str, Any] | None:
    parameters = {"include": "id,description", "page_size": 1000}  # the newest first
    listed = client.request("GET", "/api/projects/", params=parameters)["results"]
    return next((found for found in listed if mark in str(found.get("description") or "")), None)


def _title(project: Project, plan: Plan) -> str:
    title = (plan.title or project.workspace.settings.name).strip()[:LONGEST_TITLE].strip()
    return title if len(title) >= 3 else f"{title} labels"  # Label Studio wants three characters


def _mark(project: Project) -> str:
    """Names this folder in the description of its Label Studio project."""
    folder = os.path.abspath(project.workspace.root)
    return "spml-annotate " + hashlib.sha256(folder.encode()).hexdigest()[:12]


def _description(mark: str) -> str:
    return f"One positive class per image; the model behind it proposes and chooses what comes next. ({mark})"


def _fit_config(project: Project, links: LinkStore, client: StudioClient, link: Link) -> tuple[Link, tuple[str, ...]]:
    """Let the labelling config offer every class of the project; a config that is not ours is left alone."""
    found = client.project(link.project)
    try:
        offered = set(parse_config(str(found["label_config"])).classes)
    except DataError as error:
        return link, (f"the labelling config of project {link.project} cannot be used: {error}",)
    missing = [name for name in project.taxonomy.names if name not in offered]
    if not missing:
        return link, ()
    if not _is_ours(found):
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        return link, (f"the labelling config lacks {len(missing)} classes of this project ({some}); add them there",)
    config = FORMS["pick"].config(project.taxonomy.names)
    client.validate_config(config)
    client.update_project(link.project, label_config=config)
    return links.update(link.id, config=config), ()


def _is_ours(found: dict[str, Any]) -> bool:
    return "(spml-annotate " in str(found.get("description") or "")
