"""Named data sets, and one function that finds a data set by name or by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spml_annotate.errors import DataError, SettingError
from spml_annotate.registry import Registry

if TYPE_CHECKING:
    from spml_annotate.formats.dataset import Dataset

DATASETS: Registry[Callable[..., Dataset]] = Registry("data set", inputs=frozenset({"root"}))
"""Name → loader. ``root`` before ``*`` is the folder that holds the data; ``seed`` after it drives what is drawn."""

LABEL_FILE = "labels.csv"
"""Labels of a folder of images, if they lie in it; the images are beside it or in one of `PICTURE_FOLDERS`."""
PICTURE_FOLDERS = ("pictures", "images")


@DATASETS.register("scenes", summary="pictures composed of handwritten digits in 8 colours; made in seconds")
def _scenes(*, seed: int = 0) -> Dataset:
    """Pictures of about three handwritten digits in several colours, 80 classes, complete truth and boxes."""
    from spml_annotate.datasets.scenes import load_scenes

    return load_scenes(seed=seed)


def load_dataset(spec: str | Path, *, root: str | Path | None = None, seed: int = 0) -> Dataset:
    """A data set by name or path.

    Args:
        spec: a name in `DATASETS`, or the path of a features file (``.npz``), of a CSV file, or of a folder of images
            with ``classes.txt`` or ``labels.csv`` in it. A name wins over a path of the same spelling; ``./name`` is
            always a path.
        root: the folder of the images for a CSV file or of the data for a named set.
        seed: for sets that are drawn.

    Raises:
        SettingError: if it is neither a name nor a path, or ``root`` is given where it means nothing.
        DataError, MismatchError: if the data cannot be used.
    """
    name = str(spec)
    if name in DATASETS:
        return _named(name, root, seed)
    path = Path(spec)
    if path.is_dir():
        _refuse_root(root, name)
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from spml_annotate.formats.features_npz import load_features

        _refuse_root(root, name)
        return load_features(path)
    if suffix == ".csv":
        from spml_annotate.formats.csv_table import load_csv

        return load_csv(path, root=root)
    if path.exists():
        raise DataError(f"{path}: a data set is an .npz file, a .csv file or a folder of images, not this")
    raise SettingError(
        f"there is no data set {name!r}; choose from: {', '.join(DATASETS)}; or give the path of an .npz file, "
        "a .csv file or a folder of images"
    )


def _named(name: str, root: str | Path | None, seed: int) -> Dataset:
    entry = DATASETS[name]
    given: dict[str, Any] = {"seed": seed} if "seed" in entry.settings else {}
    if "root" in entry.inputs:
        if root is None and "root" not in entry.optional:
            raise SettingError(f"data set {name!r} needs the folder that holds its files; give it as root")
        if root is not None:
            given["root"] = root
    else:
        _refuse_root(root, name)
    dataset: Dataset = entry.function(**given)
    return dataset


def _folder(path: Path) -> Dataset:
    from spml_annotate.formats.csv_table import load_csv
    from spml_annotate.formats.folder import CLASS_FILES, attach_pictures, find_classes, load_folder

    if not (path / LABEL_FILE).is_file():
        return load_folder(path)
    listed = any((path / name).is_file() for name in CLASS_FILES)
    classes = find_classes(path) if listed else None
    dataset = load_csv(path / LABEL_FILE, classes=classes, name=path.resolve().name)
    first = dataset.image_ids[0]
    places = (path, *(path / name for name in PICTURE_FOLDERS))
    return attach_pictures(dataset, next((place for place in places if (place / first).is_file()), path))


def _refuse_root(root: str | Path | None, name: str) -> None:
    if root is not None:
        raise SettingError(f"data set {name!r} is complete in itself; leave root out")
