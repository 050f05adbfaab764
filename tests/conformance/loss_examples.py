"""Synthetic values for every input that a loss may ask for. A new input needs a line in `_MAKERS`."""

from collections.abc import Callable
from typing import Any

import torch

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES

Inputs = dict[str, Any]
Shape = tuple[int, ...]

_MAKERS: dict[str, Callable[[Shape, torch.Generator], Any]] = {
    "estimate": lambda shape, draw: torch.rand(shape, generator=draw, dtype=torch.float64),
    "expected": lambda shape, draw: (torch.rand(shape, generator=draw) < 0.3).double(),
    "progress": lambda shape, draw: (3, 10),
    "priors": lambda shape, draw: (
        torch.rand((*shape[:-2], 1, shape[-1]), generator=draw).double().repeat(*(1 for _ in shape[:-2]), shape[-2], 1)
    ),  # of a class, the same in every row
    "background": lambda shape, draw: 3.0 * torch.randn(shape, generator=draw, dtype=torch.float64),
    "strong": lambda shape, draw: 3.0 * torch.randn(shape, generator=draw, dtype=torch.float64),
    "picked": lambda shape, draw: (torch.rand(shape, generator=draw) < 0.6).double(),
    "latent": lambda shape, draw: torch.rand((*shape, 2, 3), generator=draw, dtype=torch.float64) + 0.2,
    "masked": lambda shape, draw: 3.0 * torch.randn(shape, generator=draw, dtype=torch.float64),
    "thresholds": lambda shape, draw: (
        torch.rand((*shape[:-2], 1, shape[-1], 2), generator=draw, dtype=torch.float64).expand(*shape, 2).clone()
    ),  # of a class, the same in every row
    "reconstruction": lambda shape, draw: (
        torch.rand((*shape[:-2], 1, 1), generator=draw, dtype=torch.float64).expand(shape).clone()
    ),  # one number per batch
    "teacher": lambda shape, draw: tables(shape, draw)["mixed"],
}


def tables(shape: Shape, draw: torch.Generator) -> dict[str, torch.Tensor]:
    """Label tables of every kind, int8: mixed, one known sign only, all known, all unknown."""
    codes = torch.tensor([POSITIVE, NEGATIVE, UNKNOWN, UNKNOWN, UNKNOWN], dtype=torch.int8)
    mixed = codes[torch.randint(len(codes), shape, generator=draw)]
    return {
        "mixed": mixed,
        "positives": torch.where(mixed == NEGATIVE, UNKNOWN, mixed).to(torch.int8),
        "negatives": torch.where(mixed == POSITIVE, UNKNOWN, mixed).to(torch.int8),
        "known": torch.where(mixed == UNKNOWN, NEGATIVE, mixed).to(torch.int8),
        "all positive": torch.full(shape, POSITIVE, dtype=torch.int8),
        "all negative": torch.full(shape, NEGATIVE, dtype=torch.int8),
        "unknown": torch.full(shape, UNKNOWN, dtype=torch.int8),
    }


def example(name: str, shape: Shape, seed: int = 0, labels: str = "mixed") -> Inputs:
    """Every input of a loss, float64; tensors share the shape [*H, B, L], optional ones of another are left out."""
    draw = torch.Generator().manual_seed(seed)
    inputs: Inputs = {
        "logits": 3.0 * torch.randn(shape, generator=draw, dtype=torch.float64),
        "labels": tables(shape, draw)[labels],
    }
    for wanted in LOSSES[name].inputs:
        if wanted not in inputs and (wanted in _MAKERS or wanted not in LOSSES[name].optional):
            assert wanted in _MAKERS, f"loss {name!r} asks for {wanted!r}: add a maker to {__file__}"
            inputs[wanted] = _MAKERS[wanted](shape, draw)
    return inputs


def over_tensors(inputs: Inputs, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    """The same inputs with every tensor changed."""
    return {key: change(value) if isinstance(value, torch.Tensor) else value for key, value in inputs.items()}


def float_settings(name: str) -> dict[str, float]:
    """Settings that a sweep may vary, with a usable value other than the default."""
    usable = {"negative_weight": 0.3}
    settings = LOSSES[name].settings
    return {
        key: usable.get(key, 0.5 * (value or 1.0))
        for key, value in settings.items()
        if key in usable or isinstance(value, float)
    }


def gradient(name: str, inputs: Inputs, of: str = "logits", **settings: Any) -> torch.Tensor:
    """Gradient of the mean loss of each run, summed over the runs, with respect to the logits (of a view)."""
    logits = inputs[of].detach().clone().requires_grad_()
    matrix = LOSSES[name].function(**{**inputs, of: logits}, **settings)
    if of != "logits" and not matrix.requires_grad:  # the view serves for decisions only
        return torch.zeros_like(logits)
    (found,) = torch.autograd.grad(matrix.mean(dim=(-2, -1)).sum(), logits)
    return found
