"""Compares an entry with what our code computes.

The rule: relative 1e-5. Where the authors add 1e-5 or 1e-7 inside the logarithm, and ours is exact: a loss within 2e-4
relative, a gradient within 1e-2 of the largest |gradient| of the entry. What follows from gradients keeps that scale:

- sum and l2 norm of a gradient may also be off by what the loss may be off by: a constant inside the logarithm changes
  the gradient of a cell, times the probability that it was added to, by no more than it changes the cell's loss;
- where an optimiser has moved something, the movement is within 1e-2 of the largest movement.
"""

import re
from typing import Any, NamedTuple

import torch
from golden_file import Golden
from golden_methods import adapter_of

EXACT = 1e-5
EPSILON_LOSS = 2e-4
EPSILON_GRADIENT = 1e-2  # of the largest |gradient| of the entry
_EPSILON_INSIDE = re.compile(r"log\([^)]*\+\s*1e-0?[57]\)")

MATCHED, DIFFERED, REFUSED, NOT_COVERED = "matched", "differed", "refused_by_authors", "not_covered"

# Outputs that are a view of another output, and what they show of it.
_VIEWS = {
    "grad_l2": ("grad_logits", "l2"),
    "grad_sum": ("grad_logits", "sum"),
    "grad_estimator_l2": ("grad_estimator_logits", "l2"),
    "grad_strong_l2": ("grad_strong", "l2"),
    "grad_estimator_sum": ("grad_estimator_logits", "sum"),
}


class Verdict(NamedTuple):
    """What came of an entry, and, if it differed, where."""

    status: str
    problems: list[str]


def judge(entry: dict[str, Any], golden: Golden) -> Verdict:
    """Compute an entry and compare every output that it holds."""
    adapter = adapter_of(entry)
    if adapter is None:
        return Verdict(NOT_COVERED, [])
    computed = adapter.compute(entry, golden.input_sets[entry["input_set"]])
    if "raises" in entry["outputs"]:
        infinite = [name for name, value in computed.items() if not bool(torch.isfinite(torch.as_tensor(value)).all())]
        return Verdict(DIFFERED if infinite else REFUSED, [f"{name} is not finite" for name in infinite])
    expected = dict(entry["outputs"])
    if "p_i" in entry["params"]:
        expected["p_i"] = entry["params"]["p_i"]
    epsilon = adapter.epsilon or bool(_EPSILON_INSIDE.search(entry["convention"]))
    comparison = _Comparison(epsilon, expected, computed.get("starts", {}))
    comparison.mapping("", expected, computed)
    return Verdict(DIFFERED if comparison.problems else MATCHED, comparison.problems)


def largest_gradient(outputs: Any) -> float:
    """Largest |gradient| that the outputs of an entry hold."""
    if isinstance(outputs, list):
        return max((largest_gradient(item) for item in outputs), default=0.0)
    if not isinstance(outputs, dict):
        return 0.0
    found = [0.0]
    for name, value in outputs.items():
        if name in _VIEWS:
            continue
        if name.startswith("grad"):
            arrays = list(value.values()) if isinstance(value, dict) else [value]
            found.extend(float(torch.tensor(a, dtype=torch.float64).abs().max()) for a in arrays)
        else:
            found.append(largest_gradient(value))
    return max(found)


class _Comparison:
    def __init__(self, epsilon: bool, expected: dict[str, Any], starts: dict[str, torch.Tensor]) -> None:
        self.epsilon = epsilon
        self.gradient = largest_gradient(expected)
        self.loss = abs(expected.get("loss", 0.0))
        self.starts = starts  # what an optimiser moved, as it was before
        self.problems: list[str] = []

    def mapping(self, where: str, expected: dict[str, Any], computed: dict[str, Any]) -> None:
        for name, value in expected.items():
            if value is None:  # a step of which this was not recorded
                continue
            self.output(f"{where}{name}", name, value, computed)

    def output(self, where: str, name: str, expected: Any, computed: dict[str, Any]) -> None:
        if name == "steps":
            if len(expected) != len(computed["steps"]):
                self.problems.append(f"{where}: {len(expected)} steps, ours are {len(computed['steps'])}")
            for number, (step, ours) in enumerate(zip(expected, computed["steps"], strict=False)):
                self.mapping(f"{where}[{number}].", step, ours)
            return
        base, view = _view(name)
        if base not in computed:
            self.problems.append(f"{where}: nothing of ours computes this output")
            return
        ours = torch.as_tensor(computed[base], dtype=torch.float64)
        if isinstance(expected, dict):  # some rows of a large table, perhaps with its norm
            for part, values in expected.items():
                shown = _SHOWS[part](ours) if part in _SHOWS else ours[int(part.removeprefix("row"))]
                self.values(f"{where}[{part}]", name, values, shown)
        else:
            self.values(where, name, expected, _SHOWS[view](ours))

    def values(self, where: str, name: str, expected: Any, ours: torch.Tensor) -> None:
        wanted = torch.as_tensor(expected, dtype=torch.float64)
        if wanted.shape != ours.shape:
            self.problems.append(f"{where}: shape {tuple(ours.shape)} instead of {tuple(wanted.shape)}")
            return
        difference, allowed = (ours - wanted).abs(), self.allowed(name, wanted)
        wrong = ~(difference <= allowed)  # also where something is not a number
        if wrong.any():
            worst = int(torch.where(wrong, difference / allowed.clamp(min=1e-300), -1.0).nan_to_num(torch.inf).argmax())
            self.problems.append(
                f"{where}: {float(ours.flatten()[worst]):.8g} instead of {float(wanted.flatten()[worst]):.8g} "
                f"({int(wrong.sum())} of {wrong.numel()} values differ)"
            )

    def allowed(self, name: str, wanted: torch.Tensor) -> torch.Tensor:
        if not self.epsilon:
            return EXACT * wanted.abs() + 1e-12  # what is exactly 0 there may be a rounding error here
        base, view = _view(name)
        if base in self.starts:
            movement = (wanted - _SHOWS[view](self.starts[base])).abs().max()
            return torch.full_like(wanted, EPSILON_GRADIENT * float(movement))
        if view in ("l2", "sum"):
            return torch.full_like(wanted, max(EPSILON_GRADIENT * self.gradient, EPSILON_LOSS * self.loss))
        if base.startswith("grad"):
            return torch.full_like(wanted, EPSILON_GRADIENT * self.gradient)
        if base in ("loss", "losses"):
            return EPSILON_LOSS * wanted.abs()
        return EXACT * wanted.abs() + 1e-12


_SHOWS = {
    "whole": lambda ours: ours,
    "rows0_3": lambda ours: ours[:4],
    "l2": lambda ours: ours.square().sum().sqrt(),
    "sum": lambda ours: ours.sum(),
}


def _view(name: str) -> tuple[str, str]:
    if name in _VIEWS:
        return _VIEWS[name]
    if name.endswith("_rows"):
        return name.removesuffix("_rows"), "whole"
    if name.endswith("_rows0_3"):
        return name.removesuffix("_rows0_3"), "rows0_3"
    return name, "whole"
