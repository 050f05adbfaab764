"""One HTTP conversation with Label Studio: authorisation, repeats, and failures as one line."""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from spml_annotate.errors import RemoteError, SettingError
from spml_annotate.studio.tokens import TokenKind, Tokens

Json = dict[str, Any]
SLOW_SECONDS = 300.0
"""Patience for requests that make Label Studio write many rows, or ask our own backend while we wait."""
RETRY_SECONDS = (0.2, 0.6, 1.5)
"""Pauses before the further attempts of a request that may be repeated."""
_LONGEST = 400
_BUSY = {500, 502, 503, 504}
"""Label Studio on SQLite answers 500 while somebody else writes; the others come from a proxy before it."""


class _WithoutQueries(logging.Filter):
    """httpx logs whole addresses; their queries may hold signatures."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                value.copy_with(query=None) if isinstance(value, httpx.URL) else value for value in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutQueries())


class Transport:
    """Speaks HTTP with one Label Studio; threads may share it.

    Args:
        url: its address, as a browser would use it.
        token: legacy token or personal access token.
        timeout: seconds that one request may take to be accepted, and to bring each piece of its answer.

    Raises:
        SettingError: if address or token cannot be one.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        self.url = studio_address(url)
        self._tokens = Tokens(token, self._exchange)
        # a proxy of the environment is for the outside world; what listens on this machine is not there
        self._http = httpx.Client(base_url=self.url, timeout=timeout, trust_env=not _is_local(self.url))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, token_kind={self.token_kind!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def token_kind(self) -> TokenKind:
        """Which kind of token it was given."""
        return self._tokens.kind

    def authorization(self) -> str:
        """Value of the ``Authorization`` header; only for requests to ``url`` itself."""
        return self._tokens.header()

    def refused(self, authorization: str) -> bool:
        """Told that this authorisation brought 401: whether to try once more with a new one."""
        return self._tokens.refused(authorization)

    def request(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401  (JSON)
        """Send a request; returns what came back as JSON (None if nothing did).

        Args:
            method: of HTTP; GET is repeated if the connection breaks, others only if there never was one.
            path: from the address on, such as "/api/projects/".
            options: as of `httpx.Client.request` (``json``, ``params``, ``files``, ``timeout``...).

        Raises:
            RemoteError: in one line; ``status`` is the answer's, None if there was none.
        """
        authorization = self.authorization()
        answer = self._send(method, path, authorization, options)
        if answer.status_code == 401 and self.refused(authorization):
            answer = self._send(method, path, self.authorization(), options)
        if answer.is_success:
            return self._read(method, path, answer)
        raise self._failure(method, path, answer)

    def _dict(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401  (of httpx)
        read = self.request(method, path, **options)
        if not isinstance(read, dict):
            raise self._other_shape(method, path)
        return read

    def _list(self, method: str, path: str, **options: Any) -> list[Json]:  # noqa: ANN401  (of httpx)
        read = self.request(method, path, **options)
        if not isinstance(read, list):
            raise self._other_shape(method, path)
        return read

    def _other_shape(self, method: str, path: str) -> RemoteError:
        return RemoteError(f"{self.url} answered {method} {path} in an unknown form; is it Label Studio 1.x?")

    def _send(self, method: str, path: str, authorization: str | None, options: Mapping[str, Any]) -> httpx.Response:
        given = dict(options)
        headers = {"Accept": "application/json", **given.pop("headers", {})}
        if authorization is not None:
            headers["Authorization"] = authorization
        for pause in (*RETRY_SECONDS, None):
            try:
                answer = self._http.request(method, path, headers=headers, **given)
            except httpx.TransportError as error:
                never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if pause is None or not (method == "GET" or never_sent):
                    raise RemoteError(self._silence(method, path, error)) from None
            else:
                if pause is None or method != "GET" or answer.status_code not in _BUSY:
                    return answer
            time.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def _exchange(self, token: str) -> str:
        """A personal token's next access token."""
        answer = self._send("POST", "/api/token/refresh/", None, {"json": {"refresh": token}})
        if answer.is_success:
            read = self._read("POST", "/api/token/refresh/", answer)
            if isinstance(read, dict) and isinstance(read.get("access"), str):
                return str(read["access"])
        if answer.status_code in {400, 401, 403}:
            raise RemoteError(
                f"Label Studio at {self.url} refuses the personal access token; it was revoked, or made on another "
                "Label Studio: create one there under Account & Settings > Personal Access Token and set "
                "LABEL_STUDIO_API_KEY",
                status=401,
            )
        raise self._failure("POST", "/api/token/refresh/", answer)

    def _read(self, method: str, path: str, answer: httpx.Response) -> Any:  # noqa: ANN401  (JSON)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise RemoteError(
                f"{self.url} answered {method} {path} with {_type(answer)} instead of JSON; is it the address of "
                "Label Studio? Correct LABEL_STUDIO_URL",
                status=answer.status_code,
            ) from None

    def _silence(self, method: str, path: str, error: httpx.TransportError) -> str:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return f"Label Studio at {self.url} did not answer {method} {path} in time; it is busy or stuck, try again"
        reason = self._tokens.hide(_short(str(error) or type(error).__name__))
        return (
            f"Label Studio at {self.url} cannot be reached ({reason}); start it, or correct LABEL_STUDIO_URL (from "
            "inside a container, localhost is the container itself)"
        )

    def _failure(self, method: str, path: str, answer: httpx.Response) -> RemoteError:
        status, words = answer.status_code, self._tokens.hide(_words(answer))
        where = f"Label Studio at {self.url}"
        if status == 401:
            text = self._unauthorised(where, words)
        elif status == 403:
            text = f"{where} does not allow {method} {path}: {words}; use the token of a user who may"
        elif status == 404:
            text = f"{where} has no {path} ({words}); was it deleted, or is LABEL_STUDIO_URL another server's?"
        elif 300 <= status < 400:
            target = httpx.URL(answer.headers.get("location", "")).copy_with(query=None)
            text = f"{where} sends {method} {path} on to {target}; set LABEL_STUDIO_URL to the address that answers"
        elif status >= 500:
            text = f"{where} failed at {method} {path} with HTTP {status}: {words}; see its log"
        else:
            text = f"{where} refused {method} {path} with HTTP {status}: {words}"
        return RemoteError(text, status=status)

    def _unauthorised(self, where: str, words: str) -> str:
        if self.token_kind == "legacy":  # noqa: S105  (a kind, no secret)
            return (
                f"{where} refuses the legacy token ({words}); these are off by default: create a personal access token "
                "under Account & Settings > Personal Access Token and set LABEL_STUDIO_API_KEY to it"
            )
        return (
            f"{where} refuses what the personal access token was exchanged for ({words}); create a new one under "
            "Account & Settings > Personal Access Token and set LABEL_STUDIO_API_KEY to it"
        )


def studio_address(url: str) -> str:
    """An address of Label Studio without slash, query or fragment at its end.

    Raises:
        SettingError: if it is none, or holds a password.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        shown = url.strip().rpartition("@")[2]
        raise SettingError(
            f"{shown!r} is no address of Label Studio; set LABEL_STUDIO_URL to one such as http://localhost:8080"
        )
    if parts.username or parts.password:
        raise SettingError("LABEL_STUDIO_URL holds a user name or password; leave it out and set LABEL_STUDIO_API_KEY")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _type(answer: httpx.Response) -> str:
    kind = answer.headers.get("content-type", "").split(";")[0]
    return "a web page" if kind == "text/html" else (kind or "something")


def _words(answer: httpx.Response) -> str:
    """What Label Studio says of a failure, on one short line."""
    if "html" in answer.headers.get("content-type", ""):
        return "a web page"
    try:
        read = answer.json()
    except ValueError:
        return _short(answer.text) or "no reason given"
    if isinstance(read, dict):
        told = read.get("validation_errors") or read.get("detail") or read
        read = told if isinstance(told, str) else "; ".join(_said(told))
    return _short(read if isinstance(read, str) else "; ".join(_said(read))) or "no reason given"


def _said(told: object) -> list[str]:
    """The sentences in nested lists and dictionaries, with the names of the fields that they are about."""
    if isinstance(told, dict):
        return [
            word if field in {"detail", "non_field_errors"} else f"{field}: {word}"
            for field, value in told.items()
            for word in _said(value)
        ]
    if isinstance(told, list):
        return [word for value in told for word in _said(value)]
    return [told if isinstance(told, str) else json.dumps(told)]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
