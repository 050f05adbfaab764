"""``doctor``: is everything here that the work needs, and does the project hang together?"""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from spml_annotate.errors import SpmlError
from spml_annotate.workspace import SETTINGS, Workspace

Level = Literal["ok", "warn", "fail"]
PACKAGES = ("torch", "torchvision", "faiss-cpu", "numpy", "pandas", "pyarrow", "scikit-learn", "pillow", "safetensors")


class Check(NamedTuple):
    """One thing that was looked at: its level, what was seen, and what to do if it is not ok."""

    name: str
    level: Level
    found: str
    remedy: str = ""


def doctor(folder: str | Path | None = None) -> list[Check]:
    """Look at this machine, and at the project in a folder if there is one."""
    checks = [_python(), *(_package(name) for name in PACKAGES), _guarded("device", _device), _threads(), _weights()]
    if folder is None:
        return checks
    root = Path(folder)
    checks.append(_guarded("folder", lambda: _writable(root)))
    if checks[-1].level == "ok":
        checks.append(_guarded("database", lambda: _write_ahead_log(root)))
    if not (root / SETTINGS).exists():
        return [*checks, Check("project", "warn", f"{root.resolve()} is no project", "spml-annotate init DIR")]
    try:
        with Workspace.open(root) as workspace:
            return [*checks, *_project(workspace)]
    except SpmlError as error:
        return [*checks, Check("project", "fail", str(error), "see the message")]


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    """A check that fails must not keep the others from being made."""
    try:
        return look()
    except SpmlError as error:
        return Check(name, "fail", str(error), "see the message")
    except (OSError, ImportError, RuntimeError, sqlite3.Error) as error:
        return Check(name, "fail", f"{type(error).__name__}: {error}", "reinstall spml-annotate, or repair the folder")


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", "ok", found)


def _package(name: str) -> Check:
    for candidate in (name, name.replace("-cpu", "")):
        try:
            return Check(name, "ok", metadata.version(candidate))
        except metadata.PackageNotFoundError:
            continue
    return Check(name, "fail", "not installed", f"pip install {name}")


def _device() -> Check:
    import torch

    from spml_annotate.device import choose_device

    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    level: Level = "ok"
    return Check("device", level, f"{device.type} {name}".strip())


def _threads() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("threads", "ok", f"{usable} CPU cores; --threads limits their use")


def _weights() -> Check:
    from spml_annotate.embed.builtin import builtin_state

    try:
        builtin_state()
    except SpmlError as error:
        return Check("weights", "fail", str(error), "reinstall spml-annotate")
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = sorted(path.name for path in folder.glob("*.pth")) if folder.is_dir() else []
    listed = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
    return Check("weights", "ok", f"builtin; downloaded before: {listed or 'none'} (others need internet or a file)")


def _writable(root: Path) -> Check:
    if not root.is_dir():
        return Check("folder", "fail", f"{root} is not a folder", "spml-annotate init DIR")
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        return Check(
            "folder", "fail", f"{root}: {error.strerror}", "allow writing to the folder, or make room on the disk"
        )
    return Check("folder", "ok", f"{root.resolve()} can be written")


def _write_ahead_log(root: Path) -> Check:
    with tempfile.TemporaryDirectory(dir=root, prefix=".doctor-") as folder:
        connection = sqlite3.connect(Path(folder) / "try.sqlite")
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        finally:
            connection.close()
    found = f"SQLite {sqlite3.sqlite_version}, journal mode {mode}"
    if mode != "wal":
        return Check("database", "fail", found, "put the project on a local disk")
    return Check("database", "ok", found)


def _project(workspace: Workspace) -> Iterator[Check]:
    images, classes = workspace.shape
    yield Check("project", "ok", f"{workspace.settings.name}: {images} images, {classes} classes")
    yield _files(workspace)
    yield _guarded("answers", lambda: _answers(workspace))
    if workspace.settings.features is not None:
        yield _guarded("features", lambda: _features(workspace))
    yield _guarded("model", lambda: _model(workspace))


def _files(workspace: Workspace) -> Check:
    faults = workspace.images.errors()
    paths = workspace.image_paths()
    missing = [path for row, path in enumerate(paths) if row not in faults and not path.is_file()]
    if missing:
        found = f"{len(missing)} of {len(paths)} files are missing, such as {missing[0]}"
        return Check("images", "fail", found, "put them back, or run `spml-annotate images move FROM TO`")
    if faults:
        first = next(iter(faults.values()))
        return Check(
            "images",
            "warn",
            f"{len(faults)} of {len(paths)} cannot be read: {first}",
            "mend them and run `spml-annotate embed`, or ignore them",
        )
    return Check("images", "ok", f"all {len(paths)} files are there")


def _answers(workspace: Workspace) -> Check:
    folded = workspace.folded()
    conflicts = len(folded.conflicts())
    found = f"{len(workspace.log)} answers, {folded.matrix.known} known cells"
    if conflicts:
        return Check("answers", "warn", f"{found}, {conflicts} disagreements", "`spml-annotate export` lists them")
    return Check("answers", "ok", found)


def _features(workspace: Workspace) -> Check:
    from spml_annotate.stores.arrayfile import verify_array

    table = workspace.read_features()
    verify_array(workspace.features.tables.path(workspace.feature_settings.key))
    missing = len(workspace.images) - len(table)
    found = f"{workspace.feature_settings.key}: {len(table)} x {table.shape[1]}"
    if missing:
        return Check("features", "warn", f"{found}; {missing} images are not embedded", "spml-annotate embed")
    return Check("features", "ok", found)


def _model(workspace: Workspace) -> Check:
    from spml_annotate.project.scoring import require_model
    from spml_annotate.workspace.models import SCORES

    if workspace.models.current() is None:
        return Check("model", "warn", "none is trained yet", "spml-annotate train")
    model = require_model(workspace)
    model.head()
    model.scores.read(SCORES, workspace.images.fingerprint, workspace.taxonomy.fingerprint, model=model.key)
    return Check("model", "ok", f"version {model.name}, {model.settings['loss']}")
