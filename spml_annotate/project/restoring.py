"""Images that could not be read and now can: they get their features, and take part again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.stores.images import describe_file
from spml_annotate.workspace import Workspace

if TYPE_CHECKING:
    from spml_annotate.embed.backbones import Backbone
    from spml_annotate.embed.images import Precision

BLOCK = 4096


@dataclass(frozen=True)
class Found:
    """A flagged image whose file can be read: its row and the hash of the file's content."""

    row: int
    sha256: str


def readable_again(workspace: Workspace) -> list[Found]:
    """Flagged images whose files can be read now; of those that cannot be used all the same, the flag says why."""
    from spml_annotate.embed.decode import decode

    found = []
    for row, flag in workspace.images.errors().items():
        path = workspace.image_path(row)
        try:
            decode(path)
        except DataError:
            continue
        entry = describe_file(path, path.parent)
        obstacle = entry.error or workspace.images.obstacle(row, entry.sha256)
        if obstacle is None:
            found.append(Found(row, entry.sha256))
        elif obstacle != flag:
            workspace.images.flag(row, obstacle)
    return found


def restore(workspace: Workspace, found: list[Found]) -> None:
    """Take the flags back."""
    for item in found:
        workspace.images.restore(item.row, item.sha256)


def embed_again(
    workspace: Workspace, built: Backbone, found: list[Found], batch_size: int, precision: Precision
) -> None:
    """Write the project's features anew with those of images that had a row of zeros, and take their flags back.

    The flags go after the features are committed: killed in between, the next run does it again.
    """
    from spml_annotate.embed.images import extract
    from spml_annotate.embed.pictures import FilePictures
    from spml_annotate.progress import progress

    pictures = FilePictures(workspace.image_paths())
    rows = np.array([item.row for item in found], dtype=np.int64)
    old = workspace.features.read(built.key, workspace.images.fingerprint, backbone=built.key)
    failed: set[int] = set()
    with workspace.features.again(built.key) as writer:
        for start in progress(range(0, len(old), BLOCK), total=-(-len(old) // BLOCK), what="embedding again"):
            block: NDArray[np.float32] = np.array(old[start : start + BLOCK], dtype=np.float32)
            wanted = rows[(rows >= start) & (rows < start + len(block))]
            for part in extract(built, pictures, wanted, batch_size=batch_size, precision=precision):
                block[part.rows - start] = part.features
                failed.update(row for row, _ in part.faults)
            writer.write(start, block)
        writer.commit()
    restore(workspace, [item for item in found if item.row not in failed])
