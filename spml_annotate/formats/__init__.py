"""File formats: one module each, with `load_x` and, where the format can hold it, `save_x`.

Foreign codes are converted here and nowhere else; everything that leaves a reader is in the codes of `labels`.

A loader is ``load_x(path, *, classes=None, root=None, name=None)`` and gives a `Dataset`, or a `LabelTable` where the
format knows who said what. A saver is ``save_x(path, table, *, pictures=None)`` with settings of its own after that;
``pictures`` maps image ids to files, for formats that hold sizes or bytes of images. Facts of a registration:

- ``loads``: "dataset", "table", or "" if the function registered is the saver of a format that is only written;
- ``saves``: the saver of a `LabelTable`, or None;
- ``suffixes``: endings of the files, lower case, with the dot; ``is_folder``: whether the format is a folder;
- ``can``: what it holds, out of `CAPABILITIES`;
- ``measures``: whether the saver opens the pictures for their size although it does not hold them; may be left out;
- ``names``: whether it keeps the first names, other names and prompts of the classes; may be left out;
- ``notes``: one sentence on how negatives and unknown cells are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from spml_annotate.registry import Registry

CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "several": "several labels per image",
        "negatives": "explicit negatives",
        "unknown": "unknown told from negative",
        "splits": "the split of an image",
        "scores": "the probability of a label",
        "provenance": "source, annotator, time, and whether a proposal was shown",
        "pictures": "the pictures, or paths to them in the same folder",
    }
)
"""What a format may hold, in words."""

_MODULES = (
    "coco",
    "voc",
    "spml_npy",
    "csv_table",
    "features_npz",
    "folder",
    "open_images",
    "parquet",
    "huggingface",
    "huggingface_parquet",
    "webdataset",
    "label_studio",
    "datumaro",
    "fiftyone",
)


def _load() -> None:
    for module in _MODULES:
        import_module(f"{__name__}.{module}")


FORMATS: Registry[Callable[..., Any]] = Registry("format", load=_load)
"""Name → loader, or the saver of a format that is only written. The facts are listed above."""
