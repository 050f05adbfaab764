"""ROLE's estimate of every image's labels: free logits that are trained along with the model (Cole et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.states import STATES
from spml_annotate.states.memory import Memory
from spml_annotate.states.tables import check_labels

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_KNOWN = 0.995  # initial probability of a known positive; a known negative starts at 1 minus this
_UNKNOWN = 0.6  # an unknown cell starts at a logit drawn evenly from -logit(0.6) to logit(0.6)


@STATES.register("learned", paper="arXiv:2106.09708", fills=("estimate",))
class LearnedState(Memory):
    """Free logits Phi [H, n, L], trained by the optimiser of the model; ``estimate`` is q = sigmoid(Phi).

    A dense table: an optimiser with momentum keeps moving rows that are not in the batch, as the authors' does, and
    Adam's moments take twice the table's memory again.

    Args:
        labels: int8 [H, n, L].
        seeds: one per head; a head's start depends on its own seed only. Zeros if none are given.
        learning_rate_multiplier: the optimiser's learning rate for Phi is this many times the model's.
        precision: float32 or float64.

    Raises:
        SettingError, MismatchError, DataError: for settings or labels that cannot be used.
    """

    name = "learned"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        *,
        learning_rate_multiplier: float = 10.0,
        precision: str = "float32",
    ) -> None:
        check_labels(labels)
        if precision not in _DTYPES:
            raise SettingError(f"learned.precision: {precision!r} is not one of {', '.join(_DTYPES)}")
        heads = labels.shape[0]
        chosen = tuple(seeds) or (0,) * heads
        if len(chosen) != heads:
            raise SettingError(f"learned: {len(chosen)} seeds for {heads} heads; give one per head")
        self.learning_rate_multiplier = learning_rate_multiplier
        dtype = _DTYPES[precision]
        self.logits = nn.Parameter(
            torch.stack([_initial(table, seed, dtype) for table, seed in zip(labels, chosen, strict=True)])
            if heads
            else torch.zeros(tuple(labels.shape), dtype=dtype, device=labels.device)
        )

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``estimate``, [H, B, L] with gradient into the logits."""
        return {"estimate": self.logits.index_select(1, rows.to(self.logits.device)).sigmoid()}

    def parameters(self) -> list[nn.Parameter]:
        """The logits, for the optimiser, at `learning_rate_multiplier` times the model's learning rate."""
        return [self.logits]

    def tables(self) -> dict[str, Tensor]:
        """What is saved: the logits."""
        return {"logits": self.logits}


def _initial(labels: Tensor, seed: int, dtype: torch.dtype) -> Tensor:
    """Starting logits [n, L] of one head; drawn on the CPU, so that every device starts alike."""
    edge = math.log(_UNKNOWN / (1.0 - _UNKNOWN))
    known = math.log(_KNOWN / (1.0 - _KNOWN))
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.rand(tuple(labels.shape), generator=generator, dtype=dtype) * 2.0 - 1.0) * edge
    start = drawn.to(labels.device)
    return start.masked_fill(labels == POSITIVE, known).masked_fill(labels == NEGATIVE, -known)
