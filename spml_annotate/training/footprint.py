"""What a state costs in memory, measured on states of small size."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from spml_annotate.labels import UNKNOWN
from spml_annotate.states import STATES, LabelState

_IMAGES, _CLASSES, _DIMENSION = (48, 96), (16, 32), 8
_MOMENTS = 2  # Adam keeps two numbers beside every one that it trains


@dataclass(frozen=True)
class Memory:
    """Bytes that a state keeps for one head: ``cell`` per image and class, ``image`` per image beside them.

    ``trained`` of the bytes per image and class are trained; Adam keeps twice as many again.
    """

    cell: float
    image: float
    trained: float

    @property
    def with_moments(self) -> float:
        """Bytes per image and class, those that Adam keeps included."""
        return self.cell + _MOMENTS * self.trained

    @property
    def in_words(self) -> str:
        """Bytes per image and class in words; nothing if there are none."""
        return f"{self.with_moments:g} byte{'' if self.with_moments == 1 else 's'} per image and class" * bool(
            self.cell
        )

    def total(self, images: int, classes: int) -> float:
        """Bytes for one head on so many images and classes, those that Adam keeps included."""
        return images * (classes * self.with_moments + self.image)


def measured(name: str) -> Memory:
    """Build the state at four sizes, save it, and see by how much the file grows."""
    sizes = {(n, classes): _size(_small(name, n, classes)) for n in _IMAGES for classes in _CLASSES}
    kept, trained = ({size: found[i] for size, found in sizes.items()} for i in range(2))
    cell, image = _growth(kept)
    return Memory(cell, image, _growth(trained)[0])


def _small(name: str, images: int, classes: int) -> LabelState:
    draw = torch.Generator().manual_seed(0)
    labels = torch.full((1, images, classes), UNKNOWN, dtype=torch.int8)
    labels[0, torch.arange(images), torch.arange(images) % classes] = 1
    entry = STATES[name]
    given = {"features": torch.randn((images, _DIMENSION), generator=draw)} if "features" in entry.inputs else {}
    return entry.function(labels, seeds=[0], **given)


def _size(state: LabelState) -> tuple[int, int]:
    """Bytes of the tables that it saves, and of what it trains."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        state.save(path)
        header = int.from_bytes(path.read_bytes()[:8], "little")  # the format: its length, the header, the tables
        return path.stat().st_size - 8 - header, sum(p.numel() * p.element_size() for p in state.parameters())


def _growth(sizes: dict[tuple[int, int], int]) -> tuple[float, float]:
    """Bytes per image and class, and per image, from sizes at two numbers of each."""
    (few, many), (narrow, wide) = _IMAGES, _CLASSES
    steps = (many - few) * (wide - narrow)
    cell = (sizes[many, wide] - sizes[few, wide] - sizes[many, narrow] + sizes[few, narrow]) / steps
    return cell, (sizes[many, narrow] - sizes[few, narrow]) / (many - few) - cell * narrow
