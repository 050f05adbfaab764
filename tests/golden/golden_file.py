"""Reads a file of reference values, and turns the papers' label codes into ours."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN

COMPACT = Path(__file__).with_name("losses_core.json")
VIEWS = (
    "logits",
    "logits_2",
    "logits_3",
    "logits_4",
    "logits_strong",
    "logits_masked",
    "logits_other",
    "label_estimator_logits",
    "truth",
    "pseudo",
)


@dataclass(frozen=True)
class Golden:
    """Input sets by name, and entries in the order of the file."""

    path: Path
    input_sets: dict[str, dict[str, Any]]
    entries: list[dict[str, Any]]


def default_file(checkout: Path) -> Path:
    """The whole file beside the checkout if it is there, else the compact copy."""
    beside = checkout.parent / "shared" / "golden" / "losses.json"
    return beside if beside.exists() else COMPACT


def load_golden(path: Path) -> Golden:
    content = json.loads(path.read_text())
    return Golden(path, content["input_sets"], content["entries"])


def table(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def recode(papers: Any) -> torch.Tensor:
    """The papers' codes (1 positive, 0 unknown, -1 negative) as ours, int8."""
    given = torch.as_tensor(papers).round().to(torch.int64)
    if not torch.isin(given, torch.tensor([-1, 0, 1])).all():
        raise ValueError("a label is none of 1, 0, -1")
    ours = torch.full(given.shape, UNKNOWN, dtype=torch.int8)
    ours[given == 1] = POSITIVE
    ours[given == -1] = NEGATIVE
    return ours


def observed(entry: dict[str, Any], inputs: dict[str, Any]) -> torch.Tensor:
    """Our codes of the labels that the entry names; ``full`` is the truth, in which 0 means negative."""
    if entry["labels"] == "full":
        return torch.where(table(inputs["truth"]) == 1, POSITIVE, NEGATIVE).to(torch.int8)
    return recode(inputs[f"obs_{entry['labels']}"])


def with_true_negatives(labels: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """The labels, with every negative of the truth known (what an oracle method is given)."""
    return torch.where(table(inputs["truth"]) == 1, labels, NEGATIVE).to(torch.int8)
