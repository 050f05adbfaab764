"""What a task says about where its picture is: told apart, checked for tricks, and given a readable name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from spml_annotate.errors import DataError

_TOKEN_PATH = re.compile(
    r"/(data/(upload|local-files)/|storage-data/uploaded/|(tasks|projects)/\d+/(presign|resolve)/)"
)
_RESOLVED = re.compile(r"/(tasks|projects)/\d+/(presign|resolve)/$")
_SIGNATURES = re.compile(
    r"(?i)(x-(amz|goog|ms)-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id|s[eiprtv]g?|token)$"
)
"""Parameters that only sign an address: they change every hour, and the picture does not."""
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\:*?\"<>|]")
_CLOUD = ("s3", "gs", "azure-blob", "azure")
_ROUNDS = 5


class Origin(NamedTuple):
    """Host in lower case and port; the scheme does not matter for recognising a host by its name."""

    host: str
    port: int


def origin_of(url: str) -> Origin:
    """Host and port of an absolute address.

    Raises:
        DataError: if it has none, or a user name or password.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host:
        raise DataError("it is no http or https address of a host; correct the task")
    if parts.username is not None or parts.password is not None:
        raise DataError("it holds a user name or password; leave them out of the task")
    return Origin(host, port if port is not None else (443 if parts.scheme == "https" else 80))


def is_cloud(reference: str) -> bool:
    """Whether it is an address inside a cloud storage, which only Label Studio can open."""
    return reference.partition("://")[0].lower() in _CLOUD and "://" in reference


def presign_path(task: int, uri: str) -> str:
    """Label Studio's path that leads to a cloud storage's file of a task."""
    return f"/tasks/{task}/presign/?fileuri={base64.urlsafe_b64encode(uri.encode()).decode()}"


def wants_token(path: str) -> bool:
    """Whether a path of Label Studio is a picture's: our token goes nowhere else, since a GET may do things."""
    return _TOKEN_PATH.match(path) is not None


def local_file(path: str, query: str) -> str | None:
    """The file that a path of local file serving names, relative to its folder; None if it is another path.

    Raises:
        DataError: if it is no plain relative path.
    """
    if not path.startswith("/data/local-files"):
        return None
    given = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "d"]
    if len(given) != 1 or not given[0]:
        raise DataError("local-files needs one ?d=path; correct the task")
    check_path(given[0])
    if given[0].startswith("/") or re.match(r"[A-Za-z]:", given[0]):
        raise DataError("its ?d= is an absolute path; give it relative to LOCAL_FILES_DOCUMENT_ROOT")
    return given[0]


def check_path(path: str) -> None:
    """Refuse paths that climb, however often they are encoded.

    Raises:
        DataError: if this is one.
    """
    for _ in range(_ROUNDS):
        if any(ord(character) < 32 or character == "\\" for character in path):
            raise DataError("its path has backslashes or control characters; correct the task")
        if ".." in (part.partition(";")[0] for part in path.split("/")):  # some proxies drop what follows a semicolon
            raise DataError('its path climbs with ".."; correct the task')
        plain = unquote(path)
        if plain == path:
            return
        path = plain
    raise DataError("its path is encoded many times over; correct the task")


def encoded(path: str, query: str) -> str:
    """Path and query as they go over the wire; what is encoded already stays so."""
    target = quote(path, safe="/%:@!$&'()*+,;=~")
    return f"{target}?{quote(query, safe='/%:@!$&()*+,;=~?')}" if query else target


def image_name(reference: str, studio: frozenset[Origin], prefix: str = "") -> str:
    """A readable name that stays the same: "upload/3/cat.png", "local-files/birds/1.jpg", "host/path/cat.png".

    Args:
        reference: as the task has it; any text has a name.
        studio: hosts by which Label Studio is known.
        prefix: path under which Label Studio lies, "" at the top.
    """
    readable = _readable(reference, studio, prefix)
    clean = "/".join("_" if part in {"", ".", ".."} else part for part in _ODD.sub("_", readable).strip("/").split("/"))
    if clean == readable and len(clean) <= 160:
        return clean
    return f"{clean[:140]}-{_digest(reference)}"


def _readable(reference: str, studio: frozenset[Origin], prefix: str) -> str:
    if reference[:5].lower() == "data:":
        return f"inline/{_digest(reference)}"
    try:
        parts = urlsplit(reference)
        origin = origin_of(reference) if parts.scheme else None
    except (ValueError, DataError):
        scheme, _, rest = reference.partition("://")
        return f"{scheme}/{unquote(rest)}" if is_cloud(reference) else f"other/{_digest(reference)}"
    path = unquote(parts.path)
    if origin is None or origin in studio:
        path = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
        return _studio_name(path, parts.query)
    host = origin.host if origin.port in {80, 443} else f"{origin.host}_{origin.port}"
    return host + path + _distinction(parts.query)


def _studio_name(path: str, query: str) -> str:
    parameters = dict(parse_qsl(query))
    if path.startswith("/data/local-files") and "d" in parameters:
        return f"local-files/{parameters['d']}"
    if _RESOLVED.match(path) and "fileuri" in parameters:
        try:
            uri = base64.urlsafe_b64decode(parameters["fileuri"]).decode()
        except (ValueError, binascii.Error):
            uri = parameters["fileuri"]
        scheme, _, rest = uri.partition("://")
        return f"{scheme}/{rest}"
    return path.removeprefix("/data/").lstrip("/") + _distinction(query)


def _distinction(query: str) -> str:
    lasting = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _SIGNATURES.match(pair[0])]
    return f"-{_digest(repr(lasting))[:8]}" if lasting else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
