"""The contract of everything that is remembered per image and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


class LabelState(Protocol):
    """Memory of H heads about n images and L classes, outside the loss and outside the model.

    Per batch the trainer calls observe, read, the loss and the optimiser's step, then write; after every epoch
    end_epoch. ``rows`` are positions 0..n-1, int64 [B]; ``outputs`` holds detached tensors [H, B, L], ``logits`` at
    least. A state depends on its own head's labels, seed and outputs only, never on the other heads.
    """

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """The inputs of a loss that this state fills, by name, each [H, B, L] on the labels' device."""

    def observe(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Take notice of a batch before its loss is computed."""

    def write(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Remember the outputs that the loss of this batch was computed from, after the step."""

    def end_epoch(self, epoch: int) -> None:
        """Every image has been written once more; ``epoch`` is the one that has ended, counted from 0."""

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser must train, empty for most."""

    def save(self, path: str | Path) -> None:
        """Write everything remembered to one safetensors file, atomically."""

    def load(self, path: str | Path) -> None:
        """Replace everything remembered by what `save` wrote.

        Raises:
            DataError: for a file that cannot be read. MismatchError: for another state or other shapes.
        """

    def kept(self, head: int) -> dict[str, NDArray[np.generic]]:
        """A copy of everything remembered for one head, by name, for `begin_with`."""

    def begin_with(self, kept: Sequence[Mapping[str, NDArray[np.generic]]]) -> None:
        """Begin a new training, whose epochs are counted from 0, with what `kept` gave for every head.

        Raises:
            MismatchError: for what another state has kept, or of another shape.
        """
