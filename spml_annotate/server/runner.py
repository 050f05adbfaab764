"""Carries out jobs, one at a time, each in a process of its own that cannot outlive the server."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from spml_annotate.errors import RemoteError, SpmlError
from spml_annotate.server.child import pack
from spml_annotate.server.counting import log_length
from spml_annotate.server.jobs import Job
from spml_annotate.server.security import SECRETS

if TYPE_CHECKING:
    from spml_annotate.server.hub import Hub, Served

logger = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds that a child gets to end when the server is stopped
_LONGEST = 300.0  # seconds between two attempts while another program is away
_MOST_DELAYS = 48  # about four hours of such attempts
_LINE = 1000  # characters of a message that are kept


class Runner:
    """A thread that takes the jobs of all projects of a hub in turn.

    Args:
        hub: whose projects' jobs these are.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.finished = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._astray: set[Served] = set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look for jobs now."""
        self._wake.set()

    def stop(self) -> None:
        """End, and what runs with it; it waits for the next start of the server."""
        self._stopping.set()
        self._wake.set()
        with self._guard:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()  # the child ends when this is closed
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)
        with self._guard:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def _work(self) -> None:
        while not self._stopping.is_set():
            found = self._next()
            if found is None:
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            served, job = found
            try:
                self._carry_out(served, job)
            except Exception as error:  # the thread must live on whatever one job does
                self._gone_wrong(served, job, error)
            self.finished += 1
            self.hub.job_ended(served, job.link)

    def _next(self) -> tuple[Served, Job] | None:
        for served in self.hub.served():
            try:
                if served in self._astray:
                    served.jobs.recover(counted=False)
                    self._astray.discard(served)
                job = served.jobs.claim()
            except SpmlError as error:
                self.hub.say_once(f"jobs of {served.folder.name} wait: {error}")
                continue
            if job is not None:
                return served, job
        return None

    def _carry_out(self, served: Served, job: Job) -> None:
        try:
            order = self._order(served, job)
        except RemoteError as error:
            self._later(served, job, str(error))
            return
        logger.info("%s: %s begins (%s)", served.folder.name, job.kind, job.reason)
        with served.busy:  # the watcher adds no images meanwhile
            if job.kind == "train":
                served.jobs.begin(job.id, str(log_length(served)))  # what comes later is new, whatever becomes of this
            code, last, tail = self._run(served, job, order)
        if self._stopping.is_set() and "done" not in last:
            served.jobs.recover(counted=False)
        elif "done" in last:
            served.jobs.done(job.id, str(last["done"]["version"]), str(last["done"]["note"])[:_LINE])
            logger.info("%s: %s is done, version %s", served.folder.name, job.kind, last["done"]["version"])
        elif last.get("again"):
            self._later(served, job, str(last["failed"]))
        elif "failed" in last:
            served.jobs.failed(job.id, str(last["failed"])[:_LINE])
            logger.error("%s: %s failed: %s; the last model stays in use", served.folder.name, job.kind, last["failed"])
        else:
            self._died(served, job, code, tail)

    def _gone_wrong(self, served: Served, job: Job, error: Exception) -> None:
        """A job that could not be carried out waits if the disk refused, else it has failed.

        Where even that cannot be written, the job is taken up again as soon as the disk takes something.
        """
        try:
            if isinstance(error, SpmlError):
                self._later(served, job, str(error))
            else:
                logger.error("%s: job %d could not be carried out", served.folder, job.id, exc_info=error)
                served.jobs.failed(job.id, SECRETS.hide(f"{type(error).__name__}: {error}")[:_LINE])
        except SpmlError as again:
            self._astray.add(served)
            logger.error("%s: how job %d ended could not be noted: %s", served.folder.name, job.id, again)

    def _order(self, served: Served, job: Job) -> dict[str, Any]:
        link = served.links.get(job.link)
        url, token = self.hub.access(link)
        return {
            "folder": str(served.folder),
            "link": job.link,
            "train": job.kind == "train",
            "url": url,
            "token": token,
            "hostname": self.hub.hostname(link),
            "settings": pack(self.hub.settings),
        }

    def _run(self, served: Served, job: Job, order: dict[str, Any]) -> tuple[int, dict[str, Any], list[str]]:
        """Exit code, last message and the end of what it wrote to standard error."""
        command = [sys.executable, "-m", "spml_annotate.server.child"]
        process = subprocess.Popen(  # noqa: S603  (ourselves)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with self._guard:
            self._process = process
        self._note(served, job, "starting", pid=process.pid)
        tail: deque[str] = deque(maxlen=20)
        reader = threading.Thread(target=_forward, args=(process, tail), daemon=True)
        reader.start()
        last: dict[str, Any] = {}
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()  # and it stays open for as long as this process lives
        except (OSError, ValueError):  # ValueError: `stop` has closed it
            logger.debug("the process of job %d was gone before it was told what to do", job.id)
        for line in process.stdout:
            message = _message(line)
            if "say" in message:
                self._note(served, job, str(message["say"])[:_LINE])
                logger.info("%s: %s", served.folder.name, message["say"])
            elif message:
                last = message
        code = process.wait()
        reader.join(_PATIENCE)
        with self._guard:
            self._process = None
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                _close(stream)
        return code, last, list(tail)

    def _note(self, served: Served, job: Job, text: str, *, pid: int | None = None) -> None:
        """Keep what a job says; a disk that takes no more is no reason to leave its process alone."""
        try:
            served.jobs.note(job.id, text, pid=pid)
        except SpmlError as error:
            self.hub.say_once(f"{served.folder.name}: {error}")

    def _later(self, served: Served, job: Job, error: str) -> None:
        if job.delays >= _MOST_DELAYS:
            served.jobs.failed(job.id, f"{error}; given up after {job.delays} attempts"[:_LINE])
            return
        seconds = min(_LONGEST, 5.0 * 2.0 ** min(job.delays, 10))
        served.jobs.delay(job.id, error[:_LINE], seconds)
        logger.warning("%s: %s waits %.0f s: %s", served.folder.name, job.kind, seconds, error)

    def _died(self, served: Served, job: Job, code: int, tail: list[str]) -> None:
        why = f"its process was killed by signal {-code}" if code < 0 else f"its process ended with code {code}"
        if tail:
            why += f" ({tail[-1].strip()})"
        after = served.jobs.died(job.id, SECRETS.hide(why)[:_LINE])
        logger.error("%s: %s: %s; it is %s", served.folder.name, job.kind, why, after.state)


def _forward(process: subprocess.Popen[bytes], tail: deque[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            tail.append(text)
            logger.info("%s", text)


def _message(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _close(stream: Any) -> None:  # noqa: ANN401  (a pipe)
    try:
        stream.close()
    except OSError:  # what was not flushed has no reader any more
        logger.debug("a pipe was closed by the other side")
