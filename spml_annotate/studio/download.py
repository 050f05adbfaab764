"""One guarded GET: to addresses that were checked before connecting, within one time limit and one size limit."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import httpcore

from spml_annotate.errors import DataError, RemoteError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(text) for text in ("::/96", "64:ff9b:1::/48", "fec0::/10", "::ffff:0:0:0/96")
)
"""What older Pythons take for public: addresses of a site, and IPv4 ones in wrappings that a router here may undo."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Deadline:
    """A moment after which nothing is waited for.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            httpcore.ReadTimeout: if none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


class Answer(NamedTuple):
    """What came back; ``location`` is where a redirect leads, ``body`` is only read of an answer 200."""

    status: int
    kind: str
    location: str
    body: bytes


def download(url: str, headers: Mapping[str, str], deadline: Deadline, limit: int, *, public: bool) -> Answer:
    """Get one address without following where it leads.

    Args:
        url: http or https, its path and query encoded.
        headers: of the request.
        deadline: for everything together, however slowly it drips.
        limit: bytes of the answer.
        public: whether its host must be on the public internet, by whatever name.

    Raises:
        DataError: if that host is not public, or the answer too large.
        RemoteError: if the other side cannot be reached, is too slow, or speaks no HTTP.
    """
    own = {"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": "spml-annotate"}
    sent = [(name.encode(), value.encode()) for name, value in {**own, **headers}.items()]
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Guard(deadline, public)) as pool,
            pool.stream("GET", url, headers=sent) as response,
        ):
            return _received(response, deadline, limit)
    except httpcore.TimeoutException:
        raise RemoteError(f"it took more than {deadline.seconds:g} s; allow more with SPML_FETCH_SECONDS") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RemoteError(f"its host does not answer as it should ({reason[:200]})") from None


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also when it is wrapped into IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
        if any(parsed in network for network in _NEVER_PUBLIC):
            return False
    return parsed.is_global and not parsed.is_multicast


def _received(response: httpcore.Response, deadline: Deadline, limit: int) -> Answer:
    fields = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    kind = fields.get(b"content-type", "").split(";")[0].strip().lower()
    if response.status in REDIRECTS:
        return Answer(response.status, kind, fields.get(b"location", ""), b"")
    if response.status != 200:
        return Answer(response.status, kind, "", b"")
    if fields.get(b"content-encoding", "identity").lower() != "identity":
        raise RemoteError("its host sends it compressed although that was not asked for; correct the host")
    size = fields.get(b"content-length", "")
    if size.isdigit() and int(size[:20]) > limit:
        raise too_large(limit)
    pieces: list[bytes] = []
    total = 0
    for piece in response.iter_stream():
        deadline.left()
        total += len(piece)
        if total > limit:
            raise too_large(limit)
        pieces.append(piece)
    return Answer(response.status, kind, "", b"".join(pieces))


def too_large(limit: int) -> DataError:
    """The error for a picture of more bytes than the limit."""
    return DataError(f"it has more than {limit / 2**20:.3g} MB; save it smaller or set SPML_MAX_IMAGE_MB")


class _Guard(httpcore.NetworkBackend):
    """Connects to nothing but addresses that were looked at: a name cannot mean another one a moment later."""

    def __init__(self, deadline: Deadline, public: bool) -> None:
        self._deadline = deadline
        self._public = public
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._addresses(host, port)
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, local_address, socket_options)
            except httpcore.ConnectError:
                continue  # the next address of the same host may answer
        return self._connect(addresses[-1], port, local_address, socket_options)

    def _connect(
        self, address: str, port: int, local_address: str | None, options: Iterable[Any] | None
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(address, port, self._deadline.left(), local_address, options)
        return _Timed(stream, self._deadline)

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise RemoteError(f"nobody knows the host {host}; correct the task") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        private = [address for address in addresses if not is_public(address)]
        if self._public and private:
            raise DataError(
                f"{host} is the private address {private[0]}; if that is meant, name the host itself in "
                "SPML_IMAGE_HOSTS"
            )
        return addresses


class _Timed(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  (as its parent)
        return self._inner.get_extra_info(info)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
