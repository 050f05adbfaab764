"""Training on stored features (many linear heads at once), and the metrics that judge it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spml_annotate.training.frozen import fit_heads as fit_heads
    from spml_annotate.training.heads import HeadRun as HeadRun
    from spml_annotate.training.heads import HeadsResult as HeadsResult
    from spml_annotate.training.heads import LinearHead as LinearHead
    from spml_annotate.training.remembering import RememberingLoss as RememberingLoss

_PUBLIC = {
    "HeadRun": "heads",
    "HeadsResult": "heads",
    "LinearHead": "heads",
    "RememberingLoss": "remembering",
    "fit_heads": "frozen",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the type of a public name is whatever it is; see TYPE_CHECKING)
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
