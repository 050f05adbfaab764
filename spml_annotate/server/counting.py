"""How many answers no training has seen yet, and what the predictions in Label Studio lack."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from spml_annotate.loop.links import Link
from spml_annotate.loop.spelling import is_outdated
from spml_annotate.workspace import Workspace

if TYPE_CHECKING:
    from spml_annotate.server.hub import Served

SOURCE = "label-studio"


class Standing(NamedTuple):
    """``answers`` in the log, ``new_answers``: acts of people since the last training began.

    ``stale`` says why predictions must be renewed ("" if not), ``mark`` names the state in which they must.
    """

    answers: int
    new_answers: int
    stale: str
    mark: str


def standing(served: Served, link: Link) -> Standing:
    """Where a main link stands."""
    tasks, places = served.links.tasks(link.id), served.links.places(link.id, link.version)
    with Workspace.open(served.folder) as workspace:
        model = workspace.models.current()
        seen = int(model.settings["answers"]) if model is not None else 0
        last = served.jobs.latest(link.id, "train")
        if last is not None and last.mark.isdigit():
            seen = max(seen, int(last.mark))
        waiting = len(tasks.keys() - places.keys())
        count, embedded, name = len(workspace.images), workspace.embedded(), model.name if model else ""
        outdated = is_outdated(served.links, link)
        stale = _stale(waiting, count - embedded if tasks else 0, name if name != link.model else "", outdated)
        return Standing(
            answers=len(workspace.log),
            new_answers=_acts(workspace, seen),
            stale=stale,
            mark=f"{count} images, {len(tasks)} tasks, model {name}"
            + (f", {_digest(link.config)}" if outdated else ""),
        )


def _acts(workspace: Workspace, position: int) -> int:
    """Acts of people at Label Studio after a position of the log: what one person did to one image at one time."""
    found = (said for _, said in workspace.log.since(position) if said.source == SOURCE)
    return len({(said.annotator, said.row, said.question, said.time) for said in found})


def _stale(tasks: int, images: int, model: str, outdated: bool) -> str:
    if model:
        return f"model {model} is not in use yet"
    if outdated:
        return "the labelling config has lost or renamed classes"
    if tasks:
        return f"{tasks} tasks have no place in the queue"
    return f"{images} images are not embedded yet" if images else ""


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def log_length(served: Served) -> int:
    """Answers in the log of a folder."""
    with Workspace.open(served.folder) as workspace:
        return len(workspace.log)
