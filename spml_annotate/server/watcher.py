"""Looks at Label Studio now and then, and soon after a hint; decides when to train and when to renew predictions."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spml_annotate.errors import SpmlError
from spml_annotate.loop.links import MAIN, Link
from spml_annotate.loop.pulling import Pulled, pull
from spml_annotate.project import Project
from spml_annotate.server.counting import Standing, standing
from spml_annotate.server.handshake import mend
from spml_annotate.server.naming import classes_of

if TYPE_CHECKING:
    from spml_annotate.server.hub import Hub, Served
    from spml_annotate.server.runner import Runner

logger = logging.getLogger(__name__)

SETTLED = 0.7
"""Seconds after a hint before Label Studio is asked: hints come in bursts."""
_LONGEST_SETTLING = 300.0  # seconds after which people who never pause get their training all the same
_AGAIN = 600.0  # seconds before a renewal that changed nothing is tried again
_LONGEST_PAUSE = 300.0  # seconds between two looks at a Label Studio that does not answer
_AGREED = 4.0  # pauses for which title and webhook are believed: people connect backends anew, with titles of theirs


@dataclass
class _Watched:
    """What is remembered of a link between two looks; times are of the monotonic clock."""

    looked: float = -1e9
    failures: int = 0
    answers: int = -1
    changed: float = 0.0
    reached: float | None = None
    agreed: str = ""
    agreed_until: float = 0.0


class Watcher:
    """A thread that looks at every link of a hub.

    Args:
        hub: whose links.
        runner: told when there is a job.
    """

    def __init__(self, hub: Hub, runner: Runner) -> None:
        self.hub, self.runner = hub, runner
        self._watched: dict[tuple[str, int], _Watched] = {}
        self._classes_due = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that is going on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def refresh(self, served: Served, link: Link, reason: str, mark: str = "") -> None:
        """Ask for new predictions."""
        served.jobs.request(link.id, "refresh", reason, mark)
        self.runner.wake()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except Exception:  # the thread must live on: nobody else would notice that answers are not read
                logger.exception("a look at Label Studio went wrong")
                self._stopping.wait(self.hub.settings.poll_seconds)
            self.hub.wait_for_hint(1.0)
            self._stopping.wait(0.2)

    def _round(self) -> None:
        self._read_classes()
        for served in self.hub.served():
            for link in _links(served):
                if not self._stopping.is_set():
                    self._visit(served, link)

    def _read_classes(self) -> None:
        """Adopt projects whose classes come with their tasks, once there are tasks."""
        for project, (host, config) in list(self.hub.pending.items()):
            client = self.hub.client_of(project)
            if client is None or time.monotonic() < self._classes_due:
                continue
            self._classes_due = time.monotonic() + self.hub.settings.poll_seconds
            try:
                names = classes_of(config, client.tasks(project.project))
            except SpmlError as error:
                self.hub.say_once(f"Label Studio project {project.project}: {error}")
                continue
            found = self.hub.adopt(project, host, config, names) if names else None
            if found is not None:
                self.hub.hint(found[0], found[1].id)

    def _visit(self, served: Served, link: Link) -> None:
        watched = self._watched.setdefault((str(served.folder), link.id), _Watched())
        pause = min(_LONGEST_PAUSE, self.hub.settings.poll_seconds * 2.0 ** min(watched.failures, 8))
        due = time.monotonic() - watched.looked >= pause
        if self.hub.take_hint(served, link.id, SETTLED) or due:
            self._look(served, link, watched)
        elif watched.reached is not None:
            self._decide(served, link, watched)  # answers wait for the end of a pause to be trained on

    def _look(self, served: Served, link: Link, watched: _Watched) -> None:
        name = served.folder.name
        watched.looked = time.monotonic()
        try:
            found = self._pull(served, link)
        except SpmlError as error:
            watched.failures += 1
            self.hub.metrics.pulls.labels(name, "failed").inc()
            if watched.failures == 1:
                logger.warning("%s: Label Studio could not be read: %s", name, error)
        except Exception:  # the thread must live on: the next look may do better
            watched.failures += 1
            self.hub.metrics.pulls.labels(name, "failed").inc()
            logger.exception("%s: Label Studio could not be read", name)
        else:
            if watched.failures:
                logger.info("%s: Label Studio can be read again", name)
            watched.failures = 0
            self.hub.metrics.pulls.labels(name, "done").inc()
            self.hub.metrics.answers.labels(name).inc(found.answers)
            self._agree(served, link, watched)
        self._decide(served, link, watched)

    def _pull(self, served: Served, link: Link) -> Pulled:
        client, fetcher = self.hub.client(link), self.hub.fetcher(link)
        images = served.busy.acquire(blocking=False)  # a job adds them itself while it runs
        try:
            with Project(served.folder) as project:
                return pull(project, served.links, link, client, fetcher, images=images)
        finally:
            if images:
                served.busy.release()

    def _agree(self, served: Served, link: Link, watched: _Watched) -> None:
        """Once for each version, and now and then: title, version and webhook at Label Studio are what they must be."""
        try:
            link = served.links.get(link.id)
            agreed = watched.agreed == link.version and time.monotonic() < watched.agreed_until
            if link.kind != MAIN or agreed or served.jobs.active(link.id):
                return
            if mend(self.hub, served, link):
                watched.agreed = link.version
                watched.agreed_until = time.monotonic() + _AGREED * self.hub.settings.poll_seconds
        except SpmlError as error:
            self.hub.say_once(f"{served.folder.name}: {error}")

    def _decide(self, served: Served, link: Link, watched: _Watched) -> None:
        if link.kind != MAIN:
            main = served.main()
            if main is not None:
                self.hub.hint(served, main.id)  # its answers count, too
            return
        try:
            link = served.links.get(link.id)
            now = standing(served, link)
            self.hub.metrics.new_answers.labels(served.folder.name).set(now.new_answers)
            if not served.jobs.active(link.id, "train"):
                self._decide_training(served, link, watched, now)
            if not served.jobs.active(link.id):
                self._decide_refresh(served, link, now)
        except SpmlError as error:
            self.hub.say_once(f"{served.folder.name}: {error}")

    def _decide_training(self, served: Served, link: Link, watched: _Watched, now: Standing) -> None:
        each, clock = self.hub.settings.train_each, time.monotonic()
        if now.answers != watched.answers:
            watched.answers, watched.changed = now.answers, clock
        if not each or now.new_answers < each:
            watched.reached = None
            return
        if watched.reached is None:
            watched.reached = clock
        settled = clock - watched.changed >= self.hub.settings.settle_seconds
        if settled or clock - watched.reached >= _LONGEST_SETTLING:
            served.jobs.request(link.id, "train", f"{now.new_answers} new answers")
            watched.reached = None
            self.runner.wake()

    def _decide_refresh(self, served: Served, link: Link, now: Standing) -> None:
        if not now.stale:
            return
        last = max(
            (job for kind in ("refresh", "train") if (job := served.jobs.latest(link.id, kind)) is not None),
            key=lambda job: job.id,
            default=None,
        )
        same = last is not None and last.kind == "refresh" and last.mark == now.mark
        if same and last is not None and 0.0 <= time.time() - (last.finished or 0.0) < _AGAIN:
            return
        self.refresh(served, link, now.stale, now.mark)


def _links(served: Served) -> list[Link]:
    try:
        return served.links.links()
    except SpmlError as error:
        logger.error("%s", error)
        return []
