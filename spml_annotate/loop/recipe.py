"""How the loop trains behind the annotators: which loss and how long, by how much is known; on which features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spml_annotate.errors import SettingError

AUTO = "auto"
"""The loss that is chosen by how many positives are known; the backbone that is chosen by the pictures."""
FEW = 100
"""Below so many known positives `an` trains better than `en`, above them worse.

Test mAP with 25, 50, 100, 200, 400 single positives, 25 epochs, 4 seeds: voc20mix an .224 .255 .300 .337 .394, en .217
.251 .294 .338 .403; coco525 an .115 .165 .229 .300, en .113 .164 .239 .315. `en` has to tell the unseen positives by
its own scores, and those of a model that has seen five images of a class are noise. On 24 pictures of 5 classes that
exclude one another `en` names 52 to 87 % of the others right, `an` 76 to 97 %.
"""
STEPS = 150
"""Optimiser steps that a training has at least: 25 epochs of one small batch leave a head half-trained.

The same 24 pictures: `an` goes from 76 to about 88 % (shapes) and 86 to 93 % (colours and shapes) right.
"""
EPOCHS, BATCH_SIZE = 25, 64
SIMPLE = 0.5
"""From this share of pictures of one thing before a plain ground on, the silhouette of that thing helps.

Five shapes in any colours before any colour, 24 of 100 labelled: 27 % right with `builtin`, 91 % with `builtin-shapes`;
colours and textures: 98 and 96 %. On pictures of several things it only adds noise (scenes, 1,200 positives: mAP .64
and .58).
"""


def training_plan(loss: str, positives: int, images: int) -> tuple[str, int]:
    """(loss, epochs) for a training on so many positives and images; see `FEW` and `STEPS`."""
    if loss == AUTO:
        loss = "an" if positives < FEW else "en"
    batches = -(-images // BATCH_SIZE)
    return loss, max(EPOCHS, -(-STEPS // max(batches, 1)))


def backbone_for(paths: Sequence[Path]) -> str:
    """The built-in extractor for a project that chose none, by what its pictures are like; see `SIMPLE`."""
    from spml_annotate.embed.pictures import FilePictures
    from spml_annotate.embed.silhouette import single_things

    return "builtin-shapes" if single_things(FilePictures(paths)) >= SIMPLE else "builtin"


def check_loss(loss: str) -> None:
    """Say at once what a training would only say later.

    Raises:
        SettingError: for a loss that is not there, or that cannot learn from what annotators give.
    """
    if loss == AUTO:
        return
    from spml_annotate.training.inputs import resolve

    try:
        method = resolve(loss)
    except SettingError as error:
        raise SettingError(f"SPML_LOSS: {error}") from None
    if method.unsupplied or method.oracle:
        wanted = "all true negatives" if method.oracle else " and ".join(method.unsupplied)
        raise SettingError(f"SPML_LOSS: {loss} needs {wanted}, which annotators do not give; choose another, or auto")
