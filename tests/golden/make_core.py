"""Writes losses_core.json, the compact copy of the reference values that our losses cover.

python tests/golden/make_core.py FILE    # FILE: the whole file of reference values
"""

import json
import sys
from pathlib import Path

from golden_file import COMPACT, VIEWS
from golden_methods import adapter_of

LABELS = ("obs_spl", "obs_ppl", "obs_pal")
ABOUT = (
    "Reference values of the losses that this package has: inputs and results, numbers only. Each entry names the "
    "repository and commit whose released code computed it on these inputs (source: authors-code), or says that it is "
    "an evaluation of a paper's printed equations."
)


def main(source: Path) -> None:
    whole = json.loads(source.read_text())
    entries = [entry for entry in whole["entries"] if adapter_of(entry) is not None]
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
