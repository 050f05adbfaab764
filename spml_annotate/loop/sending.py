"""Gets a project's images into Label Studio as tasks, each of them once, whatever stops the work in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.images import rows_by_id
from spml_annotate.loop.links import Link, LinkStore, TaskRow
from spml_annotate.progress import progress
from spml_annotate.project import Project
from spml_annotate.stores.images import TRAIN
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.uploads import parts, upload_files

IMPORT_TASKS = 500

References = Callable[[Sequence[int]], list[str]]
"""Rows → what Label Studio shall know their pictures by."""


def send_images(
    project: Project,
    links: LinkStore,
    link: Link,
    client: StudioClient,
    *,
    images: str = "upload",
    files_root: Path | None = None,
    files_root_there: str = "",
    base_url: str = "",
) -> int:
    """Make a task of every training image that has none in a Label Studio project yet; returns how many were made.

    Args:
        project: whose images are sent; exact copies and unreadable ones are left out.
        links: where the tasks are noted.
        link: the Label Studio project.
        client: speaks with it.
        images: ``upload``, ``local`` or ``urls``; see `Plan`.
        files_root: for ``local``.
        files_root_there: for ``local``.
        base_url: for ``urls``.

    Raises:
        DataError: if images do not lie below ``files_root``. RemoteError: if Label Studio refuses or goes away.
    """
    find_tasks(project, links, link, client)
    have = {task.row for task in links.tasks(link.id).values()}
    rows = [row for row in _wanted(project) if row not in have]
    if not rows:
        return 0
    if images == "local":
        assert files_root is not None
        refer = _local(project, link, client, rows, files_root, files_root_there)
    elif images == "urls":
        refer = _urls(project, base_url)
    else:
        refer = _upload(project, link, client)
    key, ids = parse_config(link.config).key, project.image_ids
    batches = list(_uploads(project, rows) if images == "upload" else _parts(rows))
    for batch in progress(batches, total=len(batches), what="sending images"):
        data = [{key: reference, "spml_image": ids[row]} for row, reference in zip(batch, refer(batch), strict=True)]
        made = client.import_tasks(link.project, [{"data": values} for values in data])
        links.put_tasks(
            link.id, [TaskRow(task, row, "", values) for task, row, values in zip(made, batch, data, strict=True)]
        )
    return len(rows)


def find_tasks(project: Project, links: LinkStore, link: Link, client: StudioClient) -> int:
    """Note tasks that name an image of the project and are not noted yet; forget noted ones that are gone.

    Returns:
        How many were found. Tasks that name no image of the project are left to the next pull.
    """
    known, there = set(links.tasks(link.id)), client.task_ids(link.project)
    links.drop_tasks(link.id, sorted(known - there))
    if there <= known:
        return 0
    rows = rows_by_id(project.image_ids)
    found = [
        TaskRow(int(task["id"]), rows[name], "", task["data"])
        for task in client.tasks(link.project)
        if int(task["id"]) not in known and (name := str((task.get("data") or {}).get("spml_image"))) in rows
    ]
    links.put_tasks(link.id, found)
    return len(found)


def _wanted(project: Project) -> list[int]:
    """Rows of training images that can be looked at; of exact copies the first."""
    images = project.workspace.images
    flagged, copies = images.errors(), images.duplicates()
    train = np.flatnonzero(images.splits() == TRAIN)
    return [int(row) for row in train if int(row) not in flagged and int(row) not in copies]


def _parts(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(rows), IMPORT_TASKS):
        yield rows[start : start + IMPORT_TASKS]


def _uploads(project: Project, rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """Rows in parts whose pictures are sent at once."""
    paths = [project.workspace.image_path(row) for row in rows]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing; put it back, or run `spml-annotate images move FROM TO`")
    left = iter(rows)
    for part in parts(paths):
        yield list(islice(left, len(part)))


# The three ways


def _upload(project: Project, link: Link, client: StudioClient) -> References:
    """Copy the files there first, without tasks: a task that is made later carries the image's id from the start."""
    return lambda rows: upload_files(client, link.project, [project.workspace.image_path(row) for row in rows])


def _rows_of(answer: Any) -> list[dict[str, Any]]:  # noqa: ANN401  (JSON of either form)
    return list(answer["results"] if isinstance(answer, dict) else answer)


def _local(
    project: Project, link: Link, client: StudioClient, rows: Sequence[int], root: Path, root_there: str
) -> References:
    """Let Label Studio read the files where they lie; it wants a storage for every folder that it may show."""
    top = root.resolve()
    places = {row: _below(project.workspace.image_path(row).resolve(), top) for row in rows}
    folders = sorted({place.parts[0] for place in places.values()})
    have = {str(storage.get("path")) for storage in _storages(client, link)}
    for folder in folders:
        there = (root_there.rstrip("/") + "/" + folder) if root_there else str(top / folder)
        if there not in have:
            client.add_local_storage(link.project, there, title=f"images in {folder}")
    return lambda batch: ["/data/local-files/?d=" + quote(places[row].as_posix()) for row in batch]


def _storages(client: StudioClient, link: Link) -> list[dict[str, Any]]:
    return _rows_of(client.request("GET", f"/api/storages/localfiles?project={link.project}"))


def _below(path: Path, top: Path) -> Path:
    if not path.is_relative_to(top):
        raise DataError(
            f"{path} does not lie below {top}; give --files-root the folder that holds all images and that Label "
            "Studio has as LOCAL_FILES_DOCUMENT_ROOT, or use --images upload"
        )
    place = path.relative_to(top)
    if len(place.parts) < 2:
        raise DataError(
            f"{path} lies directly in {top}, and Label Studio shows files of folders below it only; start Label Studio "
            f"with LOCAL_FILES_DOCUMENT_ROOT={top.parent} and give --files-root {top.parent}"
        )
    return place


def _urls(project: Project, base_url: str) -> References:
    base, ids = base_url.rstrip("/") + "/", project.image_ids
    return lambda rows: [base + quote(ids[row]) for row in rows]
