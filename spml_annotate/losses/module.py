"""A registered loss as a module, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from spml_annotate.errors import SettingError
from spml_annotate.losses import LOSSES


class LossModule(torch.nn.Module):
    """Calls a registered loss with fixed settings and returns the mean. It holds no parameters and no memory."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._entry = LOSSES[name]
        self._settings = self._entry.checked(settings)

    def forward(self, logits: Tensor, labels: Tensor, **inputs: Any) -> Tensor:  # noqa: ANN401  (progress is a tuple)
        """Mean loss, a scalar; logits [*H, B, L] of several runs are averaged too.

        Args:
            logits: [*H, B, L].
            labels: our codes, int8 [B, L] or [*H, B, L].
            **inputs: what else the loss asks for, by name.

        Raises:
            SettingError: if an input is missing or the loss has no such input.
        """
        entry = self._entry
        given = {"logits", "labels", *inputs}
        missing = [name for name in entry.inputs if name not in given and name not in entry.optional]
        surplus = [name for name in inputs if name not in entry.inputs]
        if missing or surplus:
            fault = f"needs the input {missing[0]!r}" if missing else f"has no input {surplus[0]!r}"
            raise SettingError(f"loss {entry.name} {fault}; its inputs are: {', '.join(entry.inputs)}")
        unreduced: Tensor = entry.function(logits, labels, **inputs, **self._settings)
        return unreduced.mean()

    def extra_repr(self) -> str:
        """Name and settings."""
        return ", ".join([self._entry.name, *(f"{key}={value}" for key, value in self._settings.items())])


def as_module(name: str, **settings: Any) -> LossModule:  # noqa: ANN401  (settings are of any plain type)
    """The loss ``name`` as an `nn.Module` whose forward takes (logits, labels, further inputs) and returns the mean.

    Made for first derivatives: many losses bring their gradient along, and a second derivative would lack their
    curvature.

    Raises:
        SettingError: for an unknown loss or setting.
    """
    return LossModule(name, settings)
