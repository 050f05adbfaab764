"""What it is worth to ask about a cell: one function per strategy, (evidence, rows, belief) → worth [R, L]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire.kinds import KINDS, Kind
from spml_annotate.acquire.noise import uniform
from spml_annotate.errors import SettingError
from spml_annotate.labels import POSITIVE
from spml_annotate.propose import PROPOSERS, Evidence
from spml_annotate.registry import Registry

Floats = NDArray[np.floating]
Rows = NDArray[np.int64]

VALUES: Registry[Callable[..., Floats]] = Registry("strategy", inputs=frozenset({"evidence", "rows", "belief"}))


@dataclass(frozen=True)
class Strategy:
    """A value with the kind of question that it asks by; written ``name`` or ``name:kind``.

    ``per_second`` says that an image's worth is divided by its expected seconds (random ones must not be).
    """

    spelling: str
    value: str
    kind_name: str
    kind: Kind
    proposer: str
    per_second: bool


def strategy(spelling: str, settings: dict[str, dict[str, Any]] | None = None) -> Strategy:
    """Look up ``name`` or ``name:kind``; ``settings`` maps a kind's name to its settings.

    Raises:
        SettingError: for an unknown strategy or kind, or a kind that this strategy cannot ask by.
    """
    name, _, wanted = spelling.partition(":")
    entry = VALUES[name]
    kind_name = wanted or entry.facts["kind"]
    kind = KINDS[kind_name]
    if kind_name == "pick":
        raise SettingError(f"{spelling!r}: pick gives the first label of an image; strategies ask for further ones")
    if name == "random-images" and kind_name not in ("exhaust", "list"):
        raise SettingError(f"{spelling!r}: random-images completes images; use exhaust or list")
    built = kind.function(**kind.checked((settings or {}).get(kind_name, {})))
    return Strategy(spelling, name, kind_name, built, entry.facts["proposer"], entry.facts["per_second"])


@VALUES.register("random-images", kind="exhaust", proposer="ema", per_second=False, needs_model=False)
def random_images(evidence: Evidence, rows: Rows, belief: Floats) -> Floats:
    """Whole random images, fully checked: the baseline that every curve shows, from hour zero."""
    return np.broadcast_to(uniform(evidence.seed, rows, 1), belief.shape)


@VALUES.register("random-pairs", kind="verify", proposer="ema", per_second=False, needs_model=False)
def random_pairs(evidence: Evidence, rows: Rows, belief: Floats) -> Floats:
    """Random unknown (image, class) pairs."""
    return uniform(evidence.seed, rows, evidence.shape[1])


@VALUES.register("uncertain-per-label", kind="verify", proposer="ema", per_second=False)
def uncertain_per_label(
    evidence: Evidence, rows: Rows, belief: Floats, *, rare: int = 20, rare_weight: float = 2.0
) -> Floats:
    """The most uncertain pairs of every class in equal number; more of classes with few known positives.

    Uncertainty is compared within a class only: taking the globally most uncertain pairs spends everything on a few
    frequent classes and ends below random. A cell's worth falls with its rank within its class; ranks of classes with
    fewer than ``rare`` known positives count as 1/``rare_weight``, so that they get that much more.
    """
    ranks = _ranks(evidence, "uncertainty", lambda: -np.abs(evidence.scores.astype(np.float32) - 0.5))[rows]
    weight = np.where(evidence.labels.count(POSITIVE) < rare, rare_weight, 1.0)
    return np.asarray(1.0 / (1.0 + ranks / weight))


@VALUES.register("expected-positives", kind="page", proposer="combined", per_second=True)
def expected_positives(evidence: Evidence, rows: Rows, belief: Floats) -> Floats:
    """Where unseen positives are expected: finds most positives per second; worth is the belief itself."""
    return belief


@VALUES.register("disagreement", kind="page", proposer="combined", per_second=True)
def disagreement(evidence: Evidence, rows: Rows, belief: Floats) -> Floats:
    """Where the trained scores and the prototypes of the features disagree most."""
    scores = PROPOSERS["ema"].function(evidence, rows)
    prototypes = PROPOSERS["prototypes"].function(evidence, rows)
    return np.asarray(np.abs(scores - prototypes))


def _ranks(evidence: Evidence, name: str, measure: Callable[[], Floats]) -> NDArray[np.int32]:
    """Rank (0 = largest) of every unknown cell within its class, made once per evidence: blocks share it."""

    def rank() -> NDArray[np.int32]:
        measured = np.where(evidence.unknown, measure(), -np.inf)
        noise = uniform(evidence.seed, np.arange(len(measured)), measured.shape[1])
        order = np.lexsort((noise, -measured), axis=0)
        ranks = np.empty(measured.shape, dtype=np.int32)
        places = np.broadcast_to(np.arange(len(measured), dtype=np.int32)[:, None], measured.shape)
        np.put_along_axis(ranks, order, places, axis=0)
        return ranks

    return evidence.keep(("ranks", name), rank)
