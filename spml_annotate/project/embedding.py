"""Features of a project's images: only those that are missing are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spml_annotate.project.scoring import extend_scores
from spml_annotate.workspace import FeatureSettings, Workspace

if TYPE_CHECKING:
    from spml_annotate.embed.images import Precision


@dataclass(frozen=True)
class Embedded:
    """What `embed` did: images embedded now and in all, width D, the key of the features, faults as (id, why)."""

    new: int
    images: int
    width: int
    key: str
    backbone: str
    unreadable: tuple[tuple[str, str], ...]


def embed(
    workspace: Workspace,
    *,
    backbone: str | None = None,
    weights: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | None = None,
    batch_size: int = 64,
    precision: Precision = "auto",
    device: str = "auto",
) -> Embedded:
    """Embed the images that have no features yet; goes on where an interrupted run stopped.

    Without ``backbone`` the project's own is used again (``builtin`` the first time). Images that cannot be read get a
    row of zeros, are flagged, and take no part in anything.

    Raises:
        SettingError, DataError, MismatchError, MissingExtraError: see `load_backbone`.
    """
    with workspace.writing("embed"):
        wanted = _wanted(workspace, backbone, weights, mean, std, size)
        count = len(workspace.images)
        if wanted == workspace.settings.features and workspace.embedded() == count:
            extend_scores(workspace)
            return _result(workspace, 0)
        return _compute(workspace, wanted, count, batch_size, precision, device)


def _compute(
    workspace: Workspace, wanted: FeatureSettings, count: int, batch_size: int, precision: Precision, device: str
) -> Embedded:
    from spml_annotate.embed.backbones import load_backbone
    from spml_annotate.embed.images import embed_pictures
    from spml_annotate.embed.pictures import FilePictures
    from spml_annotate.errors import DataError

    if not count:
        raise DataError("the project has no images yet; run `spml-annotate images add FOLDER`")
    built = load_backbone(
        wanted.backbone, wanted.weights, mean=wanted.mean, std=wanted.std, size=wanted.size, device=device
    )
    known = workspace.features.missing(built.key, workspace.images.fingerprint, count, backbone=built.key)
    writer = workspace.features.writer(
        built.key, workspace.images.fingerprint, count, built.features_dim, backbone=built.key
    )
    pictures = FilePictures(workspace.image_paths())
    with writer:
        embed_pictures(pictures, built, writer, batch_size=batch_size, precision=precision, flag=workspace.images.flag)
    workspace.update(features=FeatureSettings(**{**vars(wanted), "key": built.key}))
    extend_scores(workspace)
    return _result(workspace, count - known)


def _wanted(
    workspace: Workspace,
    backbone: str | None,
    weights: str | Path | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    size: int | None,
) -> FeatureSettings:
    """What the options ask for; nothing given asks for what the project has."""
    now = workspace.settings.features
    if now is not None and all(given is None for given in (backbone, weights, mean, std, size)):
        return now
    chosen = str(weights) if weights is not None else "default"
    if chosen not in ("default", "none"):
        chosen = str(Path(chosen).absolute())
    same = FeatureSettings("", backbone or "builtin", chosen, _channels(mean), _channels(std), size)
    if now is not None and FeatureSettings(**{**vars(now), "key": ""}) == same:
        return now
    return same


def _channels(values: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if values is None:
        return None
    return (float(values),) if isinstance(values, int | float) else tuple(float(value) for value in values)


def _result(workspace: Workspace, new: int) -> Embedded:
    settings = workspace.feature_settings
    shape = workspace.features.tables.info(settings.key).shape
    ids = workspace.images.ids()
    faults = tuple((ids[row], why) for row, why in workspace.images.errors().items())
    return Embedded(new, shape[0], shape[1], settings.key, settings.backbone, faults)
