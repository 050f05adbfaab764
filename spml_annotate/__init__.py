"""Single-positive multi-label annotation, from one positive per image to cost curves and a labelled data set.

Public names are loaded on first use, so that ``import spml_annotate`` stays light (no torch, no faiss, no pandas).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spml_annotate.version import __version__ as __version__

_PUBLIC = {
    "DataError": "errors",
    "Evidence": "propose",
    "LOSSES": "losses",
    "LabelMatrix": "labels",
    "MemoryLog": "labels",
    "MismatchError": "errors",
    "MissingExtraError": "errors",
    "NEGATIVE": "labels",
    "Observation": "labels",
    "POSITIVE": "labels",
    "Project": "project",
    "Query": "acquire",
    "RemoteError": "errors",
    "SettingError": "errors",
    "SpmlError": "errors",
    "Taxonomy": "taxonomy",
    "UNKNOWN": "labels",
    "fit_heads": "training",
}

__all__ = sorted([*_PUBLIC, "__version__"])

if TYPE_CHECKING:
    from spml_annotate.acquire import Query as Query
    from spml_annotate.errors import DataError as DataError
    from spml_annotate.errors import MismatchError as MismatchError
    from spml_annotate.errors import MissingExtraError as MissingExtraError
    from spml_annotate.errors import RemoteError as RemoteError
    from spml_annotate.errors import SettingError as SettingError
    from spml_annotate.errors import SpmlError as SpmlError
    from spml_annotate.labels import NEGATIVE as NEGATIVE
    from spml_annotate.labels import POSITIVE as POSITIVE
    from spml_annotate.labels import UNKNOWN as UNKNOWN
    from spml_annotate.labels import LabelMatrix as LabelMatrix
    from spml_annotate.labels import MemoryLog as MemoryLog
    from spml_annotate.labels import Observation as Observation
    from spml_annotate.losses import LOSSES as LOSSES
    from spml_annotate.project import Project as Project
    from spml_annotate.propose import Evidence as Evidence
    from spml_annotate.taxonomy import Taxonomy as Taxonomy
    from spml_annotate.training import fit_heads as fit_heads


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the type of a public name is whatever it is; see TYPE_CHECKING)
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
