"""Trained models of a project: one folder per version, and a text file that says which one is current."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.stores.atomic import cannot_write, publish, write_atomically, write_text
from spml_annotate.stores.scores import ScoreStore

if TYPE_CHECKING:
    from spml_annotate.training.heads import LinearHead

_VERSION = re.compile(r"\d{4,}")
_REMEDY = "run `spml-annotate train` again"
HEAD, SETTINGS, METRICS, PROPOSALS, SCORES = (
    "head.safetensors",
    "settings.json",
    "metrics.json",
    "proposals.npz",
    "scores",
)


@dataclass(frozen=True)
class ModelVersion:
    """One trained model: ``folder`` holds its weights, settings, metrics, scores and proposals."""

    folder: Path

    @property
    def name(self) -> str:
        """Number of the version, such as "0003"."""
        return self.folder.name

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What it was trained with and on."""
        return _read_json(self.folder / SETTINGS)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What was measured when it was trained."""
        return _read_json(self.folder / METRICS)

    @property
    def scores(self) -> ScoreStore:
        """Its scores, in a table called ``scores``."""
        return ScoreStore(self.folder)

    @property
    def key(self) -> str:
        """Hash of its weights; scores carry it."""
        return str(self.settings["key"])

    @property
    def classes(self) -> int:
        """Number of classes that it knows: the first so many of the project."""
        return int(self.settings["classes"])

    @property
    def proposals(self) -> Path:
        """Where its proposals lie, once made."""
        return self.folder / PROPOSALS

    def head(self) -> LinearHead:
        """Its weights.

        Raises:
            DataError: if the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        from spml_annotate.training.heads import LinearHead, Scaling

        path = self.folder / HEAD
        try:
            table = load(path.read_bytes())
            return LinearHead(table["weight"], table["bias"], Scaling(table["mean"], table["scale"]))
        except (OSError, KeyError, SafetensorError) as error:
            raise DataError(f"{path} cannot be read ({error}); {_REMEDY}") from None


class ModelStore:
    """All models below ``folder``; ``pointer`` is the file that names the current one."""

    def __init__(self, folder: Path, pointer: Path) -> None:
        self.folder, self.pointer = folder, pointer

    def versions(self) -> list[str]:
        """Names of all finished versions, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (path.name for path in self.folder.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name))
        return sorted(found, key=lambda name: (len(name), name))

    def current(self) -> ModelVersion | None:
        """The model in use; None before the first training.

        Raises:
            MismatchError: if the version that the pointer names is gone.
        """
        try:
            name = self.pointer.read_text("utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {self.pointer}: {error}; {_REMEDY}") from None
        if not _VERSION.fullmatch(name) or not (self.folder / name).is_dir():
            raise MismatchError(f"{self.pointer} names the model {name!r}, which is not in {self.folder}; {_REMEDY}")
        return ModelVersion(self.folder / name)

    def add(self, fill: Callable[[ModelVersion], None]) -> ModelVersion:
        """Make a new version and then make it current.

        ``fill`` writes all files of the version it is given. Until it has, and the folder has been renamed, the models
        before are untouched; what a killed attempt left is thrown away by the next one.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob("unfinished-*"):
                shutil.rmtree(leftover)
            versions = self.versions()
            name = f"{int(versions[-1]) + 1 if versions else 1:04d}"
            draft = self.folder / f"unfinished-{name}"
            draft.mkdir()
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        fill(ModelVersion(draft))
        publish(draft, self.folder / name)
        write_text(self.pointer, name + "\n")
        return ModelVersion(self.folder / name)


def write_model(version: ModelVersion, head: LinearHead, settings: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Write weights, settings and metrics into the folder of a version; its scores are written by who has them."""
    from safetensors.numpy import save

    weights = {"weight": head.weight, "bias": head.bias, "mean": head.scaling.mean, "scale": head.scaling.scale}
    content = save({name: _plain(array) for name, array in weights.items()})

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(version.folder / HEAD, write)
    write_text(version.folder / SETTINGS, _json(settings))
    write_text(version.folder / METRICS, _json(metrics))


def head_key(head: LinearHead) -> str:
    """Hash of a head's numbers."""
    import hashlib

    digest = hashlib.sha256()
    for array in (head.weight, head.bias, head.scaling.mean, head.scaling.scale):
        digest.update(_plain(array).tobytes())
    return digest.hexdigest()[:16]


def _plain(array: Any) -> Any:  # noqa: ANN401  (an array of any shape)
    import numpy as np

    return np.ascontiguousarray(array, dtype=np.float32)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); {_REMEDY}") from None
