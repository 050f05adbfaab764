"""Starts a real Label Studio on this machine, on 127.0.0.1 alone, for the demonstration and for the tests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import httpx

from spml_annotate.errors import MissingExtraError, RemoteError, SettingError

if TYPE_CHECKING:
    from spml_annotate.studio.client import StudioClient

USERNAME = "admin@example.com"
BOOT_SECONDS = 240.0
_PORT_SECONDS = 15.0
_DATABASE = "label_studio.sqlite3"

_KEPT = {
    "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "USERPROFILE",
    "VIRTUAL_ENV",
}  # fmt: skip
"""Label Studio reads plain names such as PORT and PASSWORD, so it is shown only what any program needs."""

_QUIET = {
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "FEATURE_FLAGS_OFFLINE": "true",
    "ML_BLOCK_LOCAL_IP": "false",  # both: with one alone the backend is connected without a webhook
    "SSRF_PROTECTION_ENABLED": "false",
    "LOCAL_FILES_SERVING_ENABLED": "true",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LOG_LEVEL": "WARNING",
    "PYTHONUNBUFFERED": "1",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}

# The server ends when its standard input does, that is when whoever started it is gone, however it went. (The death
# signal of Linux would come when the starting *thread* ends.)
_RUN = """
import os, sys, threading
def watch():
    while os.read(0, 4096):
        pass
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
from label_studio.server import main
main()
"""


class LocalLabelStudio:
    """A Label Studio of one's own, as a context manager; it stops with the block, or with the process.

    Args:
        folder: of its database and uploads; one that was used before is used again. None: a temporary one.
        port: on 127.0.0.1; None takes a free one.
        files: folder of images that it may serve as local files (default: ``files`` in ``folder``). Label Studio
            wants a storage's path to lie *below* it.
        username: e-mail of its first user; password: None makes one up.
        environment: further environment variables of the server; they win.

    Raises:
        MissingExtraError: if Label Studio is not installed beside this package.
        RemoteError: if it does not come up; the message has the end of its log.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        port: int | None = None,
        files: str | Path | None = None,
        username: str = USERNAME,
        password: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if importlib.util.find_spec("label_studio") is None:
            raise MissingExtraError(
                "Label Studio is not installed; run: pip install 'spml-annotate[label-studio]', or use one that runs "
                "elsewhere"
            )
        self.username = username
        self.password = password or secrets.token_urlsafe(12)
        self.token = secrets.token_hex(20)
        self.personal_token = ""
        self.port = port
        self.boot_seconds = 0.0
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="label-studio-") if folder is None else folder).resolve()
        self.files = Path(files if files is not None else self.folder / "files").resolve()
        self.log = self.folder / "server.log"
        self._extra = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __repr__(self) -> str:
        return f"LocalLabelStudio({str(self.folder)!r}, port={self.port})"

    @property
    def url(self) -> str:
        """Address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it and wait until its first user can log in."""
        begun = time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # its database holds tokens
            self.files.mkdir(parents=True, exist_ok=True)
            self._keep_key()
            self._fill()
            self._boot()
            self._open_tokens()
        except BaseException:
            self.stop()
            raise
        self.boot_seconds = time.monotonic() - begun
        return self

    def stop(self, *, keep: bool = False) -> None:
        """Stop it; its folder goes as well if it was a temporary one and is not to be kept."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10.0)
            if process.stdin is not None:
                process.stdin.close()
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._temporary and not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> None:
        """Stop and start it again with the same folder, port, users and tokens."""
        self.stop(keep=True)
        self._boot()

    def client(self, token: str | None = None) -> StudioClient:
        """A client for it, as its first user unless another's token is given."""
        from spml_annotate.studio.client import StudioClient

        return StudioClient(self.url, token or self.token)

    def add_user(self, email: str, password: str) -> tuple[str, str]:
        """Sign a further user up by the organisation's invitation; returns e-mail and legacy token."""
        with self._visitor() as visitor:
            invitation = visitor.get("/api/invite", headers={"Authorization": self._authorization()}).json()
            path = invitation["invite_url"]
            self._submit(visitor, path, email, password)
            return email, visitor.get("/api/current-user/token").json()["token"]

    def tail(self, size: int = 2000) -> str:
        """The end of its log, on one line."""
        if not self.log.is_file():
            return ""
        return " ".join(self.log.read_bytes()[-size:].decode(errors="replace").split())

    def _keep_key(self) -> None:
        """Give it a key that it reads back as it was written.

        Of the keys that Label Studio makes up one in fifty begins with ``$``, which it takes for a variable when it
        starts again: it then makes another key, and every personal access token is refused.
        """
        settings = self.folder / ".env"
        if not settings.exists():
            with os.fdopen(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"SECRET_KEY={secrets.token_hex(32)}\n")

    def _fill(self) -> None:
        database = self.folder / _DATABASE
        if database.exists():
            return
        made = _template(self._environment())
        copy = database.with_suffix(".new")
        shutil.copyfile(made, copy)
        copy.replace(database)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
        own = {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
            "LABEL_STUDIO_USERNAME": self.username,
            "LABEL_STUDIO_PASSWORD": self.password,
            "LABEL_STUDIO_USER_TOKEN": self.token,
        }
        if self.port is not None:
            own["LABEL_STUDIO_HOST"] = self.url
        return {**kept, **_QUIET, **own, **self._extra}

    def _boot(self) -> None:
        self.port = self.port or _free_port()
        _wait_for_port(self.port)
        self._output = self.log.open("ab")
        options = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(self.port), "--host", self.url]
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter)
            [sys.executable, "-P", "-c", _RUN, "start", *options, "--enable-legacy-api-token"],
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        self._wait()

    def _wait(self) -> None:
        process = self._process
        assert process is not None
        end = time.monotonic() + BOOT_SECONDS
        with self._visitor(timeout=5.0) as visitor:
            while time.monotonic() < end:
                if process.poll() is not None:
                    raise RemoteError(f"Label Studio stopped while it started ({self.log}): {self.tail()}")
                try:
                    if visitor.get("/health").status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # it does not listen yet
                time.sleep(0.1)
        raise RemoteError(f"Label Studio did not answer within {BOOT_SECONDS:.0f} s ({self.log}): {self.tail()}")

    def _open_tokens(self) -> None:
        """Tokens of the first user; in a folder used before, the token made up here is not the one that counts."""
        with self._visitor() as visitor:
            if visitor.get("/api/current-user/whoami", headers={"Authorization": self._authorization()}).is_error:
                self._submit(visitor, "/user/login/", self.username, self.password)
                self.token = visitor.get("/api/current-user/token").json()["token"]
            made = visitor.post("/api/token/", headers={"Authorization": self._authorization()}, json={})
            if made.status_code == 201:  # else there is one already, which Label Studio never shows again
                self.personal_token = made.json()["token"]

    def _authorization(self) -> str:
        return f"Token {self.token}"

    def _visitor(self, timeout: float = 60.0) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def _submit(self, visitor: httpx.Client, path: str, email: str, password: str) -> None:
        """Fill in the form of a page as a browser does; the visitor is then logged in."""
        visitor.get(path)
        form = {"csrfmiddlewaretoken": visitor.cookies.get("csrftoken", ""), "email": email, "password": password}
        answer = visitor.post(path, data=form, headers={"Referer": self.url + path})
        if answer.status_code != 302:
            raise RemoteError(
                f"Label Studio at {self.url} did not accept {email} and the password at {path.split('?')[0]}; if its "
                f"folder {self.folder} was used before, give the password of that time"
            )


def _template(environment: Mapping[str, str]) -> Path:
    """A migrated, empty database, made once per version: the 300 migrations take half a minute, a copy nothing."""
    versions = [importlib.metadata.version(name) for name in ("label-studio", "django")]
    key = hashlib.sha256(" ".join([*versions, sys.version]).encode()).hexdigest()[:16]
    place = _cache() / f"{key}.sqlite3"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(prefix="label-studio-") as folder:
        result = subprocess.run(
            # "version" migrates and ends; the option --version would go on to serve
            [sys.executable, "-P", "-c", "from label_studio.server import main; main()", "version"],
            env={**environment, "LABEL_STUDIO_BASE_DATA_DIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=folder,
            timeout=BOOT_SECONDS,
            check=False,
        )
        made = Path(folder) / _DATABASE
        if result.returncode or not made.exists():
            words = " ".join((result.stdout + result.stderr)[-1000:].decode(errors="replace").split())
            raise RemoteError(f"Label Studio could not make its database; reinstall it: {words}")
        new = place.with_name(f"{key}.{os.getpid()}.{secrets.token_hex(4)}")
        shutil.copyfile(made, new)
        new.replace(place)
    return place


def _cache() -> Path:
    """A folder of this user alone: a database that somebody else laid there could hold a user of theirs."""
    top = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(top) / "spml-annotate" / "label-studio"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingError(
            f"{place} cannot be made ({error.strerror}); set XDG_CACHE_HOME to a folder of yours"
        ) from None
    return place


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: Any = probe.getsockname()[1]
        return int(port)


def _wait_for_port(port: int) -> None:
    """Wait until nobody listens there: Label Studio would silently take the next port."""
    end = time.monotonic() + _PORT_SECONDS
    while True:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        if time.monotonic() > end:
            raise SettingError(f"port {port} of 127.0.0.1 is in use; choose another or stop what listens there")
        time.sleep(0.1)
