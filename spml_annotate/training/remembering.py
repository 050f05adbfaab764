"""A loss with its memory, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spml_annotate.errors import MismatchError, SettingError
from spml_annotate.losses.module import as_module
from spml_annotate.states import LabelState
from spml_annotate.training.inputs import resolve, usable_labels


class RememberingLoss:
    """Any registered loss on the labels of one's training images, with whatever it remembers about them.

        loss = RememberingLoss("role", labels, expected_positives=1.5, epochs=20)
        optimizer = torch.optim.Adam([{"params": model.parameters()}, *loss.parameter_groups(1e-3)], lr=1e-3)
        for epoch in range(20):
            for rows in batches:
                value = loss(model(features[rows]), rows)
                optimizer.zero_grad(); value.backward(); optimizer.step()
                loss.after_step()
            loss.end_epoch()

    For a loss without memory this is `as_module` that knows the labels; the two further calls do nothing then. It is
    no `nn.Module`: its memory, N x L and more, belongs neither into a model's checkpoint nor onto every device.

    To go on later exactly as if nothing had been: beside the model and the optimiser keep ``epoch``, and
    ``state.save(path)`` if there is a state, between two steps; then make the loss anew in the same way, before the
    optimiser, set ``epoch`` and ``state.load(path)``.

    Args:
        labels: our codes, int8 [N, L], of all training images, on the device of training.
        seed: of what the state draws.
        expected_positives: k, the mean number of positives per image, for losses that use it.
        epochs: how many there will be, for losses with a schedule.
        settings: of the loss and of its state.
        features: [N, D] of the images, for a state that looks at their neighbours (`smile`).
        as_published: read known negatives as unknown, as the papers' code does, unless the loss needs them.

    Raises:
        SettingError: for an unknown loss or setting, or labels that the loss cannot use.
        MismatchError: if labels are no table.
    """

    def __init__(
        self,
        name: str,
        labels: Tensor,
        *,
        seed: int = 0,
        expected_positives: float | None = None,
        epochs: int = 1,
        settings: Mapping[str, Any] | None = None,
        features: Tensor | None = None,
        as_published: bool = False,
    ) -> None:
        if labels.ndim != 2:
            raise MismatchError(f"labels have shape {tuple(labels.shape)}; they must be a table [N, L]")
        self.method = resolve(name, settings, expected_positives=expected_positives, epochs=epochs)
        codes = usable_labels(
            self.method,
            labels.detach().cpu().numpy().astype("int8"),
            as_published=as_published,
            stored_features=False,
        )
        self._loss = as_module(name, **self.method.settings)
        self.labels = torch.from_numpy(codes).to(labels.device)
        self.epoch, self.epochs = 0, epochs
        self.state: LabelState | None = None
        if self.method.state is not None:
            asked = {"features": features} if "features" in self.method.state.inputs else {}
            self.state = self.method.state.function(
                self.labels[None], seeds=[seed], **asked, **self.method.state_settings
            )
        self._last: tuple[Tensor, dict[str, Tensor]] | None = None

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """What the optimiser must train beside the model, at the state's own multiple of the rate, without decay."""
        learned: list[nn.Parameter] = self.state.parameters() if self.state is not None else []
        multiplier = float(getattr(self.state, "learning_rate_multiplier", 1.0))
        return [{"params": learned, "lr": learning_rate * multiplier, "weight_decay": 0.0}] if learned else []

    def __call__(self, logits: Tensor, rows: Tensor, **inputs: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar.

        Args:
            logits: [B, L]. rows: int64 [B], which training images they are of.
            **inputs: what only the loop can give, [B, L] by name: the logits of further views (``strong``, ``masked``),
                of other images (``background``), the pseudo-labels of a ``teacher``.

        Raises:
            SettingError: if the loss needs an input that is missing, or has no input of that name.
        """
        for name in self.method.unsupplied:  # said before a state looks for it
            if name not in inputs:
                raise SettingError(f"loss {self.method.name} needs the input {name!r}: loss(logits, rows, {name}=...)")
        given: dict[str, Any] = {name: value[None] for name, value in inputs.items()}
        outputs = {name: value.detach() for name, value in (("logits", logits[None]), *given.items())}
        given["progress"] = (self.epoch, self.epochs)
        if self.state is not None:
            self.state.observe(rows, outputs)
            given.update(self.state.read(rows))
        self._last = rows, outputs
        wanted = {name: value for name, value in given.items() if name in self.method.loss.inputs or name in inputs}
        value: Tensor = self._loss(logits[None], self.labels[rows][None], **wanted)
        return value

    @torch.no_grad()
    def after_step(self) -> None:
        """Remember the last batch; call it after the optimiser's step.

        Raises:
            SettingError: if no loss was computed since the last call.
        """
        if self._last is None:
            raise SettingError("after_step: call the loss first, then backward and the optimiser's step")
        if self.state is not None:
            self.state.write(*self._last)
        self._last = None

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Let the state take stock, and count the epoch."""
        if self.state is not None:
            self.state.end_epoch(self.epoch)
        self.epoch += 1
