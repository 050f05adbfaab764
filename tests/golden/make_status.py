"""Writes spml_annotate/losses/golden.csv: with how many reference values each loss was compared, and how it came out.

python tests/golden/make_status.py FILE    # FILE: the whole file of reference values
"""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from golden_compare import DIFFERED, MATCHED, NOT_COVERED, REFUSED, judge
from golden_file import Golden, load_golden

from spml_annotate.losses import LOSSES
from spml_annotate.registry import Registry
from spml_annotate.states import STATES

COLUMNS = (MATCHED, "formula", "refused")


@contextmanager
def watching() -> Iterator[dict[int, set[str]]]:
    """Names that are looked up in the registries of losses and states meanwhile, by the id of the registry."""
    seen: dict[int, set[str]] = {id(LOSSES): set(), id(STATES): set()}
    look_up = Registry.__getitem__

    def noting(registry: Any, name: str) -> Any:
        seen.get(id(registry), set()).add(name)
        return look_up(registry, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "__getitem__", noting)
        yield seen


def exercised(seen: dict[int, set[str]]) -> set[str]:
    """The losses that an entry was computed with; if it took a state alone, the losses of that state."""
    if seen[id(LOSSES)]:
        return seen[id(LOSSES)]
    return {name for name in LOSSES if LOSSES[name].facts["state"] in seen[id(STATES)]}


def status(golden: Golden) -> dict[str, Counter[str]]:
    """Loss -> how many entries came out how, by name.

    Raises:
        AssertionError: if an entry differs.
    """
    found = {name: Counter() for name in LOSSES}
    for entry in golden.entries:
        with watching() as seen:
            verdict = judge(entry, golden)
        if verdict.status == NOT_COVERED:
            continue
        assert verdict.status != DIFFERED, f"{entry['id']}: {verdict.problems}"
        column = "refused" if verdict.status == REFUSED else MATCHED
        if entry["source"] != "authors-code":
            column = "formula"
        for name in exercised(seen):
            found[name][column] += 1
    return {name: found[name] for name in sorted(found) if found[name]}


def as_csv(found: dict[str, Counter[str]]) -> str:
    """The text of the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["loss", *COLUMNS])
    writer.writerows([name, *(counts[column] for column in COLUMNS)] for name, counts in found.items())
    return text.getvalue()


if __name__ == "__main__":
    target = Path(__file__).resolve().parents[2] / "spml_annotate" / "losses" / "golden.csv"
    target.write_text(as_csv(status(load_golden(Path(sys.argv[1])))), "utf-8")
