"""Putting an export in its place: everything is written aside first, so that nothing half written ever has a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.stores.atomic import cannot_write, check_target, publish
from spml_annotate.stores.folders import check_folder, give_back_name, write_folder
from spml_annotate.stores.leftovers import being_written

CARD = "datacard.md"
SIDES = ("lost.csv", "conflicts.csv", "classes.csv", CARD)
"""Endings of the files beside an export; those that an export does not need are removed with the export before it."""
_COMPUTED = ("features", "models")
_KEPT = ("lock", "current")
_KEPT_ENDINGS = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".toml")


def beside(out: Path, ending: str) -> Path:
    """A file beside an export, which may be a folder."""
    return out.with_name(f"{out.name}.{ending}")


def check_place(out: Path, is_folder: bool, project: Path) -> None:
    """Raise DataError if an export could not take this name, or should not; asked before long work.

    Args:
        out: the file or folder.
        is_folder: which of the two it is.
        project: the folder of the project, whose own files no export replaces.
    """
    if out.name in ("", ".."):  # the present folder, one above, or a whole disk: nothing can lie beside those
        raise DataError(
            f"{out}: nothing can be written over this folder; name a file or folder in it, such as labelled"
        )
    sides = [beside(out, ending) for ending in SIDES]
    for path in (out, *sides):
        if _belongs_to(path, project):
            raise DataError(f"{path}: the project keeps its own data there; choose another name")
    if is_folder:
        check_folder(out)
    elif out.is_dir():
        raise DataError(f"{out}: this is a folder, and the export is a file; choose another name")
    else:
        check_target(out)
    for path in sides:
        if path.is_dir():
            raise DataError(f"{path}: this is a folder, and a file of this name goes with {out}; choose another name")


def _belongs_to(path: Path, project: Path) -> bool:
    """Whether a path lies where a project keeps answers, settings, features or models; exports may lie beside them."""
    place, root = path.resolve(), project.resolve()
    if not place.is_relative_to(root) or place == root:
        return False
    first, *rest = place.relative_to(root).parts
    return first in _COMPUTED or (not rest and (first in _KEPT or first.endswith(_KEPT_ENDINGS)))


def write_aside(out: Path, is_folder: bool, write: Callable[[Path], None]) -> None:
    """Write an export and the files beside it, then give all of them their names.

    What an export that was killed has left in the folder is removed; if it was killed between taking the name from the
    old export and giving it to the new one, the old one gets it back.

    Args:
        out: the file or folder.
        is_folder: which of the two it is.
        write: writes the export under the path that it is given, and further files beside that.

    Raises:
        DataError: if the place cannot be written. Whatever goes wrong, an export that was there stays as it was.
    """
    try:
        if is_folder:
            out.parent.mkdir(parents=True, exist_ok=True)
        give_back_name(out)
        with being_written(out, Path.mkdir) as aside:
            try:
                write(aside / out.name)
            except DataError as error:  # people know the name that they gave
                raise DataError(str(error).replace(str(aside / out.name), str(out))) from error
            _give_names(aside, out, is_folder)
    except OSError as error:
        raise cannot_write(out, error) from error


def _give_names(aside: Path, out: Path, is_folder: bool) -> None:
    """The export itself comes last, for what lies beside it may be needed to read it."""
    made = aside / out.name
    others = [path for path in sorted(aside.iterdir()) if path != made]
    for path in others:
        publish(path, out.with_name(path.name))
    if is_folder:
        write_folder(out, lambda new: _move(made, new))
    else:
        publish(made, out)
    for ending in SIDES:
        if beside(out, ending) not in {out.with_name(path.name) for path in others}:
            beside(out, ending).unlink(missing_ok=True)


def _move(made: Path, new: Path) -> None:
    for path in sorted(made.iterdir()):
        path.rename(new / path.name)
