"""Every example runs and prints what its docstring shows (numbers as another CPU rounds them)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def shown(path):
    """The command and the output in the docstring of an example."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    command, output = re.search(r"Command:\n\n(.*?)\n\nOutput:\n\n(.*)", text, re.DOTALL).groups()
    return command.split(), "\n".join(line.removeprefix("    ") for line in output.splitlines())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_does_what_it_shows(path):
    command, expected = shown(path)
    assert command[0] == "python"
    result = subprocess.run(
        [sys.executable, *command[1:]], cwd=path.parent.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    printed = result.stdout.rstrip()
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", expected)
    for ours, theirs in zip(NUMBER.findall(printed), NUMBER.findall(expected), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=0.05, abs=0.03)


def test_there_are_examples():
    assert len(EXAMPLES) >= 3
