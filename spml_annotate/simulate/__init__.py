"""What would each further hour of labelling buy? Cost curves from one positive per image to everything known."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spml_annotate.simulate.plan import Plan as Plan
    from spml_annotate.simulate.runs import simulate as simulate

_PUBLIC = {"Plan": "plan", "simulate": "runs"}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the type of a public name is whatever it is; see TYPE_CHECKING)
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
