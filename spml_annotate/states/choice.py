"""The p_i largest scores of every class (or smallest), found without sorting a table or holding more than a block."""

from __future__ import annotations

import torch
from torch import Tensor

from spml_annotate.labels import NEGATIVE
from spml_annotate.states.tables import row_blocks

_PATTERN = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the size of the number in bytes
_DIGIT = 256


def choose_largest(scores: Tensor, labels: Tensor, quota: Tensor, chosen: Tensor, *, smallest: bool = False) -> None:
    """Set ``chosen`` to True at the largest scores of every class, as many as the quota says, False elsewhere.

    The bit patterns of numbers >= 0 are ordered like the numbers. Histograms of one byte of the pattern after another,
    of those cells that agree with the threshold so far, give the pattern of the quota-th largest score exactly (two
    passes for float16); one more pass marks what lies above it, and of what is equal to it the first rows.

    Args:
        scores: [H, n, L], numbers >= 0 of 2, 4 or 8 bytes.
        labels: int8 [H, n, L]; known negatives are never chosen. Or bool, True where a cell may be chosen.
        quota: int64 [H, L]; more than can be chosen means all.
        chosen: bool [H, n, L], overwritten.
        smallest: choose the smallest scores instead; among equal ones the first rows as well.
    """
    size = scores.element_size()
    patterns = scores.view(_PATTERN[size])
    flip = torch.iinfo(patterns.dtype).max if smallest else 0  # turns the order of the patterns round
    blocks = row_blocks(tuple(scores.shape))
    device = scores.device  # the scores may be mapped from a file while labels and quota are on another device
    left = quota.to(device)
    threshold = torch.zeros_like(left)
    for shift in range(8 * size - 8, -1, -8):
        counts = torch.zeros((*left.shape, _DIGIT), dtype=torch.int64, device=device)
        for block in blocks:
            part, candidates = _patterns(patterns, block, flip), _open(labels, block, device)
            if shift == 8 * size - 8:
                counts += _histogram(part >> shift, candidates)
            else:
                candidates &= (part >> (shift + 8)) == threshold[:, None].to(patterns.dtype)
                counts += _sparse_histogram(part >> shift, candidates)
        at_least = counts.flip(-1).cumsum(-1).flip(-1)
        if shift == 8 * size - 8:
            left = torch.minimum(left, at_least[..., 0])
        digit = (at_least >= left[..., None]).sum(-1, keepdim=True) - 1
        left = left - (at_least - counts).gather(-1, digit)[..., 0]
        threshold = threshold * _DIGIT + digit[..., 0]
    none = left == 0  # with one to choose at least, one is left at the threshold
    threshold = threshold.masked_fill(none, torch.iinfo(patterns.dtype).max).to(patterns.dtype)
    _mark(patterns, flip, labels, threshold, left, chosen, blocks)


def _patterns(patterns: Tensor, block: slice, flip: int) -> Tensor:
    """Bit patterns of a block of rows, in descending order if they are flipped."""
    return patterns[:, block] ^ flip if flip else patterns[:, block]


def _open(labels: Tensor, block: slice, device: torch.device) -> Tensor:
    """Cells of a block that may be chosen."""
    return (labels[:, block] != NEGATIVE).to(device)


def _histogram(digits: Tensor, counted: Tensor) -> Tensor:
    """How often every digit occurs among the counted cells of each class: int64 [H, L, 256]."""
    heads, _, classes = digits.shape
    bins = heads * classes * _DIGIT
    first = torch.arange(0, bins, _DIGIT, dtype=torch.int32, device=digits.device).view(heads, 1, classes)
    cells = digits.int() + first
    cells.masked_fill_(~counted, bins)  # one bin more, for all that does not count
    return torch.bincount(cells.flatten(), minlength=bins + 1)[:bins].view(heads, classes, _DIGIT)


def _sparse_histogram(patterns: Tensor, counted: Tensor) -> Tensor:
    """How often every last byte occurs among the counted cells of each class, which are few: int64 [H, L, 256]."""
    heads, _, classes = patterns.shape
    head, row, label = counted.nonzero(as_tuple=True)
    digits = patterns[head, row, label].long() & (_DIGIT - 1)
    cells = (head * classes + label) * _DIGIT + digits
    return torch.bincount(cells, minlength=heads * classes * _DIGIT).view(heads, classes, _DIGIT)


def _mark(
    patterns: Tensor,
    flip: int,
    labels: Tensor,
    threshold: Tensor,
    ties: Tensor,
    chosen: Tensor,
    blocks: list[slice],
) -> None:
    """Mark what is above the threshold, and the first ``ties`` rows that are equal to it."""
    for block in blocks:
        part, candidates = _patterns(patterns, block, flip), _open(labels, block, patterns.device)
        mark = candidates & (part > threshold[:, None])
        if bool(ties.any()):
            equal = candidates & (part == threshold[:, None])
            ties = ties - _keep_first(equal, ties)
            mark |= equal
        chosen[:, block] = mark


def _keep_first(cells: Tensor, most: Tensor) -> Tensor:
    """Unset all but the first ``most`` [H, L] true cells, usually few, of every class; how many are left, [H, L]."""
    heads, _, classes = cells.shape
    head, row, label = cells.nonzero(as_tuple=True)
    group = head * classes + label
    counts = torch.bincount(group, minlength=heads * classes)
    order = group.argsort(stable=True)  # rows keep their order
    place = torch.empty_like(group)
    place[order] = torch.arange(len(group), device=group.device)
    place -= (counts.cumsum(0) - counts)[group]
    cells[head, row, label] = place < most.flatten()[group]
    return torch.minimum(counts.view(heads, classes), most)
