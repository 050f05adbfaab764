"""Who may ask, how much they may send, and what must never be written into a log."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import threading
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request

from spml_annotate.errors import SpmlError

Access = Literal["granted", "missing", "wrong"]
BODY_SECONDS = 60.0
"""So long may a request take to arrive."""


class RequestError(SpmlError):
    """A request that cannot be served; ``status`` is the HTTP status of the answer.

    Args:
        status: 4xx.
        message: one line.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def access(authorization: str | None, basic: tuple[str, str] | None) -> Access:
    """Whether a request carries the credentials wanted; the time it takes tells nothing about them.

    Args:
        authorization: the header, if there is one.
        basic: user and password; None if everybody may ask.
    """
    if basic is None:
        return "granted"
    if not authorization:
        return "missing"
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    return "granted" if any([_same(given, wanted) for wanted in _spellings(":".join(basic))]) else "wrong"


def _spellings(text: str) -> tuple[bytes, bytes]:
    """Credentials in UTF-8 and, as Label Studio sends them, in Latin-1 if it has the letters."""
    wide = text.encode()
    try:
        return wide, text.encode("latin-1")
    except UnicodeEncodeError:
        return wide, wide


def _same(given: bytes, wanted: bytes) -> bool:
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(wanted).digest())


def basic_header(basic: tuple[str, str]) -> str:
    """The Authorization header for a user and a password."""
    return "Basic " + base64.b64encode(":".join(basic).encode()).decode()


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request of at most ``limit`` bytes; reading stops at the limit.

    Raises:
        RequestError: 413 if it is larger, 408 if it takes too long, 400 if the sender goes away.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:18]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except TimeoutError:
        raise RequestError(408, "the request did not arrive in time") from None
    except ClientDisconnect:
        raise RequestError(400, "the request ended in the middle") from None
    return b"".join(parts)


def parse_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object.

    Raises:
        RequestError: 400 if it is no JSON, 422 if it is JSON of another kind.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise RequestError(422, "the body must be a JSON object")
    return value


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than {limit >> 20} MB; raise SPML_MAX_BODY_MB if that is wanted")


class Secrets:
    """Texts that must not be written anywhere; several threads may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: tuple[str, ...] = ()

    def add(self, *texts: str | None) -> None:
        """Keep further texts out of logs; empty ones and those of a few letters are no secrets."""
        with self._lock:
            found = {*self._texts, *(text for text in texts if text and len(text) >= 4)}
            self._texts = tuple(sorted(found, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """The text with every secret in it replaced."""
        for secret in self._texts:
            text = text.replace(secret, "***")
        return text


SECRETS = Secrets()


class HidingFormatter(logging.Formatter):
    """Formats as another formatter does, tracebacks included, and hides `SECRETS`."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        return SECRETS.hide(self.inner.format(record))


def set_up_logging(level: str, form: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
    """Log to standard error at a level, secrets hidden; what libraries say of each request is left out."""
    handler = logging.StreamHandler()
    handler.setFormatter(HidingFormatter(logging.Formatter(form)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("httpx", "httpcore", "uvicorn.access", "faiss"):
        logging.getLogger(name).setLevel(logging.WARNING)
