"""Which image a task shows: one that the project has, or one that is fetched now and becomes a row of its own."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.formats.images import check_ids
from spml_annotate.loop.linking import writing_if_free
from spml_annotate.loop.links import Link
from spml_annotate.stores.atomic import write_atomically, write_text
from spml_annotate.stores.images import ImageEntry, describe_file
from spml_annotate.studio.config import LabellingConfig
from spml_annotate.workspace import Workspace

logger = logging.getLogger(__name__)
FOLDER = "images"
"""Where fetched pictures are kept, in the project's folder."""
RETRIES = "retries.json"
"""When to try again to get pictures that could not be had: image id → [failures, Unix time], beside `FOLDER`."""
AT_ONCE = 8
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 6 * 3600.0
AGAIN_AT_MOST = 200
"""Pictures that one pull tries again."""
_NAMED = 5  # tasks without a picture that one pull names: a host that is not allowed spoils all of them


class Fetcher(Protocol):
    """What is needed of `spml_annotate.studio.fetch.ImageFetcher`."""

    def fetch(self, reference: str, *, task: int | None = None) -> bytes:
        """The bytes of a picture."""

    def name(self, reference: str) -> str:
        """A stable image id for a reference."""


class Shown(NamedTuple):
    """The picture of a task: the image id that it has or will have, and where it is; ``fault`` if that is not known."""

    task: int
    name: str
    reference: str
    fault: str = ""


@dataclass
class Pictured:
    """Rows of tasks' images: task → row; how many images are new, tasks whose picture could not be had, and why.

    ``waiting`` tasks have no row yet, for another process is writing.
    """

    rows: dict[int, int] = field(default_factory=dict)
    new: int = 0
    broken: list[tuple[int, str]] = field(default_factory=list)
    waiting: int = 0


def picture_of(fetcher: Fetcher, link: Link, config: LabellingConfig, task: int, data: object) -> Shown:
    """What a task shows; never raises."""
    ours = data.get("spml_image") if isinstance(data, Mapping) else None
    try:
        reference = config.reference(data)
        name = fetcher.name(reference)
    except (DataError, RemoteError) as error:
        fallback = ours if isinstance(ours, str) and ours else f"task/{link.tag}/{task}"
        return Shown(task, fallback, "", str(error))
    return Shown(task, _safe(name, reference), reference)


def known_rows(
    workspace: Workspace,
    fetcher: Fetcher,
    link: Link,
    config: LabellingConfig,
    tasks: Mapping[int, Any],
) -> tuple[dict[int, int], list[Shown]]:
    """Task → row of the tasks (id → data) whose image the project has, and what the others show."""
    rows = {name: row for row, name in enumerate(workspace.images.ids())}
    found: dict[int, int] = {}
    missing = []
    for task, data in tasks.items():
        ours = data.get("spml_image") if isinstance(data, Mapping) else None
        shown = picture_of(fetcher, link, config, task, data)
        row = rows.get(ours) if isinstance(ours, str) else None
        row = rows.get(shown.name) if row is None else row
        if row is None:
            missing.append(shown)
        else:
            found[task] = row
    return found, missing


def add_pictures(workspace: Workspace, fetcher: Fetcher, missing: Sequence[Shown]) -> Pictured:
    """Fetch pictures and make them rows of the project; one that cannot be had gets a row that says why.

    Files are fetched before the project's lock is taken, and are there next time if it is not free.
    """
    if not missing:
        return Pictured()
    first: dict[str, Shown] = {}
    for shown in missing:
        first.setdefault(shown.name, shown)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        entries = dict(
            zip(first, pool.map(lambda shown: _entry(workspace, fetcher, shown), first.values()), strict=True)
        )
    with writing_if_free(workspace, "images from Label Studio") as free:
        if not free:
            return Pictured(waiting=len(missing))
        before = len(workspace.images)
        there = set(workspace.images.ids())  # another pull may have added some meanwhile
        workspace.images.add([entry for name, entry in entries.items() if name not in there])
        rows = {name: row for row, name in enumerate(workspace.images.ids())}
        failed = {name: entry.error for name, entry in entries.items() if entry.error is not None}
        _note_failures(workspace, failed)
    broken = [(shown.task, failed[shown.name] or "") for shown in missing if shown.name in failed]
    for task, why in broken[:_NAMED]:
        logger.warning("Label Studio task %d has no usable picture: %s", task, why)
    if len(broken) > _NAMED:
        logger.warning("... and %d more tasks have none", len(broken) - _NAMED)
    return Pictured({shown.task: rows[shown.name] for shown in missing}, len(rows) - before, broken)


def try_again(workspace: Workspace, fetcher: Fetcher, shown: Mapping[int, Shown]) -> list[tuple[int, str]]:
    """Fetch pictures of flagged images again that are due; the next `embed` takes back the flags of those that came.

    Args:
        workspace: of the project.
        fetcher: gets pictures.
        shown: row → what its task shows.

    Returns:
        (task, reason) of those that failed again.
    """
    flagged, failures, now = workspace.images.errors(), _failures(workspace), time.time()
    due = [
        item
        for row, item in shown.items()
        if row in flagged and not item.fault and not now < failures.get(item.name, (0, 0.0))[1] <= now + LONGEST_PAUSE
    ][:AGAIN_AT_MOST]
    if not due:
        return []
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        entries = list(pool.map(lambda item: _entry(workspace, fetcher, item), due))
    with writing_if_free(workspace, "images from Label Studio") as free:
        if free:
            _note_failures(workspace, {entry.id: entry.error for entry in entries})
    return [(item.task, entry.error) for item, entry in zip(due, entries, strict=True) if entry.error is not None]


def _entry(workspace: Workspace, fetcher: Fetcher, shown: Shown) -> ImageEntry:
    """The image to add: its file written, or why there is none."""
    root = workspace.root / FOLDER
    path = root / shown.name
    stored = workspace.stored_path(path)
    try:
        if shown.fault:
            raise DataError(shown.fault)
        _keep(path, fetcher.fetch(shown.reference, task=shown.task))
    except (DataError, RemoteError) as error:
        return ImageEntry(shown.name, stored, error=_line(str(error)))
    return describe_file(path, root)._replace(path=stored)


def _keep(path: Path, content: bytes) -> None:
    """Write a picture if it can be decoded.

    Raises:
        DataError: if it cannot, or the disk refuses.
    """
    from spml_annotate.embed.decode import decode

    def write(file: BinaryIO) -> None:
        file.write(content)

    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(draft, write)
        try:
            decode(draft)
        except DataError as error:
            raise DataError(str(error).replace(str(draft), path.name)) from None
        draft.replace(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; the picture cannot be kept") from None
    finally:
        draft.unlink(missing_ok=True)


def _safe(name: str, reference: str) -> str:
    """The name if it can be a path below the folder of images and a column of a CSV, else one made of a hash."""
    parts = name.split("/")
    usable = len(name) <= 240 and all(part not in ("", ".", "..") and not part.startswith(".") for part in parts)
    try:
        check_ids([name])
    except DataError:
        usable = False
    if usable and name.isprintable() and not set(name) & set('\\:*?"<>|'):
        return name
    return "other/" + hashlib.sha256(reference.encode()).hexdigest()[:20]


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _failures(workspace: Workspace) -> dict[str, tuple[int, float]]:
    path = workspace.root / FOLDER / RETRIES
    try:
        content = json.loads(path.read_text("utf-8"))
        return {str(name): (int(times), float(due)) for name, (times, due) in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read (%s); every missing picture is tried again", path, error)
        return {}


def _note_failures(workspace: Workspace, outcome: Mapping[str, str | None]) -> None:
    """Note when to try again: after twice, four times, ... the first pause. A picture that came is forgotten."""
    if not outcome:
        return
    failures, now = _failures(workspace), time.time()
    for name, why in outcome.items():
        times = failures.pop(name, (0, 0.0))[0] + 1
        if why is not None:
            failures[name] = (times, now + min(FIRST_PAUSE * 2 ** min(times - 1, 20), LONGEST_PAUSE))
    (workspace.root / FOLDER).mkdir(parents=True, exist_ok=True)
    write_text(workspace.root / FOLDER / RETRIES, json.dumps(failures, indent=1, sort_keys=True) + "\n")
