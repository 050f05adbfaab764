"""Writes losses_core.json, the compact copy of the reference values that our losses cover: not all, but of each method.

python tests/golden/make_core.py FILE    # FILE: the whole file of reference values
"""

import json
import sys
from pathlib import Path
from typing import Any

from golden_file import COMPACT, VIEWS, Golden, load_golden
from golden_methods import adapter_of

LABELS = ("obs_spl", "obs_ppl", "obs_pal")
ABOUT = (
    "Reference values of the losses that this package has: inputs and results, numbers only. Each entry names the "
    "repository and commit whose released code computed it on these inputs (source: authors-code), or says that it is "
    "an evaluation of a paper's printed equations."
)
SHORT = 4000  # characters of an entry that any set may keep


def kept(golden: Golden) -> list[dict[str, Any]]:
    """Of the entries that our losses cover, those that the copy keeps.

    Of small sets all; of large ones those that are short; of those between them also the first of every method and
    kind of labels.
    """
    seen: set[tuple[str, str, str]] = set()
    chosen = []
    for entry in golden.entries:
        inputs, key = golden.input_sets[entry["input_set"]], (entry["input_set"], entry["method"], entry["labels"])
        cells = inputs["N"] * inputs["L"]
        if adapter_of(entry) is None:
            continue
        if cells <= 100 or len(json.dumps(entry)) <= SHORT or (cells <= 1000 and key not in seen):
            seen.add(key)
            chosen.append(entry)
    return chosen


def main(source: Path) -> None:
    whole = json.loads(source.read_text())
    entries = kept(load_golden(source))
    used = {entry["input_set"] for entry in entries}
    sets = {
        name: {field: values[field] for field in (*VIEWS, *LABELS) if field in values}
        for name, values in whole["input_sets"].items()
        if name in used
    }
    content = {"header": {**whole["header"], "about": ABOUT}, "input_sets": sets, "entries": entries}
    COMPACT.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
