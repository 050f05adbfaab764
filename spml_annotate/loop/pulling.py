"""Answers in: reads what changed in a Label Studio project and appends to the log what it lacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spml_annotate.errors import MismatchError, RemoteError
from spml_annotate.loop.hearing import Exposing, Hearing, Listener
from spml_annotate.loop.linking import Followed, adopt_classes, follow, host_links
from spml_annotate.loop.linking import add_link as add_link
from spml_annotate.loop.links import MAIN, Link, LinkStore, Said, TaskRow
from spml_annotate.loop.picturing import Fetcher, Pictured, Shown, add_pictures, known_rows, picture_of, try_again
from spml_annotate.loop.reconciling import Reconciled, reconcile
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.workspace.lock import WriterLock

logger = logging.getLogger(__name__)
LOCK = "studio.lock"
PATIENCE = 300.0
"""Seconds to wait for another process that is reading the same answers."""
OVERLAP = timedelta(seconds=15)
"""What was read before the last change is read again this far back: transactions end out of order."""
SWEEP_SECONDS = 600.0
"""A full comparison happens at least this often..."""
DOUBT_SECONDS = 60.0
"""...and at most this often when Label Studio's own counts disagree with ours."""
BATCH = 200


@dataclass(frozen=True)
class Pulled:
    """What `pull` did.

    ``tasks`` were looked at, ``new_images`` became rows, ``answers`` observations were appended, for ``acts`` (task,
    annotator) pairs that changed; ``broken`` are (task, reason) of pictures that could not be had this time.
    ``waiting`` tasks wait for an image because another process is writing, or because images were not wanted.
    """

    tasks: int
    new_images: int
    answers: int
    acts: int
    broken: tuple[tuple[int, str], ...]
    waiting: int = 0


@dataclass
class _Seen:
    """What one reading of the task list found."""

    ids: set[int] = field(default_factory=set)
    answers: int = 0
    acts: int = 0
    last: str = ""
    missing: dict[int, Shown] = field(default_factory=dict)
    oldest_missing: str = ""
    data: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    questions: dict[int, str] = field(default_factory=dict)
    annotated: bool = False


@contextmanager
def locked(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Be the only one who reads answers of a project folder; waits for others.

    Two readings that cross would each take the other's newer words for words that are gone.

    Raises:
        MismatchError: if another process does not end in time.
    """
    lock, deadline = WriterLock(folder / LOCK), time.monotonic() + patience
    while True:
        holder = lock.hold("reading Label Studio")
        try:
            holder.__enter__()
            break
        except MismatchError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        holder.__exit__(None, None, None)


def pull(
    project: Project,
    links: LinkStore,
    link: Link,
    client: StudioClient,
    fetcher: Fetcher,
    *,
    whole: bool = False,
    images: bool = True,
) -> Pulled:
    """Read what changed in a Label Studio project since the last time.

    New tasks become rows, annotations become observations, changed and deleted ones are retracted first. It may run at
    any moment, in several processes, and be killed: done again, it appends what is lacking and nothing twice.

    Args:
        project: whose log gets the answers.
        links: what is known of Label Studio.
        link: the Label Studio project.
        client: speaks with it.
        fetcher: gets pictures.
        whole: read everything, and compare which tasks there are; also done every `SWEEP_SECONDS`.
        images: whether to fetch pictures of new tasks; without, their answers wait.

    Raises:
        RemoteError: if Label Studio does not answer; nothing that was read is lost. MismatchError: if the id means
            another project now.
    """
    return _Pull(project, links, link, client, fetcher).run(whole=whole, images=images)


def sync(project: Project, links: LinkStore, client: StudioClient, fetcher: Fetcher) -> dict[str, Pulled]:
    """Pull every link of the client's server: kind of the link (with its project's id if there are several) → result.

    A Label Studio project that was deleted is reported; its answers stay.
    """
    found: dict[str, Pulled] = {}
    ours = host_links(links, client)
    for link in ours:
        several = sum(other.kind == link.kind for other in ours) > 1
        try:
            pulled = pull(project, links, link, client, fetcher)
        except RemoteError as error:
            if error.status != 404:
                raise
            logger.warning("the %s project is gone, its answers stay: %s", link.kind, error)
            continue
        found[f"{link.kind} {link.project}" if several else link.kind] = pulled
    return found


def drop_gone(project: Project, links: LinkStore, link: Link, there: Collection[int]) -> None:
    """Take back the answers of tasks that are not ``there`` any more in Label Studio, and forget the tasks."""
    known = set(links.tasks(link.id)) | {item.task for item in links.said(link.id)}
    if not known <= set(there):
        with locked(project.workspace.root):
            _drop(project, links, link, there)


def _drop(project: Project, links: LinkStore, link: Link, there: Collection[int]) -> Reconciled:
    known = links.tasks(link.id)
    gone = sorted((set(known) | {item.task for item in links.said(link.id)}) - set(there))
    heard = [(row, ()) for task in gone if (row := known.get(task) or _lost(project, link, task)) is not None]
    done = reconcile(project.workspace.log, links, link, heard)
    links.drop_tasks(link.id, gone)
    return done


def _lost(project: Project, link: Link, task: int) -> TaskRow | None:
    """A task that was forgotten while its answers were not: the log knows of which image it was."""
    words = project.workspace.log.retractions(f"ls:{link.tag}:{task}")
    return TaskRow(task, words[0].row, "", {}) if words else None


class _Pull:
    """One pull; see `pull`."""

    def __init__(self, project: Project, links: LinkStore, link: Link, client: StudioClient, fetcher: Fetcher) -> None:
        self.project, self.links, self.client, self.fetcher = project, links, client, fetcher
        self.link = links.get(link.id)

    def run(self, *, whole: bool, images: bool) -> Pulled:
        followed = follow(self.project, self.links, self.link, self.client)
        self.link = followed.link
        with locked(self.project.workspace.root):
            self.link = self.links.get(self.link.id)  # somebody may have read on while we waited
            whole = whole or self._doubtful(followed)
            since = "" if whole else _before(self.link.cursor)
            first = self._read(followed, since)
            if whole:
                known = set(self.links.tasks(self.link.id)) | {item.task for item in self.links.said(self.link.id)}
                if not known <= first.ids:
                    there = first.ids | self.client.task_ids(self.link.project)
                    dropped = _drop(self.project, self.links, self.link, there)
                    first.answers += dropped.answers
                    first.acts += dropped.gone
            if not first.missing:
                self._finish(followed, first, first, whole)
        pictured = Pictured(waiting=len(first.missing))
        second = first
        if first.missing:
            if images:
                pictured = add_pictures(self.project.workspace, self.fetcher, list(first.missing.values()))
            with locked(self.project.workspace.root):
                self._note_tasks(first, pictured.rows)
                if pictured.rows and first.annotated:
                    second = self._read(followed, since)  # afresh: what was read before may be old by now
                self._finish(followed, first, second, whole)
        broken = pictured.broken + (self._try_again(followed) if images else [])
        done = (first,) if second is first else (first, second)
        return Pulled(
            tasks=len(first.ids | second.ids),
            new_images=pictured.new,
            answers=sum(part.answers for part in done),
            acts=sum(part.acts for part in done),
            broken=tuple(broken),
            waiting=pictured.waiting,
        )

    def _doubtful(self, followed: Followed) -> bool:
        """Whether everything should be read again."""
        age = time.time() - self.link.swept
        if not 0 <= age <= SWEEP_SECONDS or not self.link.cursor:  # a clock that was put back tells nothing
            return True
        if age < DOUBT_SECONDS:
            return False
        answered = {said.task for said in self.links.said(self.link.id)}
        return followed.tasks != len(self.links.tasks(self.link.id)) or followed.annotated > len(answered)

    def _read(self, followed: Followed, since: str) -> _Seen:
        """List tasks and take their answers, those of unknown images left for later."""
        seen = _Seen()
        said: dict[int, list[Said]] = {}
        for item in self.links.said(self.link.id):
            said.setdefault(item.task, []).append(item)
        noted = [item for items in said.values() for item in items]
        listener = Listener(self.project, self.link, followed.config, self.client.users, noted)
        exposing = Exposing(self.project, self.links, listener)
        known, batch = self.links.tasks(self.link.id), list[dict[str, Any]]()
        for task in self.client.tasks(self.link.project, since=since):
            batch.append(task)
            if len(batch) == BATCH:
                self._take(seen, batch, known, said, listener, exposing)
                batch = []
        self._take(seen, batch, known, said, listener, exposing)
        return seen

    def _take(
        self,
        seen: _Seen,
        batch: list[dict[str, Any]],
        known: dict[int, TaskRow],
        said: dict[int, list[Said]],
        listener: Listener,
        exposing: Exposing,
    ) -> None:
        """Reconcile one batch of tasks."""
        rows = self._rows(seen, batch, known, listener)
        moved = [known[task] for task, row in rows.items() if task in known and known[task].row != row.row]
        if moved:  # another picture under the same task: what was said was said of the old one
            done = reconcile(
                self.project.workspace.log, self.links, self.link, [(old, ()) for old in moved], before=said
            )
            seen.answers += done.answers
            for old in moved:
                said.pop(old.task, None)
        changed = [row for task, row in rows.items() if known.get(task) != row]
        self.links.put_tasks(self.link.id, changed)
        known.update((row.task, row) for row in changed)
        hearings: list[Hearing] = []
        heard = []
        for task in batch:
            if task["id"] in rows:
                row = rows[task["id"]]
                found = listener.hear(row, task.get("annotations") or [], task.get("predictions") or [])
                hearings += found
                heard.append((row, [item.heard for item in found]))
        done = reconcile(self.project.workspace.log, self.links, self.link, heard, before=said)
        seen.answers += done.answers
        seen.acts += len(done.changed) + done.gone
        changed_acts = {(item.task, item.annotation) for item in done.changed}
        self.links.expose(
            self.link.id,
            [exposing.exposure(item) for item in hearings if (item.task.task, item.given.annotation) in changed_acts],
        )

    def _rows(
        self, seen: _Seen, batch: list[dict[str, Any]], known: dict[int, TaskRow], listener: Listener
    ) -> dict[int, TaskRow]:
        """Rows of the batch's tasks, as far as their images are known; notes what was seen."""
        tasks = {int(task["id"]): task for task in batch}
        seen.ids.update(tasks)
        seen.last = max([seen.last, *(str(task["updated_at"]) for task in batch)])
        fresh = {
            number: task.get("data") or {}
            for number, task in tasks.items()
            if number not in known or _address(known[number].data, listener) != _address(task.get("data"), listener)
        }
        self._adopt_options(listener, tasks)
        found, missing = known_rows(self.project.workspace, self.fetcher, self.link, listener.config, fresh)
        rows = {}
        for number, task in tasks.items():
            data = task.get("data") or {}
            row = found.get(number) if number in fresh else known[number].row
            if row is not None:
                rows[number] = TaskRow(number, row, self._question(data), data)
        for shown in missing:
            task = tasks[shown.task]
            seen.missing[shown.task] = shown
            seen.data[shown.task] = task.get("data") or {}
            updated = str(task["updated_at"])
            seen.oldest_missing = min(seen.oldest_missing or updated, updated)
            seen.annotated = seen.annotated or bool(task.get("annotations"))
        return rows

    def _adopt_options(self, listener: Listener, tasks: Mapping[int, dict[str, Any]]) -> None:
        """Classes that tasks bring along in a list of their own are classes of the project, too."""
        control = listener.config.main
        if self.link.kind != MAIN or control.options is None:
            return
        names = dict.fromkeys(name for task in tasks.values() for name in control.in_task(task.get("data")).names)
        adopt_classes(self.project.workspace, names)

    def _question(self, data: Mapping[str, Any]) -> str:
        return "" if self.link.kind == MAIN else str(data.get("spml_question") or "")

    def _note_tasks(self, seen: _Seen, rows: Mapping[int, int]) -> None:
        self.links.put_tasks(
            self.link.id,
            [TaskRow(task, row, self._question(seen.data[task]), seen.data[task]) for task, row in rows.items()],
        )

    def _finish(self, followed: Followed, first: _Seen, second: _Seen, whole: bool) -> None:
        """Note how far was read; not past what waits."""
        last = max(first.last, second.last)
        left = [part.oldest_missing for part in (first, second) if part.missing]
        known = self.links.tasks(self.link.id)
        if left and any(task not in known for task in first.missing):
            last = min(left)
        elif not whole and last == self.link.cursor and _age(last) > OVERLAP:
            last = (datetime.fromisoformat(last) + OVERLAP).isoformat()  # nothing can come late: no need to read again
        last = last or self.link.cursor
        changes: dict[str, Any] = {} if followed.waiting else {"cursor": last}
        if whole:
            changes["swept"] = time.time()
        if changes:
            self.links.update(self.link.id, **changes)

    def _try_again(self, followed: Followed) -> list[tuple[int, str]]:
        """Pictures that could not be had before."""
        flagged = self.project.workspace.images.errors()
        if not flagged:
            return []
        shown = {
            row.row: picture_of(self.fetcher, self.link, followed.config, row.task, row.data)
            for row in self.links.tasks(self.link.id).values()
            if row.row in flagged
        }
        return try_again(self.project.workspace, self.fetcher, shown)


def _address(data: object, listener: Listener) -> tuple[object, object]:
    """What decides which image a task shows."""
    from spml_annotate.studio.markup import look_up

    ours = data.get("spml_image") if isinstance(data, Mapping) else None
    return ours, look_up(data, listener.config.key)


def _age(moment: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(moment)


def _before(cursor: str) -> str:
    return (datetime.fromisoformat(cursor) - OVERLAP).isoformat()
