"""Puts the queue and its proposals into Label Studio, and makes a new version the one that annotators see.

The order matters, for the work can be cut off anywhere: predictions of a new version go over first, while nobody asks
for that version; then the server begins to answer with it; then the backend is renamed, which makes Label Studio serve
by it; then old versions go. Whatever was cut off is done again from the start, and leaves nothing twice.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from spml_annotate.errors import RemoteError
from spml_annotate.loop.links import Link, LinkStore, Place
from spml_annotate.loop.queue import QueueSettings, Shown, build_queue, task_prediction
from spml_annotate.loop.spelling import is_outdated, spelling
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import parse_config

logger = logging.getLogger(__name__)

BATCH = 500
QUEUES = 8
"""Queues of so many versions that Label Studio holds no more are kept, for answers that are read late."""
WAITS = (1.0, 4.0, 10.0)
"""Seconds between attempts while Label Studio does not answer."""

Say = Callable[[str], None]
T = TypeVar("T")


class PushSettings(QueueSettings, Protocol):
    """What pushing reads of the server's settings; see `studio.environment`."""

    @property
    def port(self) -> int:
        """Of our own server: how its row among the backends of Label Studio is told."""

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password that our server wants."""


@dataclass(frozen=True)
class Pushed:
    """What `push` did: the version, tasks in the queue, predictions sent, and what did not work ("" if all did)."""

    version: str
    tasks: int
    sent: int
    note: str = ""


def push(
    project: Project,
    links: LinkStore,
    link: Link,
    client: StudioClient,
    settings: PushSettings,
    *,
    version: str | None = None,
    queue: tuple[dict[int, Place], dict[int, Shown]] | None = None,
    again: bool = False,
    say: Say = lambda line: None,
) -> Pushed:
    """Store every task's prediction in Label Studio: its place in the queue, and what is proposed.

    A version that is not in use yet is sent whole, after what a broken push left of it is deleted. Of the version in
    use only what is missing is sent: it is being shown, and its places stay as they are. If the labelling config has
    lost or renamed classes since, it is sent whole all the same: what it proposed may be no choice any more.

    Args:
        project: whose model and images they are.
        links: where the queue is kept, too.
        link: the Label Studio project.
        client: speaks with it.
        settings: thresholds and shares.
        version: what the predictions carry; the version in use by default.
        queue: what `build_queue` gave; built here by default.
        again: send the version in use whole, too.
        say: is told how far it is.

    Raises:
        RemoteError: if Label Studio cannot be reached or refuses who asks; the next push goes on from there.
    """
    version = version or link.version
    places, shown = queue if queue is not None else build_queue(project, links, link, settings)
    in_use = version == link.version
    fresh = again or not in_use or is_outdated(links, link)
    if fresh:
        _delete(client, link.project, [version], link.version)
        wanted = set(_patiently(lambda: client.task_ids(link.project)))
    else:
        wanted = _missing(client, link.project, version)
        shown_now = links.places(link.id, version)
        places = {t: place if t in wanted else shown_now.get(t, place) for t, place in places.items()}
    links.queue(link.id, version, places.values())
    config, tasks = parse_config(link.config), links.tasks(link.id)
    ready = [
        {"task": task, **task_prediction(config, tasks[task].data, place, shown.get(task, {}), version)}
        for task, place in sorted(places.items(), key=lambda item: item[1].priority)
        if task in wanted and task in tasks
    ]
    sent, note = _send(client, link.project, ready, version, say)
    if fresh and not note:
        links.spell(link.id, version, spelling(config))
    if sent and in_use:  # somebody may have opened a task meanwhile, and the server have answered for it
        _drop_twins(client, link.project, version)
    return Pushed(version, len(places), sent, note)


def publish(
    links: LinkStore,
    link: Link,
    client: StudioClient,
    settings: PushSettings,
    *,
    version: str | None = None,
    model: str | None = None,
    say: Say = lambda line: None,
) -> Link:
    """Make a version the one in use: here, in the backend's title, and in the project; delete what is older.

    The version before stays, for the annotators who have one of its proposals open. Doing it twice changes nothing.

    Args:
        links: where the version is changed.
        link: the Label Studio project.
        client: speaks with it.
        settings: tell which backend is ours.
        version: the one in use by default, to make Label Studio follow it.
        model: name of the model behind it.
        say: is told what could not be done.

    Raises:
        RemoteError: if Label Studio cannot be reached; here the version is in use already.
    """
    version = version or link.version
    link = links.update(link.id, version=version, **({} if model is None else {"model": model}))
    row = _patiently(lambda: our_backend(client.backends(link.project), link, settings.port))
    if row is None:
        say(
            "no backend of ours is connected to the project in Label Studio: proposals are stored, but no new ones come"
        )
    else:
        if row["id"] != link.backend:
            link = links.update(link.id, backend=int(row["id"]))
        if row.get("title") != version:
            _rename(client, row, link, settings.basic, say)
    versions = _patiently(lambda: client.model_versions(link.project))
    if row is not None or version in versions:  # Label Studio refuses a version that it has never seen
        _follow(client, link.project, version)
    _delete(client, link.project, _older(versions, link), version)
    links.forget_queues(link.id, _older(links.queued(link.id), link)[:-QUEUES])
    return link


def _follow(client: StudioClient, project: int, version: str) -> None:
    """Let the project serve by a version."""
    if _patiently(lambda: client.project(project)).get("model_version") != version:
        _patiently(lambda: client.update_project(project, model_version=version))


def _delete(client: StudioClient, project: int, versions: Sequence[str], current: str) -> None:
    """Delete the predictions of versions, if there are any.

    With a backend connected, Label Studio then forgets which version the project serves by, whichever was deleted:
    the order would be random and nothing would be proposed until that is set again.
    """
    there = _patiently(lambda: client.model_versions(project))
    for version in versions:
        if version in there:
            before = _patiently(lambda: client.project(project)).get("model_version")
            _patiently(lambda version=version: client.delete_predictions(project, version))  # type: ignore[misc]
            if before == current != version:
                _follow(client, project, current)


def _rename(client: StudioClient, row: Mapping[str, Any], link: Link, basic: tuple[str, str] | None, say: Say) -> None:
    """Give our backend the version as its title.

    Label Studio calls our server while it answers this; nothing here may hold what the server waits for.
    """
    try:
        _patiently(lambda: client.rename_backend(int(row["id"]), link.version, str(row["url"]), link.project, basic))
    except RemoteError as error:
        if error.status != 400:
            raise
        say(f"Label Studio cannot reach the backend and keeps its old title ({error}); start it, then push again")


def our_backend(backends: Sequence[Mapping[str, Any]], link: Link, port: int) -> Mapping[str, Any] | None:
    """Our row among the backends of a project: by number, by a version of ours in it, else by our port alone."""
    ours = _own(link)
    for match in (
        lambda row: row["id"] == link.backend,
        lambda row: any(ours.fullmatch(str(row.get(key) or "")) for key in ("model_version", "title")),
        lambda row: _port(str(row.get("url") or "")) == port,
    ):
        found = [row for row in backends if match(row)]
        if found:
            return found[0]
    return None


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _own(link: Link) -> re.Pattern[str]:
    return re.compile(rf"spml-(\d{{4,}})-{re.escape(link.tag)}")


def _older(versions: Iterable[str], link: Link) -> list[str]:
    """Versions of ours before the previous one."""
    found = [(int(match[1]), name) for name in versions if (match := _own(link).fullmatch(name)) is not None]
    before = sorted(item for item in found if item[1] != link.version)
    return [name for _, name in before[:-1]]


def _missing(client: StudioClient, project: int, version: str) -> set[int]:
    """Tasks that have no prediction of a version."""
    have, tasks = _held(client, project, version)
    return {task for task in tasks if not have[task]}


def _held(client: StudioClient, project: int, version: str) -> tuple[Counter[int], set[int]]:
    """(task → predictions of a version, all tasks)."""
    held: Counter[int] = Counter()
    tasks: set[int] = set()
    for task, ids in _numbers(client, project, version):
        held[task] = len(ids)
        tasks.add(task)
    return held, tasks


def _numbers(client: StudioClient, project: int, version: str) -> Iterator[tuple[int, list[int]]]:
    """(task, ids of its predictions of a version), all tasks."""
    for task in client.tasks(project):
        found = [one for one in task.get("predictions") or () if isinstance(one, dict)]
        yield int(task["id"]), sorted(int(one["id"]) for one in found if one.get("model_version") == version)


def _drop_twins(client: StudioClient, project: int, version: str) -> None:
    """Of several predictions of one version keep the first: the annotator who opened the task meanwhile has it."""
    for _, ids in list(_numbers(client, project, version)):
        for number in ids[1:]:
            client.request("DELETE", f"/api/predictions/{number}/")


def _send(client: StudioClient, project: int, ready: list[dict[str, Any]], version: str, say: Say) -> tuple[int, str]:
    """Send predictions in batches; returns how many arrived, and why not all of them did if Label Studio refuses."""
    sent = 0
    for start in range(0, len(ready), BATCH):
        part = ready[start : start + BATCH]
        try:
            sent += _whole(client, project, part, version)
        except RemoteError as error:
            if error.status in (None, 401, 403, 404) or error.status >= 500:
                raise
            there = client.task_ids(project)  # one task that was deleted a moment ago spoils the batch
            part = [one for one in part if one["task"] in there]
            try:
                sent += _whole(client, project, part, version) if part else 0
            except RemoteError as again:
                logger.warning("predictions of %s were refused: %s", version, again)
                return sent, f"Label Studio refused {len(ready) - sent} of {len(ready)} predictions ({again})"
        say(f"sent {start + len(part)} of {len(ready)} predictions")
    return sent, ""


def _whole(client: StudioClient, project: int, part: list[dict[str, Any]], version: str) -> int:
    """Send one batch; if the answer is lost, ask what arrived before sending again."""
    for wait in (*WAITS, None):
        try:
            return client.import_predictions(project, part, batch=len(part))
        except RemoteError as error:
            if wait is None or not _passes(error):
                raise
            logger.info("Label Studio does not answer (%s); once more in %g s", error, wait)
            time.sleep(wait)
            missing = _patiently(lambda: _missing(client, project, version))
            part = [one for one in part if one["task"] in missing]
            if not part:
                return 0
    raise AssertionError("the last attempt returns or raises")


def _passes(error: RemoteError) -> bool:
    """Whether waiting may help."""
    return error.status is None or error.status in (408, 429) or error.status >= 500


def _patiently(call: Callable[[], T]) -> T:
    """The result of a call that may be made twice, waiting for Label Studio to come back."""
    for wait in WAITS:
        try:
            return call()
        except RemoteError as error:
            if not _passes(error):
                raise
            logger.info("Label Studio does not answer (%s); once more in %g s", error, wait)
            time.sleep(wait)
    return call()
