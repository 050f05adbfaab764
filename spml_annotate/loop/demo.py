"""The whole loop on the built-in pictures: a real Label Studio, our backend behind it, and somebody who labels."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np

from spml_annotate.errors import RemoteError, SettingError
from spml_annotate.loop.connecting import call
from spml_annotate.loop.creating import Plan, create_studio_project
from spml_annotate.loop.links import MAIN, LinkStore
from spml_annotate.project import Project
from spml_annotate.studio.launch import LocalLabelStudio

USERNAME, PASSWORD = "demo@example.org", "one-positive-each"
"""Who labels in the demonstration. No secret: it guards drawn pictures on a server that only this machine can reach."""
PROJECT, PICTURES, STUDIO, LOG = "project", "pictures", "label-studio", "backend.log"
BACKEND_SECONDS = 60.0
POLL_SECONDS = 1.0

# As `python -m spml_annotate`, and it stops in good order when whoever started it is gone, however that went.
_RUN = """
import os, signal, sys, threading
def watch():
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from spml_annotate.cli import main
main(sys.argv[1:], prog_name="spml-annotate")
"""


class DemoFacts(NamedTuple):
    """Where everything is: addresses, login, folders and process ids."""

    url: str
    username: str
    password: str
    project: int
    page: str
    backend: str
    folder: str
    label_studio_pid: int
    backend_pid: int


class Demo:
    """Everything that a demonstration runs, as a context manager; it stops what it started.

    Args:
        folder: where it lies; one that was used before goes on where it was left. None: a temporary one.
        images: how many pictures are drawn.
        port: of Label Studio on 127.0.0.1; None takes a free one.
        backend_port: of our backend, likewise.
        environment: further environment variables of the backend, such as START_TRAINING_EACH_N_UPDATES.
        say: is told what happens, one line each.

    Raises:
        MissingExtraError: if Label Studio is not installed. SettingError: if a port is in use.
        RemoteError: if one of the servers does not come up.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        images: int = 60,
        port: int | None = None,
        backend_port: int | None = None,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.images = images
        self.port = port
        self.backend_port = backend_port
        self.environment = dict(environment or {})
        self.say = say
        self._folder = None if folder is None else Path(folder)
        self._opened = ExitStack()
        self._backend: subprocess.Popen[bytes] | None = None
        self._facts: DemoFacts | None = None
        self._link = 0

    @property
    def facts(self) -> DemoFacts:
        """Where everything is; while it runs."""
        assert self._facts is not None, "the demonstration is not running"
        return self._facts

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop what was started, the last first."""
        self._opened.close()

    def _start(self) -> None:
        if self._folder is None:
            self._folder = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="spml-demo-")))
        folder = self._folder.resolve()
        with _project(folder, self.images) as project, closing(LinkStore(folder / PROJECT)) as links:
            self.say("starting Label Studio (the first time takes about a minute)")
            studio = self._opened.enter_context(
                LocalLabelStudio(
                    folder / STUDIO, port=self.port or _port_before(links), username=USERNAME, password=PASSWORD
                )
            )
            backend = self._start_backend(folder, studio)
            plan = Plan(title="spml-annotate demo", backend=backend)
            with studio.client() as client:
                created = create_studio_project(project, links, client, plan, say=self.say)
        for note in created.notes:
            self.say(f"note: {note}")
        assert self._backend is not None
        self._link = created.link.id
        self._facts = DemoFacts(
            studio.url,
            USERNAME,
            PASSWORD,
            created.link.project,
            created.url,
            backend,
            str(folder),
            studio.pid or 0,
            self._backend.pid,
        )

    def _start_backend(self, folder: Path, studio: LocalLabelStudio) -> str:
        port = self.backend_port or free_port()
        if call(f"http://127.0.0.1:{port}", "/health").status:
            raise SettingError(f"port {port} of 127.0.0.1 is in use; give another --backend-port")
        arguments = ["serve", "--project", str(folder / PROJECT), "--host", "127.0.0.1", "--port", str(port)]
        ours = {
            "LABEL_STUDIO_URL": studio.url,
            "LABEL_STUDIO_API_KEY": studio.token,
            "SPML_POLL_SECONDS": "5",
            "SPML_SETTLE_SECONDS": "5",
        }
        log = self._opened.enter_context((folder / LOG).open("ab"))
        self._backend = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-c", _RUN, *arguments],
            env={**_inherited(), **ours, **self.environment},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._opened.callback(_end, self._backend)
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + BACKEND_SECONDS
        while call(url, "/health", timeout=2.0).status != 200:
            if self._backend.poll() is not None or time.monotonic() > until:
                raise RemoteError(f"the backend did not start ({folder / LOG}): {_tail(folder / LOG)}")
            time.sleep(0.2)
        return url

    def watch(self) -> None:
        """Stay until interrupted, and say when a new model is in use.

        Raises:
            RemoteError: if one of the servers has stopped.
        """
        folder = Path(self.facts.folder)
        assert self._backend is not None
        seen = ""
        with closing(LinkStore(folder / PROJECT)) as links:
            while True:
                version = links.get(self._link).version
                if version != seen:
                    if seen:
                        self.say(f"version {version} is in use: trained on the answers until now")
                    seen = version
                if self._backend.poll() is not None:
                    raise RemoteError(f"the backend stopped ({folder / LOG}): {_tail(folder / LOG)}")
                if not alive(self.facts.label_studio_pid):
                    raise RemoteError(f"Label Studio stopped; its log is {folder / STUDIO / 'server.log'}")
                time.sleep(POLL_SECONDS)


def instructions(facts: DemoFacts, program: str = "spml-annotate") -> str:
    """What to click, what to expect and how to go on, as text for a terminal; ``program`` is how a shell finds us."""
    return f"""
Label Studio runs at {facts.page}
  log in as  {facts.username}   password  {facts.password}

1. Click "Label All Tasks" (above the list). Each picture shows a few handwritten digits.
2. Name ONE colour that you see: click it, or press the key shown beside it. Then press "Submit" (Ctrl+Enter).
3. After 20 answers the model trains by itself, in about a minute; this terminal says when its version is in use.
   From then on pictures come with a proposal that is ticked already: submit it, or correct it. What is most useful
   comes first. (Settings > Model > the three dots > "Start Training" trains at once.)

In a second terminal, whenever you like:
  export SPML_PROJECT={shlex.quote(str(Path(facts.folder) / PROJECT))}
  {program} status
  {program} export labelled
and, with LABEL_STUDIO_API_KEY set to the token under Account & Settings > Legacy Token:
  {program} studio doctor --url {facts.url}

Ctrl+C here stops both servers.
"""


def _project(folder: Path, images: int) -> Project:
    """The labelling project, made on first use: drawn pictures, one class per colour."""
    place = folder / PROJECT
    if (place / "spml.toml").is_file():
        return Project(place)
    from spml_annotate.datasets.scene_drawing import COLOURS
    from spml_annotate.datasets.scenes import load_scenes, write_scenes
    from spml_annotate.labels import NEGATIVE, POSITIVE, LabelMatrix
    from spml_annotate.taxonomy import Taxonomy

    scenes = load_scenes(train=images, validation=0, test=0)
    # Classes are (digit, colour) pairs, colours innermost: a colour is there if any digit has it.
    there = (scenes.truth.reshape(images, -1, len(COLOURS)) == POSITIVE).any(1)
    truth = np.where(there, POSITIVE, NEGATIVE).astype(np.int8)
    coloured = replace(scenes, taxonomy=Taxonomy(tuple(COLOURS)), labels=LabelMatrix.from_dense(truth), boxes=None)
    pictures = write_scenes(folder / PICTURES, coloured)
    project = Project.create(place, coloured.taxonomy, name="demo")
    project.add_images(pictures)
    return project


def alive(pid: int) -> bool:
    """Whether a process of ours runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _port_before(links: LinkStore) -> int | None:
    """The port that Label Studio had the last time, if it is free: pages that are open in a browser go on."""
    link = links.of_kind(MAIN)
    port = urlsplit(link.host).port if link is not None else None
    if port is None:
        return None
    with socket.socket() as probe:
        return None if probe.connect_ex(("127.0.0.1", port)) == 0 else port


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def interrupt_on_terminate() -> None:
    """Let a polite request to end (SIGTERM) do what Ctrl+C does, also where a shell made us ignore Ctrl+C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _inherited() -> dict[str, str]:
    """Our environment without settings that were meant for another backend or Label Studio."""
    foreign = ("LABEL_STUDIO_", "SPML_", "BASIC_AUTH_", "START_TRAINING_", "MODEL_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and name not in ("PORT", "HOST")
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a child that we started."""
    process.terminate()
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15.0)
    if process.stdin is not None:
        process.stdin.close()


def _tail(path: Path, size: int = 600) -> str:
    return " ".join(path.read_bytes()[-size:].decode(errors="replace").split())
