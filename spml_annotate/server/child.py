"""The process that trains: it reads one order from standard input, says how far it is, and ends.

It also ends when standard input is closed, which the system does for a server that dies, however it dies.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

from spml_annotate.errors import MismatchError, RemoteError, SpmlError
from spml_annotate.studio.environment import StudioSettings

ORPHANED = 3
"""Exit code when the server is gone."""


def pack(settings: StudioSettings) -> dict[str, Any]:
    """Settings as JSON values, secrets included: for a pipe, never for a file."""
    return {name: _plain(value) for name, value in asdict(settings).items()}


def unpack(values: Mapping[str, Any]) -> StudioSettings:
    """What `pack` packed."""
    return StudioSettings(**{field.name: _typed(field.type, values[field.name]) for field in fields(StudioSettings)})


def _plain(value: Any) -> Any:  # noqa: ANN401  (any field)
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _typed(kind: object, value: Any) -> Any:  # noqa: ANN401  (any field)
    if value is None:
        return None
    named = str(kind)
    if isinstance(value, list):
        return tuple(Path(item) if "Path" in named else item for item in value)
    return Path(value) if "Path" in named else value


def main() -> int:
    """Carry out the order on standard input; the last line on standard output says how it ended."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody else may write between the messages
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # people who wait for a prediction come first

    def tell(**message: object) -> None:
        messages.write(json.dumps(message) + "\n")

    settings = unpack(order["settings"])
    _quiet(settings, order["token"])
    try:
        tell(done=_carry_out(order, settings, lambda text: tell(say=text)))
    except SpmlError as error:
        tell(failed=str(error), again=_may_pass(error))
    except OSError as error:
        if not _no_room(error):
            raise
        tell(failed=f"{error.filename or order['folder']}: {error.strerror}; make room on the disk", again=True)
    except MemoryError:
        tell(failed="the machine has too little memory for this project; give it more", again=False)
    return 0


def _carry_out(order: Mapping[str, Any], settings: StudioSettings, say: Any) -> dict[str, Any]:  # noqa: ANN401
    from spml_annotate.loop.links import LinkStore
    from spml_annotate.loop.round import run_round
    from spml_annotate.studio.client import StudioClient
    from spml_annotate.studio.fetch import ImageFetcher

    links = LinkStore(order["folder"])
    try:
        link = links.get(order["link"])
    finally:
        links.close()
    client = StudioClient(order["url"], order["token"])
    fetcher = ImageFetcher(settings, client, order["hostname"])
    done = run_round(Path(order["folder"]), link.id, client, fetcher, settings, train=order["train"], say=say)
    return {"version": done.version, "note": str(getattr(done, "note", ""))}


def _may_pass(error: SpmlError) -> bool:
    """Whether waiting helps: Label Studio is away, another process writes into the project, the disk is full."""
    if isinstance(error, RemoteError):
        return getattr(error, "status", None) not in (400, 401, 403, 404)
    if _no_room(error.__cause__):
        return True
    return isinstance(error, MismatchError) and "is being written by another process" in str(error)


def _no_room(cause: BaseException | None) -> bool:
    """Whether the disk took no more, or somebody else kept the database for longer than one waits."""
    if isinstance(cause, sqlite3.OperationalError):
        return any(word in str(cause) for word in ("full", "locked", "disk I/O"))
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _quiet(settings: StudioSettings, token: str) -> None:
    from spml_annotate.progress import set_quiet
    from spml_annotate.server.security import SECRETS, set_up_logging

    set_quiet(True)
    SECRETS.add(token, settings.token, *(settings.basic or ()))
    set_up_logging(settings.log_level, "%(levelname)s %(name)s: %(message)s")  # the server adds the time


def _end_with(stream: BinaryIO) -> None:
    stream.read()
    os._exit(ORPHANED)  # at once: whatever is being written is written atomically


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the thread that waits for the server's end cannot be woken
