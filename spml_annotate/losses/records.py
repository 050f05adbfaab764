"""What is on record beside the registrations: which losses were compared with what, and which methods are not here."""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass

from spml_annotate.resources import resource


@dataclass(frozen=True)
class Comparison:
    """How many reference values of other code a loss was compared with.

    ``matched``: entries computed by released code that ours reproduces. ``formula``: entries that evaluate a paper's
    printed equations, where no code was released. ``refused``: entries whose labels the released code refuses and ours
    accepts.
    """

    matched: int = 0
    formula: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Absent:
    """A published method that is not here: its name, where it is described, and why."""

    name: str
    also: tuple[str, ...]
    title: str
    authors: str
    venue: str
    year: int
    link: str
    repository: str
    reason: str
    loss: str  # the name of the loss that is all or part of it, if that is here

    @property
    def source(self) -> str:
        """Where and when it was published."""
        return source(self.venue, self.year)


def source(venue: str, year: int) -> str:
    """Venue and year, the year once; nothing for what is not known."""
    return venue if not year or str(year) in venue else f"{venue} {year}".strip()


def comparisons() -> dict[str, Comparison]:
    """Comparison of every loss that was compared, by name; written by tests/golden/make_status.py."""
    with resource("losses/golden.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["loss"]: Comparison(int(row["matched"]), int(row["formula"]), int(row["refused"]))
            for row in csv.DictReader(file)
        }


def absent_methods() -> tuple[Absent, ...]:
    """The methods of ``absent.toml``, in its order."""
    with resource("losses/absent.toml").open("rb") as file:
        entries = tomllib.load(file)["method"]
    return tuple(
        Absent(
            name=entry["name"],
            also=tuple(entry.get("also", ())),
            title=entry["title"],
            authors=entry.get("authors", ""),
            venue=entry.get("venue", ""),
            year=entry["year"],
            link=entry["link"],
            repository=entry.get("repository", ""),
            reason=entry["reason"],
            loss=entry.get("loss", ""),
        )
        for entry in entries
    )


def absent_method(name: str) -> Absent | None:
    """The absent method of this name, however it is written, or None."""
    wanted = _plain(name)
    return next((found for found in absent_methods() if wanted in {_plain(n) for n in (found.name, *found.also)}), None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
