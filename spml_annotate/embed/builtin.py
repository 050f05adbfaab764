"""The built-in extractor: a small convolutional network that ships with the package and needs no download.

It was trained by ``scripts/train_extractor.py`` on scenes of digit images that no built-in data set contains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from spml_annotate.embed.preprocessing import Preprocessing
from spml_annotate.errors import DataError

BUILTIN_PREPROCESSING = Preprocessing(64, None, mean=(0.5, 0.5, 0.5), deviation=(0.25, 0.25, 0.25))
"""As in its training; the whole picture is squeezed into the square."""
WEIGHTS = Path(__file__).with_name("builtin.safetensors")
WEIGHTS_SHA256 = "9887082e34af61344cf9162a195b0a56504ab2a74aee6c3a6e62e8c021a133f3"
_WIDTHS = (24, 48, 96, 128, 192)


class BuiltinNetwork(nn.Module):
    """Pictures [B, 3, S, S] to features [B, 384]: mean and maximum over the places of the last map."""

    features_dim = 2 * _WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth, last = _WIDTHS
        self.layers = nn.Sequential(
            _stage(3, first, kernel=5, stride=2),
            _stage(first, second, stride=2),
            _stage(second, third),
            _stage(third, fourth, stride=2),
            _stage(fourth, last),
        )

    def maps(self, pictures: Tensor) -> Tensor:
        """The last map [B, 192, S/8, S/8] of normalised pictures [B, 3, S, S]."""
        maps: Tensor = self.layers(pictures)
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        """Features [B, 384] of normalised pictures [B, 3, S, S]."""
        return pooled(self.maps(pictures))


def pooled(maps: Tensor) -> Tensor:
    """Mean and maximum over the places: [B, C, G, G] to [B, 2 C]."""
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def _stage(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def builtin_state() -> Mapping[str, Tensor]:
    """The trained weights that ship with the package, float16 by name.

    Raises:
        DataError: if the installed file is missing or is not the one that this version was released with.
    """
    from safetensors.torch import load

    if not WEIGHTS.exists():
        raise DataError(f"the built-in extractor's weights {WEIGHTS.name} are missing; reinstall spml-annotate")
    content = WEIGHTS.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise DataError(f"the built-in extractor's weights {WEIGHTS.name} have been altered; reinstall spml-annotate")
    state: Mapping[str, Tensor] = load(content)
    return state
