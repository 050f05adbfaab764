"""Suggestions: expected positives and expected negatives from scores, from prototypes, and from both.

Importing this loads neither faiss nor the proposers; the first look into `PROPOSERS` loads the proposers, the first
prototype loads faiss.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.propose.evidence import Evidence
from spml_annotate.registry import Registry

Proposer = Callable[..., NDArray[np.float32]]
"""``(evidence, rows, *, settings) -> belief`` float32 [R, L] in [0, 1] that each class is on each image."""

_MODULES = ("ema", "prototypes", "combined")


def _load() -> None:
    for module in _MODULES:
        import_module(f"{__name__}.{module}")


PROPOSERS: Registry[Proposer] = Registry("proposer", inputs=frozenset({"evidence", "rows"}), load=_load)

_PUBLIC = {
    "Prior": "priors",
    "Proposal": "proposals",
    "Proposals": "proposals",
    "Quality": "quality",
    "Thresholds": "thresholds",
    "calibrate_thresholds": "thresholds",
    "default_thresholds": "thresholds",
    "estimate_priors": "priors",
    "proposal_quality": "quality",
    "propose": "proposals",
    "propose_blocks": "proposals",
}

__all__ = [
    "PROPOSERS",
    "Evidence",
    "Prior",
    "Proposal",
    "Proposals",
    "Proposer",
    "Quality",
    "Thresholds",
    "calibrate_thresholds",
    "default_thresholds",
    "estimate_priors",
    "proposal_quality",
    "propose",
    "propose_blocks",
]

if TYPE_CHECKING:
    from spml_annotate.propose.priors import Prior as Prior
    from spml_annotate.propose.priors import estimate_priors as estimate_priors
    from spml_annotate.propose.proposals import Proposal as Proposal
    from spml_annotate.propose.proposals import Proposals as Proposals
    from spml_annotate.propose.proposals import propose as propose
    from spml_annotate.propose.proposals import propose_blocks as propose_blocks
    from spml_annotate.propose.quality import Quality as Quality
    from spml_annotate.propose.quality import proposal_quality as proposal_quality
    from spml_annotate.propose.thresholds import Thresholds as Thresholds
    from spml_annotate.propose.thresholds import calibrate_thresholds as calibrate_thresholds
    from spml_annotate.propose.thresholds import default_thresholds as default_thresholds


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the type of a public name is whatever it is; see TYPE_CHECKING)
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
