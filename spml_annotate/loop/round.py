"""One round of the loop: answers in, images embedded, a model trained if that is due, and the queue out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.labels import POSITIVE
from spml_annotate.loop.links import Link, LinkStore, version_name
from spml_annotate.loop.pulling import Pulled, pull
from spml_annotate.loop.pushing import Pushed, publish, push
from spml_annotate.loop.queue import build_queue
from spml_annotate.loop.recipe import AUTO, BATCH_SIZE, backbone_for, training_plan
from spml_annotate.project import Project, Trained
from spml_annotate.project.evidence import training_labels

if TYPE_CHECKING:
    from spml_annotate.studio.client import StudioClient
    from spml_annotate.studio.environment import StudioSettings
    from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.workspace import Workspace


@dataclass(frozen=True)
class Round:
    """What a round did; ``version`` is in use now.

    Args:
        version: what `/setup` announces and predictions carry.
        answers: observations that were read from Label Studio, in all its projects.
        new_images: images that came with new tasks.
        embedded: images embedded in this round.
        unreadable: images that cannot be read.
        trained: the training, None if there was none.
        pushed: what was sent; ``note``: what did not work, for people ("" if all did).
    """

    version: str
    answers: int
    new_images: int
    embedded: int
    unreadable: int
    trained: Trained | None
    pushed: Pushed
    note: str = ""


def run_round(
    folder: str | Path,
    link_id: int,
    client: StudioClient,
    fetcher: ImageFetcher,
    settings: StudioSettings,
    *,
    train: bool,
    say: Callable[[str], None] = lambda line: None,
) -> Round:
    """Pull, embed, train if asked and something has changed, put the queue in order, push, and publish the version.

    Wherever it is cut off, the next round goes on: nothing is lost, nothing is there twice.

    Args:
        folder: of the project.
        link_id: the main Label Studio project.
        client: speaks with Label Studio.
        fetcher: gets the pictures of new tasks.
        settings: loss, backbone, shares.
        train: make a new model if anything has changed since the current one.
        say: is told what happens, one line each.

    Raises:
        RemoteError: if Label Studio goes away. MismatchError: if another process is writing into the project.
        SettingError, DataError, MissingExtraError: for a loss, backbone or weights that cannot be used.
    """
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        say(line)

    with Project(folder) as project, closing(LinkStore(folder)) as links:
        pulled = list(_pull_all(project, links, links.get(link_id), client, fetcher, note))
        answers = sum(one.answers for one in pulled)
        say(f"{answers} new answers from Label Studio")
        for line in _unread(pulled):
            note(line)
        link = links.get(link_id)
        embedded, unreadable = _embed(project, settings, say)
        trained = _train(project, settings, wanted=train, say=say)
        version, model = _version(project, link)
        queue = build_queue(project, links, link, settings)
        pushed = push(project, links, link, client, settings, version=version, queue=queue, say=say)
        if pushed.note:
            note(f"{pushed.note}; the server answers for these tasks when they are opened")
        publish(links, link, client, settings, version=version, model=model, say=note)
        return Round(
            version,
            answers,
            sum(one.new_images for one in pulled),
            embedded,
            unreadable,
            trained,
            pushed,
            "; ".join(notes),
        )


def _pull_all(
    project: Project,
    links: LinkStore,
    main: Link,
    client: StudioClient,
    fetcher: ImageFetcher,
    note: Callable[[str], None],
) -> Iterator[Pulled]:
    """Read the main project and its companions on the same server; its address may be another for us than for it."""
    for link in links.links():
        if link.host != main.host:
            continue
        try:
            yield pull(project, links, link, client, fetcher)
        except RemoteError as error:
            if error.status != 404 or link.id == main.id:
                raise
            note(f"the {link.kind} project {link.project} is gone from Label Studio; its answers stay")


def _unread(pulled: Sequence[Pulled]) -> list[str]:
    broken = [item for one in pulled for item in one.broken]
    if not broken:
        return []
    return [f"{len(broken)} tasks show no usable picture, such as task {broken[0][0]}: {broken[0][1]}"]


def _embed(project: Project, settings: StudioSettings, say: Callable[[str], None]) -> tuple[int, int]:
    """Embed what has no features yet; (images embedded now, images that cannot be read)."""
    workspace = project.workspace
    if not len(workspace.images):
        say("there are no images yet")
        return 0, 0
    before = workspace.settings.features
    done = project.embed(backbone=_backbone(workspace, settings), weights=settings.weights or None)
    if before is None and done.backbone.startswith("builtin"):
        say(
            "images are embedded by the built-in extractor, which tells colours, textures and simple shapes apart; "
            "pretrained weights do much better on photographs: set SPML_BACKBONE and SPML_WEIGHTS"
        )
    if done.new:
        say(f"{done.new} images embedded, {done.images} in all")
    return done.new, len(done.unreadable)


def _backbone(workspace: Workspace, settings: StudioSettings) -> str | None:
    """The one that was named, else what the project was set up with (None), else the built-in one that suits it."""
    if settings.backbone != AUTO:
        return settings.backbone
    if workspace.settings.features is not None or settings.weights:
        return None
    return backbone_for(workspace.image_paths())


def _train(project: Project, settings: StudioSettings, *, wanted: bool, say: Callable[[str], None]) -> Trained | None:
    """Train if it is wanted and something has changed, or if the current model is of other features."""
    workspace = project.workspace
    model = workspace.models.current()
    outdated = model is not None and _features(project) not in (None, model.settings["features"])
    if not (wanted or outdated) or not workspace.embedded():
        return None
    labels = training_labels(workspace, workspace.embedded())
    positives, images = int(labels.count(POSITIVE).sum()), int((labels.known_per_row() > 0).sum())
    if not positives:
        if outdated:
            raise DataError("the features have changed and no positive is known to train on; answer some questions")
        say(f"nothing to train on: {_why_nothing(project)}")
        return None
    loss, epochs = training_plan(settings.loss, positives, images)
    if model is not None and _state(project, loss) == {
        name: model.settings.get(name) for name in _state(project, loss)
    }:
        say(f"nothing has changed since model {model.name}; it stays")
        return None
    done = project.train(loss=loss, epochs=epochs, batch_size=BATCH_SIZE)
    say(f"model {done.version} trained with {done.loss} on {done.images} images, {done.positives} known positives")
    found = project.propose().proposals
    say(f"{len(found.positives)} expected positives, {len(found.negatives)} expected negatives")
    return done


def _why_nothing(project: Project) -> str:
    """Why there is no positive to train on, although answers may have come."""
    rows, _, values = project.labels.cells()
    errors = project.workspace.images.errors()
    unreadable = sorted({int(row) for row in rows[values == POSITIVE]} & errors.keys())
    if not unreadable:
        return "no positive is known yet"
    return f"the pictures of all {len(unreadable)} labelled images are missing, such as {errors[unreadable[0]]}"


def _features(project: Project) -> str | None:
    features = project.workspace.settings.features
    return None if features is None else features.key


def _state(project: Project, loss: str) -> dict[str, Any]:
    """What a model depends on, as its settings name it."""
    return {
        "answers": len(project.workspace.log),
        "classes": len(project.taxonomy),
        "features": _features(project),
        "loss": loss,
    }


def _version(project: Project, link: Link) -> tuple[str, str]:
    """(version, model) that belong together now."""
    current = project.workspace.models.current()
    model = "" if current is None else current.name
    return version_name(model, link.tag), model
