"""What the families share: cell terms in exact log-sigmoid form, finite at logits of 1e4, and one batch-level term.

Speed: comparing and choosing costs several times as much as arithmetic, so masks are numbers 0 and 1 and choosing is
multiplying; and a term without parameters of its own brings its gradient along (`with_slope`), in fewer passes over
the cells than automatic differentiation needs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from spml_annotate.labels import NEGATIVE
from spml_annotate.losses.ranges import Setting

# The codes are 1, 0 and -1, so one end of them cut off is a mask, and that in their own narrow type.


def is_positive(labels: Tensor, logits: Tensor) -> Tensor:
    """1 where a positive is known, else 0, as numbers of the logits' dtype and shape [*H, B, L]."""
    return labels.clamp(min=NEGATIVE).to(logits.dtype).expand_as(logits)


def is_unknown(labels: Tensor, logits: Tensor) -> Tensor:
    """1 where nothing is known, else 0, as numbers of the logits' dtype and shape [*H, B, L]."""
    return labels.clamp(max=NEGATIVE).neg().to(logits.dtype).expand_as(logits)


def is_known(labels: Tensor, logits: Tensor) -> Tensor:
    """1 where a value is known, else 0, as numbers of the logits' dtype and shape [*H, B, L]."""
    return labels.clamp(max=NEGATIVE).add(1).to(logits.dtype).expand_as(logits)


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weight (1 if not given) of every cell times its cross-entropy against a target in [0, 1].

    The cross-entropy is -t log p - (1-t) log(1-p). Neither target nor weight should need a gradient.
    """
    return binary_cross_entropy_with_logits(logits, target.expand_as(logits), weight, reduction="none")


def surprise(against: Tensor) -> Tensor:
    """-log q of a probability q given by the logit ``against`` it: -log p from -x, -log(1-p) from x."""
    return softplus(against, threshold=40.0)  # from there on nothing is added to the logit, in double precision too


def expected_count_penalty(probabilities: Tensor, expected_positives: Setting) -> Tensor:
    """R_k(p) = ((mean over the batch of the sum over classes of p - k) / L)^2, [*H, 1, 1].

    One number per run; added to every cell it is spread evenly, so the mean over the cells contains it once.
    """
    count = probabilities.sum(dim=-1, keepdim=True).mean(dim=-2, keepdim=True)
    return torch.square((count - expected_positives) / probabilities.shape[-1])


# The usual exponents, many times as fast as a general power.
_WHOLE: dict[float, Callable[[Tensor], Tensor]] = {
    1.0: lambda base: base,
    2.0: lambda base: base * base,
    3.0: lambda base: base * base * base,
    4.0: lambda base: (base * base).square(),
}


def power(base: Tensor, exponent: Setting) -> Tensor:
    """Raise to a power a base of 0 or more; 0 to the 0 is 1, and below an exponent of 1 the base is kept above 0."""
    if not isinstance(exponent, Tensor):
        if exponent == 0.0:
            return torch.ones_like(base)
        if exponent in _WHOLE:
            return _WHOLE[exponent](base)
        if exponent >= 1.0:
            return base.pow(exponent)
    return base.clamp(min=torch.finfo(base.dtype).tiny).pow(exponent)


def with_slope(logits: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """The value [*H, B, L] as a function of the logits whose derivative, cell by cell, is the slope.

    Value and slope are computed from ``logits.detach()``, so that nothing is recorded on the way. Settings and beliefs
    that need a gradient get theirs through the value, and through the slope none: the first derivative is whole, a
    second one (Hessian, gradient penalty) lacks the curvature of what is given here, and nothing says so.
    """
    return torch.addcmul(value, slope, logits - logits.detach())  # what is added is 0, and has a gradient
