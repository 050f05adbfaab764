"""Style, types, layers and the size of files: the same checks for people and for CI."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    ids=["style", "format", "types", "layers"],
)
def test_the_house_is_in_order(checkout, command):
    result = subprocess.run(
        [str(TOOLS / command[0]), *command[1:]], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


def test_no_file_is_over_400_lines(checkout):
    for folder in ("spml_annotate", "tests", "benchmarks", "examples", "scripts"):
        for file in (checkout / folder).rglob("*.py"):
            assert len(file.read_text("utf-8").splitlines()) <= 400, file


def test_ci_runs_the_readme_s_test_command(checkout):
    script = (checkout / ".ci" / "run").read_text("utf-8")
    command = script.strip().splitlines()[-1]
    assert "pytest" in command
    assert f"\n{command}\n" in (checkout / "README.md").read_text("utf-8")


def test_the_public_names_are_sorted_and_exist():
    import spml_annotate

    assert spml_annotate.__all__ == sorted(spml_annotate.__all__)
    for name in spml_annotate.__all__:
        assert getattr(spml_annotate, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        spml_annotate.nonsense  # noqa: B018  (the access is the test)
