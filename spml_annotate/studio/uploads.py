"""Pictures into Label Studio without making tasks of them: a task that is made later is whole from the start."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.transport import SLOW_SECONDS

FILES = 50
"""Files per request; Label Studio takes at most 100."""
BYTES = 64 * 2**20
"""Bytes per request, so that a batch of large pictures stays below what servers accept."""


def upload_files(client: StudioClient, project: int, files: Sequence[Path]) -> list[str]:
    """Copy pictures to a Label Studio project; returns what tasks refer to each of them by ("/data/upload/...").

    Raises:
        DataError: if a file cannot be read. RemoteError: if Label Studio refuses.
    """
    return [reference for part in parts(files) for reference in _upload(client, project, part)]


def parts(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Files in parts of bounded number and size, each of which is sent at once.

    Raises:
        DataError: if a file is missing.
    """
    part: list[Path] = []
    size = 0
    for path in files:
        weight = _size(path)
        if part and (len(part) == FILES or size + weight > BYTES):
            yield part
            part, size = [], 0
        part.append(path)
        size += weight
    if part:
        yield part


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; put the picture back, or say where it lies now") from None


def _upload(client: StudioClient, project: int, files: Sequence[Path]) -> list[str]:
    with ExitStack() as opened:
        sent = {f"file{place}": (path.name, opened.enter_context(path.open("rb"))) for place, path in enumerate(files)}
        address = f"/api/projects/{project}/import?commit_to_project=false"
        answer = client.request("POST", address, files=sent, timeout=SLOW_SECONDS)
    numbers = [int(number) for number in answer["file_upload_ids"]]
    listed = client.request("GET", f"/api/projects/{project}/file-uploads?ids={json.dumps(numbers)}")
    rows = listed["results"] if isinstance(listed, dict) else listed
    names = {int(entry["id"]): str(entry["file"]) for entry in rows}
    if len(numbers) != len(files) or not set(numbers) <= set(names):
        raise RemoteError(f"{client.url} took {len(names)} of {len(files)} uploaded pictures; run the command again")
    return ["/data/" + quote(names[number]) for number in numbers]
