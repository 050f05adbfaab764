"""File formats: one module each, with `load_x` and, where the format can hold it, `save_x`.

Foreign codes are converted here and nowhere else; everything that leaves a reader is in the codes of `labels`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from spml_annotate.registry import Registry


def _load() -> None:
    for module in ("csv_table", "features_npz", "folder", "open_images", "parquet"):
        import_module(f"{__name__}.{module}")


FORMATS: Registry[Callable[..., Any]] = Registry("format", load=_load)
"""Name → loader. Facts: ``holds`` ("dataset" or "table"), ``suffixes``, and ``save`` where there is a writer."""
