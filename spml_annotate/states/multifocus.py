"""Pseudo-labels from the similarities of an image and of its tiles to the class names (DAMP, Tran et al. 2025)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN


def multifocus_labels(
    whole: Tensor,
    tiles: Tensor,
    labels: Tensor,
    *,
    temperature: float = 0.01,
    tile_threshold: float = 0.3,
    count: int = 3,
    threshold: float = 0.5,
    negative_share: float = 0.0,
    name_negatives: bool = False,
) -> tuple[Tensor, Tensor]:
    """Pseudo-labels and the scores that they come from: int8 codes [*H, B, L] and [*H, B, L].

    With softmax over the classes of similarity / temperature: the score of a class is the mean of the whole image's
    value and its largest over the tiles, or its smallest where even the largest does not pass eta, the observed
    class's own value, at most ``tile_threshold``. Pseudo-positives are the ``count`` best scores of an image that
    reach the threshold, unless they are among its lowest ``negative_share``. With several observed classes the best
    of them gives eta, without any it is ``tile_threshold``. Known cells get a pseudo-label like all others; a loss
    must not look at it.

    Args:
        whole: similarities (cosines) of the images, [*H, B, L].
        tiles: the same of their tiles, [T, *H, B, L].
        labels: our codes, int8.
        temperature, tile_threshold, count, threshold: temp, eta_0, top_k and threshold; the paper's by data set are
            0.01, 0.3, 3, 0.5 (COCO), 0.01, 0.3, 3, 0.6 (NUS), 0.01, 0, 3, 0.5 (VOC), 0.1, 0.005, 32, 0.005 (CUB).
        name_negatives: make the lowest pseudo-negatives, as the paper says; the released code leaves them unknown.
    """
    overall = torch.softmax(whole / temperature, dim=-1)
    parts = torch.softmax(tiles / temperature, dim=-1)
    observed = torch.where(labels == POSITIVE, overall, -torch.inf).amax(dim=-1, keepdim=True)
    least = torch.where(observed == -torch.inf, tile_threshold, observed).clamp(max=tile_threshold)
    largest = parts.amax(dim=0)
    scores = 0.5 * (overall + torch.where(largest > least, largest, parts.amin(dim=0)))
    classes = scores.shape[-1]
    best = scores.topk(min(count, classes), dim=-1).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best, True) & (scores >= threshold)
    lowest = scores.topk(min(math.floor(negative_share * classes), classes), dim=-1, largest=False).indices
    low = torch.zeros_like(chosen).scatter(-1, lowest, True)
    pseudo = torch.full_like(chosen, UNKNOWN, dtype=torch.int8).masked_fill(chosen, POSITIVE)
    return pseudo.masked_fill(low, NEGATIVE if name_negatives else UNKNOWN), scores
