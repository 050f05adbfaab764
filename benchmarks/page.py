"""The page of benchmarks, docs/benchmarks.md: each table stands between two marks and is replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from spml_annotate.stores.atomic import write_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def machine(device: torch.device) -> str:
    """One sentence that says where figures were measured, for a process limited to its present threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    threads = torch.get_num_threads()
    used = f"{threads} thread{'s' if threads != 1 else ''}"
    return f"Measured on: {name}, {os.cpu_count()} cores of which {used} used, torch {torch.__version__.split('+')[0]}."


def replace_table(script: str, text: str, page: Path = PAGE) -> None:
    """Put the text between the marks of a script.

    Raises:
        ValueError: if the page lacks the marks.
    """
    begin, end = f"<!-- made by {script} -->", f"<!-- end of {script} -->"
    before, _, rest = page.read_text("utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} lacks the marks {begin} and {end}")
    write_text(page, f"{before}{begin}\n{text.strip()}\n{end}{after}")
