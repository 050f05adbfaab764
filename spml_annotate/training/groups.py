"""Heads of one loss that train together: neighbours in the weight matrix, one call of the loss for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spml_annotate.states.memory import Kept
from spml_annotate.states.neighbours import ImageFeatures
from spml_annotate.training.heads import HeadRun, LinearHead, first_share
from spml_annotate.training.inputs import Method
from spml_annotate.training.matrix import HeadMatrix


class HeadGroup:
    """H heads of one loss on n images, in columns ``first`` to ``first`` + H*L of the weight matrix.

    Args:
        members: indices of the runs. codes: label tables int8 [n, L] of all runs. images: features of the n images.
        priors: class priors [L], for a loss that asks for them and has no state that fills them.
    """

    def __init__(
        self,
        members: list[int],
        runs: Sequence[HeadRun],
        methods: Sequence[Method],
        codes: Mapping[int, NDArray[np.int8]],
        images: ImageFeatures,
        first: int,
        priors: torch.Tensor | None,
        device: torch.device,
    ) -> None:
        self.members = members
        self.method = methods[members[0]]
        self.run = runs[members[0]]
        self.codes = torch.from_numpy(np.stack([codes[m] for m in members])).to(device)  # [H, n, L]
        heads, _, classes = self.codes.shape
        self.columns = slice(first, first + heads * classes)
        self.settings = _stacked([methods[m].settings for m in members], device)
        self._given = {} if priors is None else {"priors": priors}
        self.state: Any = None
        if self.method.state is not None:
            asked: dict[str, Any] = {"seeds": [runs[m].seed for m in members]}
            if "features" in self.method.state.inputs:
                asked["features"] = images
            self.state = self.method.state.function(self.codes, **asked, **self.method.state_settings)
        self.epoch = [0] * heads
        self.history: list[list[float]] = [[] for _ in members]
        self._best = [-1.0] * heads
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._kept_states: dict[int, Kept] = {}

    @torch.no_grad()
    def begin_with(self, heads: Sequence[LinearHead], states: Sequence[Kept], matrix: HeadMatrix) -> None:
        """Begin with heads and states of an earlier training, one for every run of that training."""
        for place, member in enumerate(self.members):
            weight, bias, _ = self._head(place, matrix)
            weight.copy_(torch.from_numpy(heads[member].weight.T.copy()))
            bias.copy_(torch.from_numpy(heads[member].bias))
        if self.state is not None:
            self.state.begin_with([states[member] for member in self.members])

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """What the state learns, with its own learning rate and no decay."""
        learned = list(self.state.parameters()) if self.state is not None else []
        multiplier = float(getattr(self.state, "learning_rate_multiplier", 1.0))
        return [{"params": learned, "lr": self.run.learning_rate * multiplier, "weight_decay": 0.0}] if learned else []

    def own(self, matrix: torch.Tensor) -> torch.Tensor:
        """View [H, R, L] of this group's columns of [R, C]."""
        heads, _, classes = self.codes.shape
        return matrix[:, self.columns].view(len(matrix), heads, classes).transpose(0, 1)

    def loss(self, logits: torch.Tensor, batch: torch.Tensor, epochs: tuple[int, int]) -> torch.Tensor:
        """Sum over the heads of each head's mean loss on the batch rows; heads share nothing but the batch.

        Args:
            logits: [H, B, L]. batch: rows int64 [B]. epochs: (epoch counted from 0, epochs).
        """
        inputs: dict[str, Any] = {"logits": logits, "labels": self.codes.index_select(1, batch), "progress": epochs}
        inputs.update(self._given)
        if self.state is not None:
            self.state.observe(batch, {"logits": logits.detach()})
            inputs.update(self.state.read(batch))
        wanted = {name: inputs[name] for name in self.method.loss.inputs if name in inputs}
        unreduced: torch.Tensor = self.method.loss.function(**wanted, **self.settings)
        return unreduced.mean(dim=(-2, -1)).sum()

    @torch.no_grad()
    def remember(self, batch: torch.Tensor, logits: torch.Tensor) -> None:
        """After the step: whatever the state keeps."""
        if self.state is not None:
            self.state.write(batch, {"logits": logits.detach()})

    @torch.no_grad()
    def end_epoch(
        self, epoch: int, matrix: HeadMatrix, judged: NDArray[np.float64] | None, *, keep_states: bool = False
    ) -> None:
        """Keep the heads that are the best so far by validation mAP, all of them without one; states if asked to."""
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
                self._kept[place] = tuple(t.clone() for t in self._head(place, matrix))  # type: ignore[assignment]
                if keep_states and self.state is not None:
                    self._kept_states[place] = self.state.kept(place)

    def _head(self, place: int, matrix: HeadMatrix) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        classes = self.codes.shape[2]
        start = self.columns.start + place * classes
        columns = slice(start, start + classes)
        return matrix.weight[columns], matrix.bias[columns], matrix.ema[:, columns]

    @torch.no_grad()
    def selected(
        self, place: int, matrix: HeadMatrix
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float16]]:
        """Weight [D, L], bias [L] and EMA scores [n, L] of one head at its selected epoch."""
        weight, bias, ema = (t.cpu().numpy() for t in self._kept.get(place) or self._head(place, matrix))
        return weight.T.copy(), bias.copy(), ema.copy()

    def selected_state(self, place: int) -> Kept:
        """What the state held for one head at its selected epoch; nothing without a state."""
        if self.state is None:
            return {}
        return self._kept_states[place] if place in self._kept_states else self.state.kept(place)


def make_groups(
    members: list[int],
    runs: Sequence[HeadRun],
    methods: Sequence[Method],
    codes: Mapping[int, NDArray[np.int8]],
    images: ImageFeatures,
    expected_positives: float,
    priors: torch.Tensor | None,
    device: torch.device,
) -> tuple[list[HeadGroup], HeadMatrix]:
    """Groups of runs that one call of one loss can serve, and the weight matrix of all.

    One group are runs of the same loss and optimiser settings; float settings of the loss may vary.
    """
    alike: dict[tuple[Any, ...], list[int]] = {}
    for member in members:
        run, method = runs[member], methods[member]
        fixed = tuple((k, v) for k, v in method.settings.items() if not isinstance(v, float))
        state = tuple(method.state_settings.items())
        key = (run.learning_rate, run.weight_decay, method.name, fixed, state)
        alike.setdefault(key, []).append(member)
    rows, classes = codes[members[0]].shape
    groups: list[HeadGroup] = []
    for key in sorted(alike, key=lambda key: key[:2]):  # what the optimiser treats alike becomes neighbours
        first = groups[-1].columns.stop if groups else 0
        groups.append(HeadGroup(alike[key], runs, methods, codes, images, first, priors, device))
    seeds = [runs[member].seed for group in groups for member in group.members]
    starts = [
        first_share(methods[member].loss.facts["start"], expected_positives, classes)
        for group in groups
        for member in group.members
    ]
    weight, bias = _initial(seeds, starts, images.features.shape[1], classes)
    shares = [(group.columns, group.run.learning_rate, group.run.weight_decay) for group in groups]
    return groups, HeadMatrix(weight.to(device), bias.to(device), rows, shares)


def _stacked(settings: list[dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """One setting per name: plain where all heads agree, a tensor [H, 1, 1] where floats differ."""
    stacked: dict[str, Any] = {}
    for name, first in settings[0].items():
        values = [s[name] for s in settings]
        alike = all(v == first for v in values)
        stacked[name] = first if alike else torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
    return stacked


def _initial(seeds: list[int], shares: list[float], dimension: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Small random weights [H*L, D], each head's from its own seed, and biases [H*L] that predict its share.

    Where a method takes nearly all cells for negatives, the first epochs after a bias of zero would go into teaching
    every class that it is rare; where it does not, a bias of rare classes would never be unlearnt.
    """
    weights = [
        torch.randn((dimension, classes), generator=torch.Generator().manual_seed(seed)).t() * (0.01 / dimension**0.5)
        for seed in seeds
    ]
    biases = [torch.full((classes,), math.log(share / (1.0 - share))) for share in shares]
    return torch.cat(weights), torch.cat(biases)
