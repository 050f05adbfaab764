"""The folder of a labelling project: where everything lies, and who may write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.folding_columns import FoldedColumns, fold_columns
from spml_annotate.stores.atomic import cannot_write
from spml_annotate.stores.database import connect
from spml_annotate.stores.events import SqliteLog
from spml_annotate.stores.features import FeatureStore
from spml_annotate.stores.images import ImageList
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace.lock import WriterLock
from spml_annotate.workspace.models import ModelStore
from spml_annotate.workspace.questions import QuestionTable
from spml_annotate.workspace.settings import FeatureSettings, Settings, load_settings, save_settings

SETTINGS, DATABASE, LOCK, CURRENT = "spml.toml", "labels.sqlite", "lock", "current"


class Workspace:
    """An open project folder; made by `create` or `open`.

    ``images`` are rows, ``settings.taxonomy`` columns, ``log`` the answers, ``questions`` what was asked, ``features``
    and ``models`` what was computed. Only holders of `writing` change anything but the log, which takes several
    writers.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.settings = settings
        self._database = root / DATABASE
        self._connection = connect(self._database)
        self.images = ImageList(self._connection)
        self.questions = QuestionTable(self._connection, self._database)
        self.log = SqliteLog(self._database)
        self.features = FeatureStore(root / "features")
        self.models = ModelStore(root / "models", root / CURRENT)
        self._lock = WriterLock(root / LOCK)
        self._folded: tuple[tuple[int, int, int], FoldedColumns] | None = None

    @classmethod
    def create(cls, root: str | Path, taxonomy: Taxonomy, *, name: str = "") -> Workspace:
        """Make a project in a folder, which is made if it is missing.

        Raises:
            SettingError: if a project is there already. DataError: if the folder cannot be written.
        """
        root = Path(root)
        if (root / SETTINGS).exists():
            raise SettingError(f"{root} holds a project already; choose another folder, or use the one that is there")
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(root, error) from None
        settings = Settings(name or root.resolve().name, taxonomy, (len(taxonomy),))
        workspace = cls(root, settings)
        save_settings(root / SETTINGS, settings)  # last: a folder without it is no project yet
        return workspace

    @classmethod
    def open(cls, root: str | Path) -> Workspace:
        """Open a project.

        Raises:
            DataError: if the folder is no project or lacks a file. MismatchError: if a newer version wrote it.
        """
        root = Path(root)
        if not (root / SETTINGS).is_file():
            raise DataError(
                f"{root.resolve()} is not a project (it has no {SETTINGS}); give --project DIR, or make one with "
                "`spml-annotate init DIR --classes FILE`"
            )
        settings = load_settings(root / SETTINGS)
        if not (root / DATABASE).is_file():
            raise DataError(f"{root / DATABASE} is missing: it holds every answer; restore it from a copy")
        return cls(root, settings)

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self.settings.taxonomy

    @property
    def shape(self) -> tuple[int, int]:
        """(N, L): images and classes."""
        return len(self.images), len(self.taxonomy)

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Be the only one who writes while the block runs; ``what`` is the name of the verb, told to others.

        Raises:
            MismatchError: naming the process that is writing.
        """
        with self._held(what):
            self.settings = load_settings(self.root / SETTINGS)  # another process may have changed it since
            yield

    def _held(self, what: str) -> AbstractContextManager[None]:
        return self._lock.hold(what)

    def update(self, **changes: Any) -> None:  # noqa: ANN401  (fields of Settings)
        """Change settings on disk and here; for holders of `writing`."""
        settings = replace(self.settings, **changes)
        save_settings(self.root / SETTINGS, settings)
        self.settings = settings

    def change_taxonomy(self, taxonomy: Taxonomy) -> None:
        """Use other classes: renamed ones, more aliases, or further ones at the end; for holders of `writing`."""
        count = len(self.taxonomy)
        taxonomy.check_prefix(self.taxonomy.fingerprint(), count, "this project")
        settings = self.settings.with_taxonomy(taxonomy)
        save_settings(self.root / SETTINGS, settings)
        self.settings = settings

    def folded(self) -> FoldedColumns:
        """What is known, [N, L], and the words it is made of; computed anew when something was added."""
        state = (len(self.log), *self.shape)
        if self._folded is None or self._folded[0] != state:
            self._folded = state, fold_columns(self.log.columns(), self.shape, self.settings.policy)
        return self._folded[1]

    def image_path(self, row: int) -> Path:
        """File of an image; paths inside the project are kept relative, so that the folder can be moved."""
        return self.root / self.images.paths()[row]

    def image_paths(self) -> list[Path]:
        """Files of all images."""
        return [self.root / path for path in self.images.paths()]

    def stored_path(self, path: Path) -> str:
        """How the path of an image is kept; see `image_path`."""
        whole, root = Path(os.path.abspath(path)), Path(os.path.abspath(self.root))
        return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)

    def require_images(self) -> None:
        """Raise DataError if there are none."""
        if not len(self.images):
            raise DataError("the project has no images yet; run `spml-annotate images add FOLDER`")

    @property
    def feature_settings(self) -> FeatureSettings:
        """The features in use.

        Raises:
            DataError: before the first embedding.
        """
        if self.settings.features is None:
            self.require_images()
            raise DataError("the images are not embedded yet; run `spml-annotate embed`")
        return self.settings.features

    def read_features(self) -> np.memmap[Any, np.dtype[Any]]:
        """Features float16 [n, D] of the first n images, read-only; later images are not embedded yet."""
        key = self.feature_settings.key
        return self.features.read(key, self.images.fingerprint, backbone=key)

    def embedded(self) -> int:
        """How many images, from the first on, have features."""
        if self.settings.features is None:
            return 0
        key = self.settings.features.key
        return self.features.tables.info(key).shape[0] if key in self.features.names() else 0

    def check_fits(self, images: str, count: int, what: str) -> None:
        """Raise MismatchError unless ``what`` was made for the first ``count`` images of this project."""
        if count > len(self.images) or self.images.fingerprint(count) != images:
            raise MismatchError(f"{what} was made for other images than this project has; make it again")

    def close(self) -> None:
        """Let go of the files."""
        self.log.close()
        self._connection.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
