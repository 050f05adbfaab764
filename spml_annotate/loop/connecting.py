"""Connects our backend to a Label Studio project: the row there, equal versions, the webhook, and a tab in the order.

Label Studio serves the most useful task first only if four strings are equal: what `/setup` announces, what stored
predictions carry, the backend's title, and the project's model version. They are made equal here at the start.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from spml_annotate.errors import RemoteError
from spml_annotate.loop.links import Link, LinkStore
from spml_annotate.studio.client import StudioClient

BLOCKED = (
    "Label Studio (from 1.23.1 on) refuses backends at private and loopback addresses; start Label Studio itself with "
    "ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false (both: with one alone the webhook is missing), or with "
    "USE_DEFAULT_BANNED_SUBNETS=false and USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16"
)
SAMPLING = "Uncertainty sampling"
"""The order of the label stream that serves the task with the lowest prediction score first."""
BORN_WITH = "Sequential sampling"
"""The order that Label Studio gives to a new project."""
TAB = "Most useful first"
SCORE = "tasks:predictions_score"
Basic = tuple[str, str]


class Connection(NamedTuple):
    """Ids of the backend's row and of its webhook in Label Studio, and what deserves a look."""

    backend: int
    webhook: int
    notes: tuple[str, ...] = ()


class Reply(NamedTuple):
    """What a server said: ``status`` is 0 if it did not answer, with the reason as ``body``; seconds it took."""

    status: int
    body: Any
    seconds: float
    headers: Mapping[str, str] = MappingProxyType({})


def call(url: str, path: str, basic: Basic | None = None, *, body: object = None, timeout: float = 10.0) -> Reply:
    """Ask a backend as Label Studio would: POST with a body, GET without; never raises."""
    begun = time.monotonic()
    try:
        with httpx.Client(auth=basic, timeout=timeout, trust_env=False) as visitor:
            answer = visitor.request("GET" if body is None else "POST", join(url, path), json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Reply(0, " ".join(str(error).split()) or type(error).__name__, time.monotonic() - begun)
    seconds = time.monotonic() - begun
    try:
        said = answer.json()
    except ValueError:
        said = None
    return Reply(answer.status_code, said, seconds, answer.headers)


def join(url: str, path: str) -> str:
    """Address of a route of a backend."""
    return url.rstrip("/") + path


def same_place(one: str, other: str) -> bool:
    """Whether two URLs mean the same backend."""
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.netloc.lower(), a.path.rstrip("/")) == (b.scheme, b.netloc.lower(), b.path.rstrip("/"))


def oldest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The backend that Label Studio asks for the label stream: without its answer no proposal is shown at all."""
    return min(rows, key=lambda row: int(row["id"]))


def basic_header(basic: Basic) -> dict[str, str]:
    """The header that Label Studio must send with a webhook; by itself it sends none."""
    return {"Authorization": "Basic " + base64.b64encode(":".join(basic).encode()).decode()}


def connect_backend(
    links: LinkStore, link: Link, client: StudioClient, url: str, basic: Basic | None = None
) -> Connection:
    """Connect the backend at a URL to a Label Studio project, or mend the connection that is there.

    A backend that was connected at another address has moved: its row and its webhook move with it.

    Args:
        links: where the backend's id is noted.
        link: the Label Studio project.
        client: speaks with it.
        url: of the backend, as Label Studio reaches it.
        basic: user and password that the backend asks for.

    Raises:
        RemoteError: if the backend does not answer, or Label Studio refuses it, with the remedy.
    """
    trouble = _trouble(url, basic)
    row = _connected(client, link, url, basic, trouble)
    notes = [f"{trouble}; Label Studio reaches it, this machine does not"] if trouble else []
    link = links.update(link.id, backend=int(row["id"]))
    elder = oldest(client.backends(link.project))
    if elder["id"] != row["id"]:
        notes.append(
            f"Label Studio shows the proposals of the oldest backend only, which is the one at {elder['url']}; delete "
            "it in Settings > Model"
        )
    announced = row.get("model_version")
    if announced and announced != link.version:
        notes.append(
            f"the backend at {url} announces version {announced}, this folder has {link.version}: it serves another "
            "folder; start it with `spml-annotate serve --project DIR` for this one"
        )
    else:
        agree_on_version(client, link, row, basic)
    return Connection(int(row["id"]), ensure_webhook(client, link, url, basic), tuple(notes))


def order_by_score(client: StudioClient, link: Link) -> bool:
    """Let a project that was just connected serve what is most useful, if it has the order it was born with.

    Only then: whoever chooses another order afterwards keeps it. Returns whether it was changed.
    """
    if client.project(link.project).get("sampling") != BORN_WITH:
        return False
    client.update_project(link.project, sampling=SAMPLING)
    return True


def agree_on_version(client: StudioClient, link: Link, row: dict[str, Any], basic: Basic | None = None) -> None:
    """Let the backend's title and the project's model version be the version in use."""
    if row.get("title") != link.version:
        client.rename_backend(int(row["id"]), link.version, str(row["url"]), link.project, basic)
    if client.project(link.project).get("model_version") != link.version:
        client.update_project(link.project, model_version=link.version)


def ensure_webhook(client: StudioClient, link: Link, url: str, basic: Basic | None = None) -> int:
    """The id of the one webhook that calls a backend, made or mended; it is active and carries the password."""
    target = join(url, "/webhook")
    headers = basic_header(basic) if basic else {}
    found = [hook for hook in client.webhooks(link.project) if same_place(str(hook["url"]), target)]
    if not found:
        try:
            return int(client.create_webhook(link.project, target, headers)["id"])
        except RemoteError as error:
            raise _explained(error) from None
    hook = found[0]
    lacking = headers and (hook.get("headers") or {}).get("Authorization") != headers["Authorization"]
    if lacking or not hook.get("is_active", True):
        body = {"url": target, "is_active": True, **({"headers": headers} if headers else {})}
        client.request("PATCH", f"/api/webhooks/{hook['id']}/", json=body)
    return int(hook["id"])


def order_tab(client: StudioClient, link: Link) -> None:
    """Add a tab to the project's list of tasks that shows open tasks, the most useful first; once."""
    views = client.request("GET", f"/api/dm/views/?project={link.project}")
    if any((view.get("data") or {}).get("title") == TAB for view in views):
        return
    if not views:  # the first tab that exists replaces the default one, which people look for
        client.create_tab(link.project, "Default", ())
    still_open = {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}
    client.create_tab(link.project, TAB, (SCORE,), (still_open,))


def _trouble(url: str, basic: Basic | None) -> str:
    """Why a backend cannot be used, seen from this machine; empty if it can."""
    reply = call(url, "/health", basic)
    if reply.status == 401:
        raise RemoteError(f"the backend at {url} wants a user and password; set BASIC_AUTH_USER and BASIC_AUTH_PASS")
    if reply.status == 200:
        return ""
    said = f"HTTP {reply.status}" if reply.status else str(reply.body)
    remedy = "start it with `spml-annotate serve --project DIR`, or say with --backend URL where it is"
    return f"the backend at {url} does not answer from here ({said}); {remedy}"


def _connected(client: StudioClient, link: Link, url: str, basic: Basic | None, trouble: str) -> dict[str, Any]:
    """The backend's row at a URL: the one that is there, the one it had at another address, or a new one."""
    rows = client.backends(link.project)
    there = next((row for row in rows if same_place(str(row["url"]), url)), None)
    if there is not None:
        return there
    moved = next((row for row in rows if row["id"] == link.backend), None)
    try:
        if moved is None:
            return client.connect_backend(link.project, url, link.version, basic=basic)
        # A second row would not do: Label Studio shows what the oldest one proposes, and calls all their webhooks.
        row = client.rename_backend(int(moved["id"]), link.version, url, link.project, basic)
        _move_webhook(client, link, str(moved["url"]), url)
        return row
    except RemoteError as error:
        if error.status == 403:
            raise _explained(error) from None
        words = str(error).split(". ", 1)[0]  # what follows is general advice in HTML, and an exception's text
        raise RemoteError(f"{trouble}; Label Studio says: {words}") if trouble else error from None


def _move_webhook(client: StudioClient, link: Link, old: str, new: str) -> None:
    for hook in client.webhooks(link.project):
        if same_place(str(hook["url"]), join(old, "/webhook")):
            client.request("PATCH", f"/api/webhooks/{hook['id']}/", json={"url": join(new, "/webhook")})


def _explained(error: RemoteError) -> RemoteError:
    return RemoteError(f"{BLOCKED} ({error})") if error.status == 403 else error
