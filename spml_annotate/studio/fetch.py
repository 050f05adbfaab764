"""Gets the pictures of tasks, from Label Studio and from places that were allowed, and from nowhere else.

A task is written by anybody who may import into Label Studio, so its picture's address is not trusted: it must not
make this machine read its own network or files, nor carry our token elsewhere, nor fill memory or time.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from spml_annotate.embed.decode import header_size
from spml_annotate.errors import DataError, RemoteError
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.download import REDIRECTS, Answer, Deadline, download, too_large
from spml_annotate.studio.environment import MEGABYTE, StudioSettings
from spml_annotate.studio.references import (
    Origin,
    check_path,
    encoded,
    image_name,
    is_cloud,
    local_file,
    origin_of,
    presign_path,
    wants_token,
)

_HOPS = 4
_STUDIO = "/data/"


class _Step(NamedTuple):
    """Where the next request goes; ``studio``: to Label Studio; ``token``: with our token; ``public``: see download."""

    url: str
    studio: bool
    token: bool
    public: bool


class ImageFetcher:
    """Gets pictures; threads may share it.

    Args:
        settings: what is allowed, and the limits.
        client: of Label Studio, whose token opens its pictures; None asks without one.
        hostname: by which Label Studio calls itself (`/setup` tells), if that differs from its address here.
    """

    def __init__(self, settings: StudioSettings, client: StudioClient | None, hostname: str = "") -> None:
        self._settings = settings
        self._client = client
        self._url = client.url if client is not None else settings.url
        self._prefix = urlsplit(self._url).path
        self._known = frozenset(_origins([self._url, hostname]))
        self._hosts = tuple(_Allowed.of(host) for host in settings.image_hosts)
        self._limit = int(settings.max_image_mb * MEGABYTE)

    def name(self, reference: str) -> str:
        """A stable, readable name of a picture, such as "upload/3/cat.png"; any text has one."""
        return image_name(reference.strip(), self._known, self._prefix)

    def fetch(self, reference: str, *, task: int | None = None) -> bytes:
        """The bytes of a picture whose header was found good; nothing of it is decoded.

        Args:
            reference: as the task has it: "/data/upload/...", "/data/local-files/?d=...", http(s), s3/gs/azure-blob,
                or data:image with base64.
            task: its id, which Label Studio wants to open cloud storages.

        Raises:
            DataError: if it is refused, too large or no picture; the line says which setting would allow it.
            RemoteError: if where it lies does not answer; ``status`` is the HTTP status if there was one.
        """
        reference = reference.strip()
        try:
            reference.encode()
        except UnicodeEncodeError:
            raise DataError(f"image {self.name(reference)}: it is no proper text; correct the task") from None
        try:
            data = self._bytes(reference, task)
            self._check(data)
        except DataError as error:
            raise DataError(f"image {self.name(reference)}: {error}") from None
        except RemoteError as error:
            raise RemoteError(f"image {self.name(reference)}: {error}", status=error.status) from None
        return data

    def _bytes(self, reference: str, task: int | None) -> bytes:
        if reference[:5].lower() == "data:":
            return self._inline(reference)
        deadline = Deadline(self._settings.fetch_seconds)
        if is_cloud(reference):
            if task is None:
                raise DataError("a cloud storage is opened through its task in Label Studio, and there is none")
            return self._get(self._step_to_studio(presign_path(task, reference)), deadline)
        if reference.startswith("/") and not reference.startswith("//"):
            parts = urlsplit(reference)
            path = self._inside(parts.path)
            check_path(path)
            found = self._from_folders(local_file(path, parts.query))
            return found if found is not None else self._get(self._step_to_studio(encoded(path, parts.query)), deadline)
        return self._absolute(reference, deadline)

    def _absolute(self, reference: str, deadline: Deadline) -> bytes:
        step = self._step(reference)
        parts = urlsplit(reference)
        if step.studio:
            found = self._from_folders(local_file(self._inside(parts.path), parts.query))
            if found is not None:
                return found
        return self._get(step, deadline)

    def _get(self, step: _Step, deadline: Deadline) -> bytes:
        for _ in range(_HOPS):
            answer = self._ask(step, deadline)
            if answer.status not in REDIRECTS:
                return self._body(step, answer)
            step = self._step(_joined(step.url, answer.location))
        raise DataError(f"it is sent on more than {_HOPS - 1} times; give the task the address where it ends")

    def _ask(self, step: _Step, deadline: Deadline) -> Answer:
        if not step.token or self._client is None:
            return download(step.url, {}, deadline, self._limit, public=step.public)
        authorization = self._client.authorization()
        answer = self._with(authorization, step, deadline)
        if answer.status == 401 and self._client.refused(authorization):
            answer = self._with(self._client.authorization(), step, deadline)
        return answer

    def _with(self, authorization: str, step: _Step, deadline: Deadline) -> Answer:
        return download(step.url, {"Authorization": authorization}, deadline, self._limit, public=False)

    def _body(self, step: _Step, answer: Answer) -> bytes:
        host = "Label Studio" if step.studio else origin_of(step.url).host
        if answer.status == 401 and step.studio:
            raise RemoteError("Label Studio refuses our token, or got none; set LABEL_STUDIO_API_KEY", status=401)
        if answer.status != 200:
            remedy = (
                "local files need LOCAL_FILES_SERVING_ENABLED and a storage of the project"
                if step.studio and "/local-files/" in step.url
                else "was it deleted?"
            )
            raise RemoteError(f"{host} answers with HTTP {answer.status}; {remedy}", status=answer.status)
        if answer.kind.startswith("text/") or answer.kind == "application/json":
            raise DataError(f"{host} answers with {answer.kind}, which is no picture; correct the task")
        return answer.body

    def _step_to_studio(self, target: str) -> _Step:
        """The step to a path of Label Studio, with its query, both encoded."""
        if not self._url:
            raise DataError("it lies in Label Studio, whose address is not known; set LABEL_STUDIO_URL")
        return _Step(self._url + target, True, wants_token(target.partition("?")[0]), False)

    def _step(self, url: str) -> _Step:
        """The step to an absolute address, if it is allowed."""
        if "\\" in url or not url.isprintable():
            raise DataError("its address has backslashes or control characters; correct the task")
        origin, parts = origin_of(url), urlsplit(url)
        path = self._inside(parts.path)
        if origin in self._known and (path.startswith(_STUDIO) or self._is_studio(url)):
            check_path(path)
            local_file(path, parts.query)  # refuses what climbs; a redirect may lead here, too
            return self._step_to_studio(encoded(path, parts.query))
        allowed = next((host for host in self._hosts if host.matches(origin)), None)
        if allowed is None:
            named = origin.host if origin.port in {80, 443} else f"{origin.host}:{origin.port}"
            raise DataError(f"{named} is no host that images may come from; to allow it, add it to SPML_IMAGE_HOSTS")
        host = f"[{origin.host}]" if ":" in origin.host else _wire_name(origin.host)
        address = f"{parts.scheme}://{host}:{origin.port}{encoded(parts.path or '/', parts.query)}"
        return _Step(address, False, False, allowed.pattern)

    def _is_studio(self, url: str) -> bool:
        """Whether it is Label Studio at its own address; a path that begins otherwise may belong to somebody else."""
        ours, theirs = urlsplit(self._url), urlsplit(url)
        inside = not self._prefix or theirs.path.startswith(f"{self._prefix}/")
        return bool(self._url) and ours.scheme == theirs.scheme and origin_of(self._url) == origin_of(url) and inside

    def _inside(self, path: str) -> str:
        """A path as from the top of Label Studio, also where that lies under a path of its host."""
        return path.removeprefix(self._prefix) if path.startswith(f"{self._prefix}/") else path

    def _from_folders(self, file: str | None) -> bytes | None:
        """A local file's bytes if a folder of ours has it."""
        if file is None:
            return None
        for folder in self._settings.image_folders:
            place = _below(folder, file)
            if place.is_file():
                return self._file(place)
        if not self._url:
            raise DataError("no folder of SPML_IMAGE_FOLDERS has it, and Label Studio's address is not known")
        return None

    def _file(self, place: Path) -> bytes:
        try:
            with place.open("rb") as file:
                data = file.read(self._limit + 1)
        except OSError as error:
            raise DataError(f"its file cannot be read ({error.strerror})") from None
        if len(data) > self._limit:
            raise too_large(self._limit)
        return data

    def _inline(self, reference: str) -> bytes:
        head, comma, _ = reference[:200].partition(",")
        if not comma or not head.lower().startswith("data:image/") or not head.lower().endswith(";base64"):
            raise DataError("of data: addresses only data:image/...;base64 can be read; correct the task")
        if len(reference) > self._limit * 4 / 3 + 256:
            raise too_large(self._limit)
        try:
            return base64.b64decode(reference[len(head) + 1 :], validate=True)
        except (binascii.Error, ValueError):
            raise DataError("its base64 is damaged; correct the task") from None

    def _check(self, data: bytes) -> None:
        width, height = header_size(data)
        if width * height > self._settings.max_pixels:
            raise DataError(
                f"it has {width} x {height} pixels, more than {self._settings.max_pixels}; save it smaller or set "
                "SPML_MAX_PIXELS"
            )


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise DataError("its host sends it on to something that is no address; correct the host") from None


def _below(folder: Path, file: str) -> Path:
    try:
        top = folder.resolve()
        place = (top / file).resolve()
        place.is_file()
    except (OSError, RuntimeError):  # a name too long, a link to itself
        raise DataError("its path cannot be one of a file; correct the task") from None
    if not place.is_relative_to(top):
        raise DataError(f"its file is a link out of {folder}; name the folder it leads to in SPML_IMAGE_FOLDERS")
    return place


def _wire_name(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise DataError("its host cannot be a name; correct the task") from None


class _Allowed(NamedTuple):
    """An entry of SPML_IMAGE_HOSTS; a ``pattern`` ("*.name", "*") covers hosts that nobody has looked at."""

    name: str
    port: int | None
    pattern: bool

    @classmethod
    def of(cls, entry: str) -> _Allowed:
        text = entry.strip().lower()
        if text.startswith("["):
            name, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":")
        elif text.count(":") > 1:
            name, port = text, ""
        else:
            name, _, port = text.partition(":")
        return cls(name.rstrip("."), int(port) if port.isdigit() else None, name.startswith("*"))

    def matches(self, origin: Origin) -> bool:
        """Whether a host is meant; without a port of its own the entry means the usual two."""
        if origin.port != self.port and (self.port is not None or origin.port not in {80, 443}):
            return False
        return origin.host.endswith(self.name[1:]) if self.pattern else origin.host == self.name


def _origins(urls: Iterable[str]) -> Iterable[Origin]:
    for url in urls:
        try:
            yield origin_of(url.strip())
        except DataError:
            continue  # what /setup tells may be empty or no address; it is then no host that is recognised
