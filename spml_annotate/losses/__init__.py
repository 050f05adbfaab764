"""Losses: one function per published method, one module per family of ideas.

A loss is called ``loss(logits, labels, <inputs>, *, <settings>)`` and returns the UNREDUCED matrix [*H, B, L], whose
mean over the last two axes is the method's loss; leading axes are independent runs. ``labels`` are our codes, int8 [B,
L] or [*H, B, L]. A float setting may be a tensor [H, 1, 1]. Losses are made to be differentiated once: many bring their
gradient along (`cells.with_slope`), and a second derivative would lack their curvature. To add one, write a function in
the module of its family and register it; a new family is one more name in `_FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from spml_annotate.errors import SettingError
from spml_annotate.labels import LabelKind
from spml_annotate.registry import Entry, Registry

# The closed list of inputs, each in words.
INPUT_WORDS = {
    "logits": "scores of the model before the sigmoid",
    "labels": "known labels",
    "estimate": "estimated probability of every cell",
    "expected": "cells that are expected to be positive",
    "picked": "cells that take part in this epoch",
    "thresholds": "thresholds that follow the training",
    "priors": "how common every class is",
    "progress": "the present epoch and their number",
    "background": "other images or places at random",
    "strong": "a strongly augmented view",
    "masked": "a masked view",
    "features": "features of the image",
    "strong_features": "features of a strongly augmented view",
    "latent": "mean and deviation of a stochastic bottleneck",
    "tokens": "features of every class on the image",
    "maps": "score maps over the image",
    "text": "embeddings of the class names",
    "teacher": "a vision-language model's pseudo-labels",
    "relation": "how related classes are",
    "reconstruction": "error of what is reconstructed from estimated labels",
}
INPUTS = frozenset(INPUT_WORDS)

_FAMILIES = (
    "assume",
    "priors",
    "estimate",
    "entropy",
    "reject",
    "focus",
    "correct",
    "partial",
    "ranking",
    "vision",
    "robust",
    "presence",
    "dynamic",
    "views",
    "enhance",
)

Loss = Callable[..., Any]
G = TypeVar("G", bound=Callable[..., Any])

# What a registration may say of a loss; `paper` and `family` it must say.
_FACTS: dict[str, Any] = {
    "paper": None,  # arXiv id, DOI or venue
    "link": "",  # where to read it, if the id does not say
    "family": None,
    "title": "",
    "authors": "",
    "venue": "",
    "year": 0,
    "repository": "",  # the released code that ours was compared with
    "state": None,  # name in STATES of what fills its estimate inputs
    "oracle": False,  # needs what no annotator gives: every true negative
    "needs_negatives": False,  # needs known negatives, which single positives lack
    "start": "prior",  # predictions of a new head: "prior" (k/L, positives are rare), "low" (0.2) or "undecided" (0.5)
    "pulls_known": "",  # why a known cell may be pushed against its value
    "label_kinds": tuple(LabelKind),  # kinds of labels that it can learn from
    # What the authors use where it is known: setting (of the loss or its state) -> value, words, or {where: value}.
    "code_defaults": {},  # in their released code
    "paper_defaults": {},  # in the paper
    "differs": "",  # how ours differs from the released code
    "certainty": "",  # A: authors' code read and reproduced, B: read, C: from the text only
}


class LossRegistry(Registry[Loss]):
    """The registry of losses; a registration is completed by `_FACTS`, and a misspelt fact fails at import."""

    def register(self, name: str, **facts: Any) -> Callable[[G], G]:  # noqa: ANN401  (facts are of any type)
        """Decorator: files the loss under ``name`` and returns it untouched."""
        for fact in facts:
            if fact not in _FACTS:
                raise TypeError(f"loss {name!r}: {fact!r} is not a fact about a loss")
        if not facts.get("paper") or not facts.get("family"):
            raise TypeError(f"loss {name!r}: the registration must name its paper and family")
        return super().register(name, **{**_FACTS, **facts})

    def __getitem__(self, name: str) -> Entry[Loss]:
        """The loss of this name.

        Raises:
            SettingError: if there is none; of a published method that is not here it says why.
        """
        if name not in self:
            from spml_annotate.losses.records import absent_method

            absent = absent_method(name)
            if absent is not None:
                raise SettingError(f"there is no loss {name!r}: {absent.reason}; choose from `spml-annotate losses`")
        return super().__getitem__(name)


def _load() -> None:
    modules = [f"{__name__}.{family}" for family in _FAMILIES]
    for module in modules:
        import_module(module)
    LOSSES.arrange(modules)


LOSSES = LossRegistry("loss", inputs=INPUTS, load=_load)
