"""The documentation: the site builds without a warning, every code block does what it shows, nothing is left out."""

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import click
import pytest

from spml_annotate.cli import main

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
VERBS = DOCS / "verbs"
SKIPPED = {
    "index.md": 1,
    "label-studio.md": 4,
    "results.md": 2,
    "verbs/embed.md": 1,
    "verbs/serve.md": 1,
    "verbs/simulate.md": 1,
    "verbs/studio.md": 2,
}
"""Blocks that are not run, each with a reason in its page; a new one must be entered here."""


def _script():
    spec = importlib.util.spec_from_file_location("run_docs", CHECKOUT / "scripts" / "run_docs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_docs"] = module
    spec.loader.exec_module(module)
    return module


run_docs = _script()
PAGES = {str(path.relative_to(DOCS)): run_docs.read_page(path) for path in run_docs.all_pages()}
PACKAGES = ("acquire", "project", "propose", "simulate", "states", "training", "workspace")
"""Those that say what is public of them."""
RUN = [name for name, page in PAGES.items() if any(not block.reason for block in page.blocks)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "built"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


def test_the_site_builds_without_a_warning(site):
    assert {str(path.relative_to(site).with_suffix(".md")) for path in site.rglob("*.html")} == {*PAGES, "404.md"}


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(r"<(?:script|img|iframe)[^>]*\bsrc=\"?(?:https?:)?//|<link[^>]*\bhref=\"?(?:https?:)?//")
    for path in site.rglob("*.html"):
        assert not loaded.search(path.read_text("utf-8")), path


def test_docstrings_are_on_the_reference_page(site):
    text = (site / "api.html").read_text("utf-8")
    assert "Train every run and return its head of the best epoch" in text
    assert "spml_annotate.project.Project.import_labels" in text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A runner that has gone through the tutorial, and what was not as the tutorial shows it."""
    runner, faults = run_docs.Runner(tmp_path_factory.mktemp("docs")), []
    for block, printed in runner.run(PAGES["tutorial.md"]):
        if block.shown is not None:
            fault = run_docs.differs(block.shown, printed, loose=block.loose)
            faults += [f"line {block.line}: {fault}"] if fault else []
    return runner, faults


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_page_does_what_it_shows(world, name):
    runner, faults = world
    if name == "tutorial.md":
        assert not faults, "\n".join(faults)
    else:
        assert run_docs.check(PAGES[name], runner) > 0


def test_blocks_that_are_not_run_are_counted():
    left = Counter(name for name, page in PAGES.items() for block in page.blocks if block.reason)
    assert dict(left) == SKIPPED


def test_every_output_shown_is_that_of_a_block():
    for name, page in PAGES.items():
        if name.startswith("verbs/") or name in ("tutorial.md", "choosing.md", "api.md"):
            shown = sum(block.shown is not None for block in page.blocks)
            assert page.text.count("```text") == shown, name
            assert all(block.shown != "" for block in page.blocks), name


def test_the_first_page_leads_to_every_other():
    first = (DOCS / "index.md").read_text("utf-8")
    assert [name for name in PAGES if name != "index.md" and f"]({name})" not in first] == []


def test_every_command_has_a_page():
    assert {path.stem for path in VERBS.glob("*.md")} == set(main.commands)


@pytest.mark.parametrize("path", sorted(VERBS.glob("*.md")), ids=lambda path: path.stem)
def test_the_page_of_a_command_names_options_that_it_has(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `--")]
    command = main.commands[path.stem]
    known = {name for each in _all_of(command) for one in each.params for name in (*one.opts, *one.secondary_opts)}
    assert {name for row in rows for name in re.findall(r"--[a-z-]+", row)} <= known


def _all_of(command):
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _all_of(each)


@pytest.mark.parametrize("module", ["spml_annotate", *(f"spml_annotate.{name}" for name in PACKAGES)])
def test_public_names_are_on_the_reference_page(module):
    text = (DOCS / "api.md").read_text("utf-8")
    errors = "::: spml_annotate.errors" in text
    for name in import_module(module).__all__:
        in_errors = errors and hasattr(import_module("spml_annotate.errors"), name)
        assert in_errors or re.search(rf"\b{name}\b", text) or name in ("__version__", "Proposer"), name


def test_figures_that_a_choice_rests_on_stand_in_the_results():
    """Figures in choosing.md are quoted from results.md, to the digit."""
    results = (DOCS / "results.md").read_text("utf-8")
    quoted = re.findall(r"[+-]?\d+\.\d+ ± \d+\.\d+", (DOCS / "choosing.md").read_text("utf-8"))
    assert len(quoted) > 20
    assert [figure for figure in quoted if figure not in results] == []


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("mAP 0.612 of 40", "mAP 0.618 of 40", True),
        ("mAP 0.612", "mAP 0.712", False),
        ("question 824c2fde90103661", "question 8f3501f9414c63c6", True),
        ("one\ntwo", "one", False),
        ("model 0001", "version 0001", False),
    ],
)
def test_output_is_compared_with_tolerance(shown, printed, same):
    assert (run_docs.differs(shown, printed) == "") is same


def test_a_block_that_fails_is_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```sh\necho one\n```\n\n```text\none\n```\n\n```sh\nexit 3\n```\n")
    with pytest.raises(run_docs.DocsError, match=r"page\.md, line 11: exits with 3"):
        run_docs.check(run_docs.read_page(page), run_docs.Runner(tmp_path))


def test_an_output_that_is_not_as_shown_is_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\necho one\n```\n\n```text\ntwo\n```\n")
    with pytest.raises(run_docs.DocsError, match="line 1 of the output"):
        run_docs.check(run_docs.read_page(page), run_docs.Runner(tmp_path))


@pytest.mark.slow
def test_the_notebook_runs_and_prints_what_it_shows(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(CHECKOUT / "examples" / "first_hour.ipynb", as_version=4)
    shown = [_printed(cell) for cell in notebook.cells]
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for before, after in zip(shown, (_printed(cell) for cell in notebook.cells), strict=True):
        assert run_docs.differs(before, after) == ""
    assert "labels of people" in "".join(shown)


def _printed(cell):
    return "".join(output.get("text", "") for output in cell.get("outputs", []) if output["output_type"] == "stream")


def test_options_in_blocks_that_are_not_run_exist():
    for page in PAGES.values():
        for block in page.blocks:
            if block.reason and block.language == "sh":
                for line in block.code.splitlines():
                    _check_command(line.split("#")[0].split())


def _check_command(words):
    if "spml-annotate" not in words or words[0] in ("pip", "python3"):
        return
    command, context, words = main, click.Context(main), words[words.index("spml-annotate") + 1 :]
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        context = click.Context(command, info_name=name, parent=context)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, words
