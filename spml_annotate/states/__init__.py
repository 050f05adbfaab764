"""What a training method remembers between epochs about every image and class: beliefs, never facts.

A state is built for H heads that train together on n images: ``STATES[name].function(labels, seeds=..., **settings)``
with labels int8 [H, n, L] and one seed per head; a state whose signature has ``features`` is given those of the images,
[n, D], too. A loss names its state when it is registered (``state="ema"``).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from spml_annotate.registry import Registry
from spml_annotate.states.protocol import LabelState

__all__ = ["STATES", "LabelState"]

_MODULES = (
    "ema",
    "learned",
    "corrected",
    "last",
    "selected",
    "drawn",
    "class_priors",
    "thresholds",
    "enhanced",
)


def _load() -> None:
    modules = [f"{__name__}.{module}" for module in _MODULES]
    for module in modules:
        import_module(module)
    STATES.arrange(modules)


STATES: Registry[Callable[..., LabelState]] = Registry(
    "state", inputs=frozenset({"labels", "seeds", "features"}), load=_load
)
