"""Features of a project's images: only those that are missing are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spml_annotate.project.restoring import Found, embed_again, readable_again, restore
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

    Flagged images whose files can be read now are embedded, too, and take part again.

    Without ``backbone`` the project's own is used again (``builtin`` the first time). Images that cannot be read get a
    row of zeros, are flagged, and take no part in anything.

    Raises:
        DataError: if none of the files is there any more (a folder that was moved, a disk that is not mounted).
        SettingError, DataError, MismatchError, MissingExtraError: see `load_backbone`.
    """
    with workspace.writing("embed"):
        wanted = _wanted(workspace, backbone, weights, mean, std, size)
        count = len(workspace.images)
        again = readable_again(workspace)
        if wanted == workspace.settings.features and workspace.embedded() == count and not again:
            extend_scores(workspace)
            return _result(workspace, 0)
        return _compute(workspace, wanted, count, again, batch_size, precision, device)


def _compute(
    workspace: Workspace,
    wanted: FeatureSettings,
    count: int,
    again: list[Found],
    batch_size: int,
    precision: Precision,
    device: str,
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
    paths = workspace.image_paths()
    faults = workspace.images.errors()
    expected = [paths[row] for row in range(known, count) if row not in faults]
    if expected and not any(path.is_file() for path in expected):
        raise DataError(
            f"none of the {len(expected)} image files to embed is there, such as {expected[0]}; bring them back, or "
            "say where they lie now with `spml-annotate images move FROM TO`"
        )
    restore(workspace, [item for item in again if item.row >= known])
    writer = workspace.features.writer(
        built.key, workspace.images.fingerprint, count, built.features_dim, backbone=built.key
    )
    pictures = FilePictures(paths)

    def flag(row: int, why: str) -> None:
        if row not in faults or paths[row].is_file():  # why a picture never came says more than that there is no file
            workspace.images.flag(row, why.removeprefix(f"{paths[row]}: "))

    with writer:
        embed_pictures(pictures, built, writer, batch_size=batch_size, precision=precision, flag=flag)
    workspace.update(features=FeatureSettings(**{**vars(wanted), "key": built.key}))
    behind = [item for item in again if item.row < known]
    if behind:
        embed_again(workspace, built, behind, batch_size, precision)
    extend_scores(workspace)
    return _result(workspace, count - known + len(behind))


def _wanted(
    workspace: Workspace,
    backbone: str | None,
    weights: str | Path | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    size: int | None,
) -> FeatureSettings:
    """What the options ask for: those not given are as before, as far as backbone and weights are."""
    now = workspace.settings.features
    asked = FeatureSettings("", backbone or (now.backbone if now else "builtin"), _location(weights) or "default")
    if now is not None and asked.backbone == now.backbone and _location(weights) in (None, now.weights):
        asked = replace(now, key="")
    asked = replace(asked, mean=_channels(mean) or asked.mean, std=_channels(std) or asked.std, size=size or asked.size)
    return now if now is not None and replace(now, key="") == asked else asked


def _location(weights: str | Path | None) -> str | None:
    if weights is None or str(weights) in ("default", "none"):
        return None if weights is None else str(weights)
    return str(Path(weights).absolute())


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
