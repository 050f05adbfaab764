"""Connections that ask for nothing: they must not take the places of those that do."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 30.0
"""So long may the head of a request take to arrive; its body has a limit of its own."""
WANTED_FILES = 16_384
FILES_PER_PROJECT = 8
"""Open files of a project that is served: two databases of up to three files each, and a lock."""
FILES_BESIDE = 400
"""Open files for everything else, connections before all."""
_BUSY = object()


def patient_protocol(seconds: float = REQUEST_SECONDS) -> type[asyncio.Protocol]:
    """Uvicorn's own HTTP protocol, which would wait for ever, with an end to its patience between two requests."""

    def made(**given: Any) -> asyncio.Protocol:  # noqa: ANN401  (uvicorn's own arguments)
        protocol = AutoHTTPProtocol(**given)
        asyncio.get_running_loop().call_later(seconds, _look, protocol, None, seconds)
        return protocol

    return cast(type[asyncio.Protocol], made)  # uvicorn calls it and nothing more


def _look(protocol: Any, before: object, seconds: float) -> None:  # noqa: ANN401  (either of uvicorn's two)
    """End a connection that has begun no request since the look ``before``."""
    if protocol.transport is None or protocol.transport.is_closing():
        return
    cycle = protocol.cycle
    waiting = cycle is None or cycle.response_complete
    if waiting and cycle is before:
        protocol.transport.close()
        return
    asyncio.get_running_loop().call_later(seconds, _look, protocol, cycle if waiting else _BUSY, seconds)


def open_files() -> int:
    """How many files this process may have open, after asking the system for as many as may be wanted."""
    if sys.platform == "win32":
        return WANTED_FILES
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return WANTED_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:
        logger.info("the limit of open files stays at %d (%s)", soft, error)
        return soft
    return wanted


def most_projects(files: int) -> int:
    """How many projects can be served with so many open files."""
    return max(1, (files - FILES_BESIDE) // FILES_PER_PROJECT)
