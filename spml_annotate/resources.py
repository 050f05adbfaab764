"""Finds ``templates/`` and ``backends/`` from an installed wheel and from an editable checkout alike."""

from __future__ import annotations

from pathlib import Path

from spml_annotate.errors import DataError


def resource(name: str) -> Path:
    """Path of a file or folder that ships with the package, such as ``templates/report.html``.

    A wheel carries them under ``spml_annotate/``, a checkout at its top.

    Raises:
        DataError: if it is in neither place.
    """
    package = Path(__file__).resolve().parent
    for base in (package, package.parent):
        path = base / name
        if path.exists():
            return path
    raise DataError(f"the installation lacks {name!r}; reinstall spml-annotate")
