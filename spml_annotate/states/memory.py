"""What all states share: how their tables go to disk and back, and from one training into the next."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spml_annotate.errors import MismatchError
from spml_annotate.states.protocol import LabelState
from spml_annotate.states.tables import EpochCounter, load_tables, save_tables

Kept = Mapping[str, NDArray[np.generic]]


class Memory(LabelState):
    """A state made of tables [H, ...]; one that does something at a step or needs the epoch overrides what it must."""

    name = ""
    _epoch: EpochCounter | None = None  # of a state that counts the epochs

    @property
    def passed(self) -> int:
        """Epochs that have ended, in a state that counts them."""
        return self._epoch.number if self._epoch is not None else 0

    @abstractmethod
    def tables(self) -> dict[str, Tensor]:
        """Everything remembered, by name; tables of three axes, of which the first are the heads."""

    def loaded(self) -> None:
        """The tables have new content: derive anew what follows from them."""

    def observe(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Nothing happens before the loss."""

    def write(self, rows: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Nothing happens after the step."""

    def end_epoch(self, epoch: int) -> None:
        """The next epoch begins."""
        if self._epoch is not None:
            self._epoch.ended(epoch)

    def parameters(self) -> list[nn.Parameter]:
        """None: nothing here is trained."""
        return []

    def save(self, path: str | Path) -> None:
        """Write the tables to one safetensors file, atomically."""
        save_tables(path, self.name, self._stored())

    def load(self, path: str | Path) -> None:
        """Replace the tables by what `save` wrote; a parameter stays the same object.

        Raises:
            DataError: for a file that cannot be read. MismatchError: for another state or other shapes.
        """
        load_tables(path, self.name, self._stored())
        self.loaded()

    def kept(self, head: int) -> dict[str, NDArray[np.generic]]:
        """Copies of one head's tables, as `begin_with` takes them."""
        return {name: table[head].detach().cpu().numpy().copy() for name, table in self.tables().items()}

    @torch.no_grad()
    def begin_with(self, kept: Sequence[Kept]) -> None:
        """Begin a new training, whose epochs are counted from 0, with what `kept` gave for every head.

        Raises:
            MismatchError: for what another state has kept, or of another shape.
        """
        tables = self.tables()
        for content in kept:
            found = {name: (values.shape, str(values.dtype)) for name, values in content.items()}
            wanted = {name: (tuple(t.shape[1:]), str(t.dtype).removeprefix("torch.")) for name, t in tables.items()}
            if found != wanted:
                raise MismatchError(
                    f"the state {self.name} was kept as {found or 'nothing'} and is now {wanted}; "
                    "begin with the same loss, storage, images and classes"
                )
        for head, content in enumerate(kept):
            for name, table in tables.items():
                table[head].copy_(torch.from_numpy(content[name]))
        self.loaded()

    def _stored(self) -> dict[str, Tensor]:
        return self.tables() if self._epoch is None else {**self.tables(), "epoch": self._epoch.table}
