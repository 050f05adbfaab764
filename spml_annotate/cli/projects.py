"""What the commands of a project share: where it is, and how text options become values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spml_annotate.errors import SettingError

if TYPE_CHECKING:
    from spml_annotate.project import Project

project_option = click.option(
    "--project",
    "folder",
    default=".",
    envvar="SPML_PROJECT",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Folder of the project. [default: the current folder]",
)
annotator_option = click.option(
    "--annotator",
    default="human",
    envvar="SPML_ANNOTATOR",
    show_default=True,
    show_envvar=True,
    help="Who answers; nobody is asked twice about what they could not tell.",
)
SPLITS = ("train", "validation", "test")
_UNITS = {"": 3600.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


def open_project(folder: Path) -> Project:
    """The project in a folder."""
    from spml_annotate.project import Project

    return Project(folder)


def parse_budget(text: str) -> float:
    """Seconds from ``1h``, ``30m``, ``600s`` or a number of hours.

    Raises:
        SettingError: for any other text.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(h|m|min|s)?\s*", text)
    if found is None:
        raise SettingError(f"--budget {text!r}: write hours, minutes or seconds, such as 1h, 30m or 600s")
    if not float(found[1]):
        raise SettingError(f"--budget {text!r}: no question fits into no time; 1h is usual")
    return float(found[1]) * _UNITS[found[2] or ""]


def parse_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers separated by commas; None stays None.

    Raises:
        SettingError: for text that is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"{option} {text!r}: give one number, or three separated by commas") from None


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """A number with its noun, which is given for one: ``1 image``, ``2 images``, ``0 classes``."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def share(value: float | None) -> str:
    """A number with three digits after the point, or a dash."""
    return "-" if value is None or value != value else f"{value:.3f}"
