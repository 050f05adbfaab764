"""Which folder serves which Label Studio project: found, adopted or made; and what speaks with Label Studio for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from spml_annotate.errors import DataError, MismatchError, RemoteError, SettingError, SpmlError
from spml_annotate.loop.links import MAIN, Link, LinkStore
from spml_annotate.server.connections import most_projects, open_files
from spml_annotate.server.jobs import Job, JobStore
from spml_annotate.server.metrics import Metrics
from spml_annotate.server.naming import Named, folder_name, same_project, seconds_of
from spml_annotate.server.security import SECRETS, basic_header
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.studio.tokens import token_kind
from spml_annotate.studio.transport import studio_address
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace import SETTINGS, Workspace
from spml_annotate.workspace.lock import WriterLock

logger = logging.getLogger(__name__)

LOCK = "server.lock"
NOBODY = "spml-0000-none"
"""The version that is announced to a Label Studio project which no folder serves; it must not be empty."""
MOST_PROJECTS = 500
"""So many folders are made at most: anybody who may ask for `/setup` could ask for many."""
MOST_LINKS = 50
"""So many Label Studio projects one given folder serves at most, for the same reason."""
_MOST_CHANGES = 10 * MOST_PROJECTS  # of addresses and tokens that requests tell
_LONGEST_HOST = 300
_LONGEST_MESSAGE = 2000
_TOKEN_LETTERS = range(16, 4097)


class Served:
    """One project folder: its links and jobs.

    ``busy`` is held by whatever changes images, features or models; ``changes`` grows whenever that has happened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changes = 0
        self.links = LinkStore(folder)
        self.jobs = JobStore(folder)
        self.busy = threading.Lock()

    def main(self) -> Link | None:
        """The link to which the backend is connected."""
        return self.links.of_kind(MAIN)

    def taxonomy(self) -> Taxonomy:
        """The classes, as they are on disk now."""
        with Workspace.open(self.folder) as workspace:
            return workspace.taxonomy

    def close(self) -> None:
        """Let go of the files."""
        self.links.close()
        self.jobs.close()


class Hub:
    """All folders that one server serves.

    ``pending`` has host and config of Label Studio projects whose classes must be read from their tasks first.

    Args:
        settings: of the server.
        project: the folder of the one project to serve; without it, folders below ``settings.model_dir`` are made for
            the Label Studio projects that connect.
    """

    def __init__(self, settings: StudioSettings, project: Path | None = None) -> None:
        self.settings = settings
        self.project = project
        self.metrics = Metrics(self)
        self._served: list[Served] = []
        self._guard = threading.Lock()
        self._making = threading.Lock()
        self.pending: dict[Named, tuple[str, str]] = {}
        self._known: dict[Named, tuple[Served, int]] = {}
        self._tokens: dict[Named, str] = {}
        self._hosts: dict[Named, str] = {}
        self._told: dict[Named, str] = {}
        self._told_times = 0
        self._clients: dict[tuple[str, str], StudioClient] = {}
        self._hints: dict[tuple[Path, int], float] = {}
        self._hinted = threading.Event()
        self._once: set[str] = set()
        self._room = MOST_PROJECTS
        self._exit = ExitStack()
        self.is_open = False

    # Beginning and end

    def open(self) -> None:
        """Claim the folder and find what is in it.

        Raises:
            MismatchError: if another server serves it. DataError: if it is no project, or cannot be made.
        """
        SECRETS.add(self.settings.token)
        self._room = most_projects(open_files())
        if self.settings.basic:
            SECRETS.add(self.settings.basic[1], basic_header(self.settings.basic).removeprefix("Basic "))
        root = self.project or self.settings.model_dir
        if self.project is not None:
            Workspace.open(self.project).close()  # says what is wrong before anything is claimed
        else:
            _make_folder(root)
        try:
            self._exit.enter_context(WriterLock(root / LOCK).hold("serve"))
        except MismatchError as error:
            raise MismatchError(
                f"{root} is served already ({str(error).partition('(')[2].partition(')')[0]}); one server per folder: "
                "end the other, or give another MODEL_DIR"
            ) from None
        for folder in [self.project] if self.project is not None else sorted(root.iterdir()):
            if (folder / SETTINGS).is_file():
                self._add_free(folder)
        self.is_open = True

    def _add_free(self, folder: Path) -> None:
        try:
            self._add(folder)
        except MismatchError as error:
            if self.project is not None:
                raise
            logger.error("%s is left to another server: %s", folder.name, error)

    def _add(self, folder: Path) -> Served:
        with ExitStack() as claimed:
            if self.project is None:  # its jobs are nobody else's, whichever way another server came to it
                claimed.enter_context(WriterLock(folder / LOCK).hold("serve"))
            served = Served(folder)
            for job in served.jobs.recover():
                logger.warning("%s: a %s was interrupted; it is %s now", folder.name, job.kind, job.state)
            self._exit.enter_context(claimed.pop_all())
        with self._guard:
            self._served = [*self._served, served]
        return served

    def close(self) -> None:
        """Let go of everything."""
        self.is_open = False
        for served in self._served:
            served.close()
        for client in self._clients.values():
            client.close()
        self._served = []
        self._clients.clear()
        self._known.clear()
        self._exit.close()

    def served(self) -> Sequence[Served]:
        """The folders, as they are now."""
        return self._served

    # Finding

    def find(self, project: Named) -> tuple[Served, Link] | None:
        """The folder and link of a Label Studio project; None if there is none yet."""
        known = self._known.get(project)
        if known is not None:
            return known[0], known[0].links.get(known[1])
        for served in reversed(self._served):
            for link in reversed(served.links.links()):
                if same_project(project, link.project, link.created):
                    self._known[project] = served, link.id
                    return served, link
        return None

    def adopt(self, project: Named, host: str, config: str, classes: Sequence[str] = ()) -> tuple[Served, Link] | None:
        """Find the folder of a Label Studio project, or make one, or let the given one serve it if its classes fit.

        Args:
            project: as it was named.
            host: address of Label Studio as it names itself.
            config: labelling config.
            classes: used where the config itself names none (choices that come with the task).

        Returns:
            None if it cannot be served; why is logged once.
        """
        with self._making:  # Label Studio asks twice at once
            found = self.find(project)
            if found is not None:
                return found
            try:
                parsed = parse_config(config)
                known = tuple(dict.fromkeys((*parsed.classes, *classes)))
                if not known and len(self.pending) < MOST_PROJECTS:
                    self.pending[project] = host, config
                made = self._adopt(project, host, config, parsed, known)
                self.pending.pop(project, None)
                return made
            except SpmlError as error:
                self.say_once(f"Label Studio project {project.project} cannot be served: {error}")
                return None

    def _adopt(
        self, project: Named, host: str, config: str, parsed: LabellingConfig, classes: tuple[str, ...]
    ) -> tuple[Served, Link]:
        if self.project is None:
            served = self._make(project, host, classes)
        else:
            served = self._served[0]
            _check_fit(served.taxonomy(), parsed, classes)
            if len(served.links.links()) >= MOST_LINKS:
                raise DataError(f"{served.folder} is tied to {MOST_LINKS} Label Studio projects; serve another folder")
        link = served.links.add(host, project.project, project.created, MAIN, config)
        logger.info("%s serves Label Studio project %d at %s", served.folder.name, project.project, host or "?")
        return served, link

    def _make(self, project: Named, host: str, classes: tuple[str, ...]) -> Served:
        if not classes:
            raise DataError("its classes come with its tasks; they are read from Label Studio soon")
        most = min(MOST_PROJECTS, self._room)
        if len(self._served) >= most:
            raise DataError(
                f"this server serves {most} projects; serve this one with --project DIR"
                + ("" if most == MOST_PROJECTS else ", or allow more open files (ulimit -n)")
            )
        folder = self.settings.model_dir / folder_name(host, project)
        if not (folder / SETTINGS).is_file():
            Workspace.create(folder, Taxonomy(classes), name=folder.name).close()
        return self._add(folder)

    # Label Studio

    def remember(self, project: Named, host: str, token: str, *, trusted: bool) -> None:
        """Note what `/setup` says of Label Studio: second choice behind the settings, kept in memory only.

        What cannot be an address or a token is not kept, and nothing more after thousands of changes.

        Args:
            project: as it was named.
            host: its address; used only if none is configured and ``trusted``, for a request could name any address.
            token: of the user who made the project.
            trusted: whether who asked knew the password.
        """
        host = host if len(host) <= _LONGEST_HOST else ""
        token = token if _is_token(token) else ""
        if self._told.get(project) != host or (token and self._tokens.get(project) != token):
            self._told_times += 1
        if self._told_times > _MOST_CHANGES:
            return  # somebody plays
        self._told[project] = host
        if token:
            SECRETS.add(token)
            self._tokens[project] = token
        if host and trusted:
            try:
                self._hosts[project] = studio_address(host)
            except SettingError as error:
                self.say_once(str(error))

    def access(self, link: Link) -> tuple[str, str]:
        """Address and token for a link's Label Studio.

        Raises:
            RemoteError: if one of them is not known.
        """
        url, token = self._place(Named(link.project, seconds_of(link.created)))
        if not url:
            raise RemoteError("LABEL_STUDIO_URL is not set: nothing can be read from Label Studio; set it")
        if not token:
            raise RemoteError(
                "LABEL_STUDIO_API_KEY is not set: nothing can be read from Label Studio; set it to an access token"
            )
        return url, token

    def client(self, link: Link) -> StudioClient:
        """What speaks with a link's Label Studio; see `access` for errors."""
        return self._client(self.access(link))

    def client_of(self, project: Named) -> StudioClient | None:
        """What speaks with the Label Studio of a project that no folder serves yet; None if it cannot be reached."""
        url, token = self._place(project)
        return self._client((url, token)) if url and token else None

    def _place(self, project: Named) -> tuple[str, str]:
        """Address and token, "" where unknown; the configured token goes to the configured address and nowhere else."""
        if self.settings.url or self.settings.token:
            return self.settings.url, self.settings.token or self._tokens.get(project, "")
        return self._hosts.get(project, ""), self._tokens.get(project, "")

    def _client(self, key: tuple[str, str]) -> StudioClient:
        with self._guard:
            if key not in self._clients:
                self._clients[key] = StudioClient(*key)
            return self._clients[key]

    def hostname(self, link: Link) -> str:
        """How Label Studio names itself in the addresses of its images."""
        return self._told.get(Named(link.project, seconds_of(link.created))) or link.host

    def fetcher(self, link: Link) -> ImageFetcher:
        """What reads a link's images."""
        try:
            client = self.client(link)
        except RemoteError as error:
            self.say_once(str(error))
            return ImageFetcher(self.settings, None, self.hostname(link))
        return ImageFetcher(self.settings, client, self.hostname(link))

    # Hints

    def hint(self, served: Served, link: int) -> None:
        """Something may have changed at Label Studio: look soon."""
        with self._guard:
            self._hints.setdefault((served.folder, link), time.monotonic())
        self._hinted.set()

    def take_hint(self, served: Served, link: int, settled: float) -> bool:
        """Whether there was a hint at least ``settled`` seconds ago, which is then forgotten."""
        with self._guard:
            since = self._hints.get((served.folder, link))
            if since is None or time.monotonic() - since < settled:
                return False
            del self._hints[(served.folder, link)]
        return True

    def wait_for_hint(self, seconds: float) -> None:
        """Return when there is a hint, after ``seconds`` at the latest."""
        self._hinted.wait(seconds)
        self._hinted.clear()

    def job_ended(self, served: Served, link: int) -> None:
        """Look at the link of a job: what it needs next may have changed."""
        served.changes += 1
        self.hint(served, link)

    def say_once(self, message: str) -> None:
        """Log a warning, the first time only."""
        with self._guard:
            message = message[:_LONGEST_MESSAGE]
            if message in self._once:
                return
            if len(self._once) < 10_000:
                self._once.add(message)
        logger.warning("%s", message)


def jobs_of(hub: Hub) -> list[tuple[Served, Job]]:
    """All remembered jobs of all folders."""
    return [(served, job) for served in hub.served() for job in served.jobs.jobs()]


def _check_fit(taxonomy: Taxonomy, config: LabellingConfig, classes: Sequence[str]) -> None:
    unknown = [name for name in classes if name not in taxonomy]
    if unknown:
        raise MismatchError(
            f"the project has no class {unknown[0]!r} ({len(unknown)} of {len(classes)} are unknown to it); add them "
            "with `spml-annotate classes add`, or serve another project"
        )


def _is_token(text: str) -> bool:
    try:
        token_kind(text)
    except SettingError:
        return False
    return len(text) in _TOKEN_LETTERS


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"MODEL_DIR {root} cannot be made ({error.strerror or error}); choose another") from None
