"""Run the code blocks of documentation pages and compare what they print with what the pages show.

``python scripts/run_docs.py [PAGE...]`` compares; ``--write`` puts what was printed into the pages. In a page,

- every fenced block ``sh`` or ``python`` is run, in order, in one folder per page; folder and exported variables stay;
- a fenced block ``text`` right after it is what the block prints to stdout and stderr;
- HTML comments on lines of their own steer this: ``starts with: STAGE`` (a page goes on from a copy of what the
  tutorial had made when it came to its comment ``stage: STAGE``), ``exits: CODE`` (of the next block),
  ``may differ: REASON`` (of its output only the first words of the lines are compared), and ``not run: REASON`` (the
  next block is not run; ``every block not run: REASON`` for a page).

Numbers are compared with a tolerance, for another CPU rounds otherwise; ids, dates and the folder are masked.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
TUTORIAL = DOCS / "tutorial.md"
FOLDER_SHOWN = "/home/you/labels"
"""Where the pages say that things happen."""
RUN = ("sh", "python")
OTHERS = {"results.md": "simulates three data sets with all defaults, two of which are not in the repository"}
"""Pages that are written by programs, with why their blocks are not run."""
WAIT = 300.0
"""Seconds that one block may take."""
RELATIVE, ABSOLUTE = 0.1, 0.05
"""How far a number may be from the one shown, relative to it or in all."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"^<!-- ([a-z ]+): (.+?) -->$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MASKS = (
    (re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,64}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?"), "DATE"),
    (re.compile(r"[ \t]+"), " "),
)


class DocsError(Exception):
    """A page does not do what it shows."""


@dataclass(frozen=True)
class Block:
    """A block of code: where it begins, what it must print (None: not shown), and why it is not run ("" if it is)."""

    page: Path
    line: int
    language: str
    code: str
    shown: str | None
    span: tuple[int, int]
    reason: str = ""
    exits: int = 0
    loose: bool = False
    stages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page, its blocks, and the stage of the tutorial that it starts with."""

    path: Path
    text: str
    start: str
    blocks: tuple[Block, ...]


def read_page(path: Path) -> Page:
    """The blocks of a page that are code."""
    text = path.read_text("utf-8")
    fences = list(_FENCE.finditer(text))
    whole = {match[1]: match[2] for match in _REMARK.finditer(text)}
    skip = whole.get("every block not run", OTHERS.get(path.name, ""))
    blocks = []
    for place, fence in enumerate(fences):
        if fence[1] not in RUN:
            continue
        before = text[fences[place - 1].end() if place else 0 : fence.start()]
        remarks = {match[1]: match[2] for match in _REMARK.finditer(before)}
        after = fences[place + 1] if place + 1 < len(fences) else None
        follows = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        shown = after if follows else None
        behind = text[(shown or fence).end() : _next_code(text, (shown or fence).end())]
        blocks.append(
            Block(
                path,
                text.count("\n", 0, fence.start()) + 1,
                fence[1],
                fence[2],
                shown[2] if shown else None,
                shown.span(2) if shown else (fence.end(), fence.end()),
                remarks.get("not run", skip),
                int(remarks.get("exits", "0")),
                "may differ" in remarks,
                tuple(match[2] for match in _REMARK.finditer(behind) if match[1] == "stage"),
            )
        )
    return Page(path, text, whole.get("starts with", ""), tuple(blocks))


def _next_code(text: str, start: int) -> int:
    found = _FENCE.search(text, start)
    return found.start() if found else len(text)


def all_pages() -> list[Path]:
    """The pages of the site."""
    return sorted(DOCS.rglob("*.md"))


class Runner:
    """Runs pages in folders below one that is the caller's, and keeps the stages of the tutorial there."""

    def __init__(self, root: Path) -> None:
        self.work = root.resolve() / "work"
        self._stages = root.resolve() / "stages"
        self._notes = root.resolve()
        self._variables: dict[str, str] = {}

    def run(self, page: Page) -> Iterator[tuple[Block, str]]:
        """Every block that is run, with what it printed; the stages a page names are kept as they come by."""
        if self.work.exists():
            shutil.rmtree(self.work)
        if page.start:
            if not (self._stages / page.start).exists():
                raise DocsError(f"{page.path.name}: the tutorial has no stage {page.start!r}")
            shutil.copytree(self._stages / page.start, self.work, symlinks=True)
        else:
            self.work.mkdir(parents=True)
        where, variables = self.work, self._variables.get(page.start, "")
        for block in page.blocks:
            if not block.reason:
                printed, where, variables = self._run_block(block, where, variables)
                yield block, printed
            for stage in block.stages:
                shutil.rmtree(self._stages / stage, ignore_errors=True)
                shutil.copytree(self.work, self._stages / stage, symlinks=True)
                self._variables[stage] = variables

    def _run_block(self, block: Block, where: Path, variables: str) -> tuple[str, Path, str]:
        end = self._notes / "end"
        if block.language == "python":
            command = [sys.executable, "-c", block.code]
        else:
            script = f"{variables}\ntrap 'pwd > {end}; export -p | grep \" SPML_\" >> {end} || :' EXIT\n{block.code}"
            command = ["bash", "-eo", "pipefail", "-c", script]
        done = subprocess.run(  # noqa: S603  (running what the pages say is what this is for)
            command, cwd=where, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=WAIT, check=False,
        )  # fmt: skip
        if done.returncode != block.exits:
            raise DocsError(f"{block.page.name}, line {block.line}: exits with {done.returncode}:\n{done.stdout}")
        if block.language == "sh":
            place, _, variables = end.read_text("utf-8").partition("\n")
            where = Path(place)
        return done.stdout.replace(str(self.work), FOLDER_SHOWN), where, variables


def _environment() -> dict[str, str]:
    """Ours, less what would steer the program, with this Python's commands and this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPML_", "LABEL_STUDIO_"))}
    paths = [str(CHECKOUT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(paths),
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    }


def differs(shown: str, printed: str, *, loose: bool = False) -> str:
    """The first line that is not as shown, in words; empty if all are. ``loose``: only its first word counts."""
    theirs, ours = _masked(shown), _masked(printed)
    if loose:
        theirs, ours = ([line.partition(" ")[0] for line in lines] for lines in (theirs, ours))
    for number, (expected, found) in enumerate(zip(theirs, ours, strict=False), 1):
        if not _same(expected, found):
            return f"line {number} of the output is\n  {found}\nbut shown is\n  {expected}"
    if len(theirs) != len(ours):
        return f"{len(ours)} lines are printed, but {len(theirs)} shown"
    return ""


def _masked(text: str) -> list[str]:
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return [line.strip() for line in text.strip().splitlines()]


def _same(shown: str, printed: str) -> bool:
    if _NUMBER.sub("#", shown) != _NUMBER.sub("#", printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs)


def check(page: Page, runner: Runner) -> int:
    """Run a page; the number of blocks that were run.

    Raises:
        DocsError: if a block fails or prints something else.
    """
    count = 0
    for block, printed in runner.run(page):
        fault = differs(block.shown, printed, loose=block.loose) if block.shown is not None else ""
        if fault:
            raise DocsError(f"{page.path.name}, line {block.line}: {fault}")
        count += 1
    return count


def write(page: Page, runner: Runner) -> None:
    """Run a page, and put what its blocks print where they show something."""
    text = page.text
    for block, printed in reversed(list(runner.run(page))):
        if block.shown is not None:
            start, end = block.span
            lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
            text = text[:start] + "".join(f"{line}\n" for line in lines) + text[end:]
    page.path.write_text(text, "utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Run the code blocks of documentation pages.")
    parser.add_argument("pages", nargs="*", type=Path, help="default: all")
    parser.add_argument("--write", action="store_true", help="put what is printed into the pages")
    options = parser.parse_args()
    chosen = [path.resolve() for path in options.pages] or all_pages()
    pages = [read_page(path) for path in chosen if path != TUTORIAL]
    if TUTORIAL in chosen or any(page.start for page in pages):
        pages.insert(0, read_page(TUTORIAL))
    with tempfile.TemporaryDirectory() as folder:
        runner, faults = Runner(Path(folder)), []
        for page in pages:
            try:
                (write if options.write and page.path in chosen else check)(page, runner)
            except DocsError as fault:
                faults.append(str(fault))
            left = [f"line {block.line}: {block.reason}" for block in page.blocks if block.reason]
            print(f"{page.path.relative_to(DOCS)}: {len(page.blocks) - len(left)} blocks run", *left, sep="\n  ")  # noqa: T201
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
