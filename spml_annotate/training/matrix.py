"""One weight matrix for all heads that train on the same images: one product forwards, one backwards."""

from __future__ import annotations

from typing import Any

import torch

EMA_MOMENTUM = 0.8  # as EN (Verelst et al. 2023); the scores that proposals read


class HeadMatrix:
    """The weights of C classes of all heads together, on n images; each group of heads owns a slice of the columns.

    A linear layer is simple enough to be differentiated by hand, and then the gradients of all heads are one product
    into one buffer, which saves most of what a step of a small head costs.

    Args:
        weight: float32 [C, D]. bias: float32 [C]. images: n.
        shares: (columns, learning rate, weight decay); neighbours with the same two are trained as one parameter.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        images: int,
        shares: list[tuple[slice, float, float]],
    ) -> None:
        self.weight, self.bias = weight, bias
        self.ema = torch.zeros((images, len(weight)), dtype=torch.float16, device=weight.device)
        self._weight_gradient = torch.zeros_like(weight)
        self._bias_gradient = torch.zeros_like(bias)
        self._trained: list[tuple[slice, torch.nn.Parameter, torch.nn.Parameter]] = []
        self._optimized: list[dict[str, Any]] = []
        for columns, rate, decay in _joined(shares):
            parts = torch.nn.Parameter(weight[columns]), torch.nn.Parameter(bias[columns])  # views: same memory
            self._trained.append((columns, *parts))
            self._optimized.append({"params": [parts[0]], "lr": rate, "weight_decay": decay})
            self._optimized.append({"params": [parts[1]], "lr": rate, "weight_decay": decay})

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser."""
        return self._optimized

    def finite(self) -> bool:
        """Whether all weights are still numbers."""
        return bool(torch.isfinite(self.weight).all() and torch.isfinite(self.bias).all())

    @torch.no_grad()
    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """[R, C] of scaled features [R, D]."""
        return torch.addmm(self.bias, features, self.weight.t())

    @torch.no_grad()
    def backward(self, features: torch.Tensor, gradient: torch.Tensor) -> None:
        """Give the parameters their gradients, from that of the logits [B, C] of features [B, D]."""
        torch.mm(gradient.t(), features, out=self._weight_gradient)
        torch.sum(gradient, dim=0, out=self._bias_gradient)
        for columns, weight, bias in self._trained:
            weight.grad, bias.grad = self._weight_gradient[columns], self._bias_gradient[columns]

    @torch.no_grad()
    def remember(self, rows: torch.Tensor, logits: torch.Tensor, epoch: int) -> None:
        """Move the average of the predictions on these rows towards the present ones, logits [B, C]."""
        scores = torch.sigmoid(logits)
        if epoch > 0:
            scores.lerp_(self.ema.index_select(0, rows).float(), EMA_MOMENTUM)
        self.ema.index_copy_(0, rows, scores.half())


def _joined(shares: list[tuple[slice, float, float]]) -> list[tuple[slice, float, float]]:
    joined: list[tuple[slice, float, float]] = []
    for columns, rate, decay in shares:
        if joined and joined[-1][1:] == (rate, decay):
            joined[-1] = (slice(joined[-1][0].start, columns.stop), rate, decay)
        else:
            joined.append((columns, rate, decay))
    return joined
