"""Heads of one loss that train together: their weights side by side in one matrix, one call of the loss for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spml_annotate.training.heads import HeadRun
from spml_annotate.training.inputs import Method

EMA_MOMENTUM = 0.8  # as EN (Verelst et al. 2023); the scores that proposals read


class HeadGroup:
    """H heads of one loss on n images; H x L columns of one weight matrix, so that one product serves them all.

    Args:
        members: indices of the runs. codes: H label tables int8 [n, L]. dimension: D. expected_positives: k.
    """

    def __init__(
        self,
        members: list[int],
        runs: Sequence[HeadRun],
        methods: Sequence[Method],
        codes: Sequence[NDArray[np.int8]],
        dimension: int,
        expected_positives: float,
        device: torch.device,
    ) -> None:
        self.members = members
        self.method = methods[members[0]]
        self.run = runs[members[0]]
        self.codes = torch.from_numpy(np.stack([codes[m] for m in members])).to(device)  # [H, n, L]
        heads, images, classes = self.codes.shape
        self.settings = _stacked([methods[m].settings for m in members], device)
        weight, bias = _initial([runs[m].seed for m in members], dimension, classes, expected_positives)
        self.weight = torch.nn.Parameter(weight.to(device))  # [D, H*L]
        self.bias = torch.nn.Parameter(bias.to(device))  # [H*L]
        self.state: Any = None
        if self.method.state is not None:
            seeds = [runs[m].seed for m in members]
            self.state = self.method.state.function(self.codes, seeds=seeds, **self.method.state_settings)
        self.ema = torch.zeros((heads, images, classes), dtype=torch.float16, device=device)
        self.epoch = [0] * heads
        self.history: list[list[float]] = [[] for _ in members]
        self._best = [-1.0] * heads
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._logits = torch.empty(0)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; what a state learns has its own learning rate and no decay."""
        rate, decay = self.run.learning_rate, self.run.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": [self.weight], "lr": rate, "weight_decay": decay},
            {"params": [self.bias], "lr": rate, "weight_decay": 0.0},
        ]
        learned = list(self.state.parameters()) if self.state is not None else []
        if learned:
            multiplier = float(getattr(self.state, "learning_rate_multiplier", 1.0))
            groups.append({"params": learned, "lr": rate * multiplier, "weight_decay": 0.0})
        return groups

    def _forward(self, features: torch.Tensor) -> torch.Tensor:
        heads, _, classes = self.codes.shape
        logits = torch.addmm(self.bias, features, self.weight)  # BxD, DxHL -> BxHL
        return logits.view(len(features), heads, classes).transpose(0, 1)  # HxBxL

    @torch.no_grad()
    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """[H, R, L] of scaled features [R, D]."""
        return self._forward(features)

    def loss(self, features: torch.Tensor, batch: torch.Tensor, epochs: tuple[int, int]) -> torch.Tensor:
        """Sum over the heads of each head's mean loss on the batch rows; heads share nothing but the batch."""
        logits = self._forward(features)
        self._logits = logits.detach()
        inputs: dict[str, Any] = {"logits": logits, "labels": self.codes[:, batch], "progress": epochs}
        if self.state is not None:
            self.state.observe(batch, {"logits": self._logits})
            inputs.update(self.state.read(batch))
        wanted = {name: inputs[name] for name in self.method.loss.inputs if name in inputs}
        unreduced: torch.Tensor = self.method.loss.function(**wanted, **self.settings)
        return unreduced.mean(dim=(-2, -1)).sum()

    @torch.no_grad()
    def remember(self, batch: torch.Tensor, epoch: int) -> None:
        """After the step: moving average of the predictions, and whatever the state keeps."""
        scores = torch.sigmoid(self._logits)
        if epoch > 0:
            scores = EMA_MOMENTUM * self.ema[:, batch] + (1.0 - EMA_MOMENTUM) * scores
        self.ema[:, batch] = scores.to(torch.float16)
        if self.state is not None:
            self.state.write(batch, {"logits": self._logits})

    @torch.no_grad()
    def end_epoch(self, epoch: int, judged: NDArray[np.float64] | None) -> None:
        """Keep the heads that are the best so far by validation mAP, all of them without one."""
        if self.state is not None:
            self.state.end_epoch(epoch)
        for place in range(len(self.members)):
            if judged is not None:
                self.history[place].append(float(judged[place]))
                if judged[place] <= self._best[place]:
                    continue
                self._best[place] = float(judged[place])
            self.epoch[place] = epoch
            if judged is not None:
                self._kept[place] = tuple(t.clone() for t in self._head(place))  # type: ignore[assignment]

    def _head(self, place: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        classes = self.codes.shape[2]
        columns = slice(place * classes, (place + 1) * classes)
        return self.weight[:, columns], self.bias[columns], self.ema[place]

    @torch.no_grad()
    def selected(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float16]]:
        """Weight [D, L], bias [L] and EMA scores [n, L] of one head at its selected epoch."""
        weight, bias, ema = (t.cpu().numpy().copy() for t in self._kept.get(place) or self._head(place))
        return weight, bias, ema


def make_groups(
    members: list[int],
    runs: Sequence[HeadRun],
    methods: Sequence[Method],
    codes: Sequence[NDArray[np.int8]],
    dimension: int,
    expected_positives: float,
    device: torch.device,
) -> list[HeadGroup]:
    """Runs that one call of one loss can serve, together: same loss and optimiser settings; float settings may vary."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for member in members:
        run, method = runs[member], methods[member]
        fixed = tuple((k, v) for k, v in method.settings.items() if not isinstance(v, float))
        state = tuple(method.state_settings.items())
        key = (method.name, fixed, state, run.learning_rate, run.weight_decay)
        alike.setdefault(key, []).append(member)
    return [HeadGroup(group, runs, methods, codes, dimension, expected_positives, device) for group in alike.values()]


def _stacked(settings: list[dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """One setting per name: plain where all heads agree, a tensor [H, 1, 1] where floats differ."""
    stacked: dict[str, Any] = {}
    for name, first in settings[0].items():
        values = [s[name] for s in settings]
        alike = all(v == first for v in values)
        stacked[name] = first if alike else torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
    return stacked


def _initial(
    seeds: list[int], dimension: int, classes: int, expected_positives: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Small random weights [D, H*L], each head's from its own seed, and biases [H*L] that predict k positives.

    From a bias of zero the first epochs would go into teaching every class that it is rare.
    """
    weights = [
        torch.randn((dimension, classes), generator=torch.Generator().manual_seed(seed)) * (0.01 / dimension**0.5)
        for seed in seeds
    ]
    share = min(max(expected_positives / classes, 1e-4), 0.5)
    return torch.cat(weights, dim=1), torch.full((len(seeds) * classes,), math.log(share / (1.0 - share)))
