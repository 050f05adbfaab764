"""Importing the package, and every ``--help``, loads nothing heavy: in a fresh process, against a list of what may."""

import json
import subprocess
import sys

ALLOWED = {"spml_annotate", "click", "colorama", "typing_extensions"}

LOOK = """
import json, sys
before = set(sys.modules)
{code}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(loaded - set(sys.stdlib_module_names))))
"""

WALK = """
import click
from spml_annotate.cli import main
seen = []
def walk(command, path):
    seen.append(path)
    try:
        command.main([*path, "--help"] if command is main else ["--help"], standalone_mode=False)
    except click.exceptions.Exit:
        pass
    for name in getattr(command, "commands", {}):
        walk(command.commands[name], [*path, name])
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as said:
    walk(main, [])
assert len(seen) >= 25, seen
assert said.getvalue().count("Usage:") == len(seen)
"""


def foreign(code: str) -> set[str]:
    """Top-level modules outside the standard library that the code loads in a fresh process."""
    script = LOOK.format(code=code)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(found.stdout))


def test_importing_the_package_loads_nothing_else():
    assert foreign("import spml_annotate") == {"spml_annotate"}


def test_every_help_of_every_command_is_light():
    loaded = foreign(WALK)
    assert "click" in loaded
    assert loaded <= ALLOWED


def test_a_whole_command_line_asking_for_help_is_light():
    code = "from spml_annotate.cli import main\nimport contextlib, io\n"
    code += "with contextlib.redirect_stdout(io.StringIO()):\n    main(['train', '--help'], standalone_mode=False)"
    assert foreign(code) <= ALLOWED


def test_looking_at_a_project_does_without_torch(world, tmp_path):
    world.project(tmp_path / "p").close()
    code = (
        "from spml_annotate.cli import main\nimport contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main(['status', '--project', {str(tmp_path / 'p')!r}], standalone_mode=False)"
    )
    assert not foreign(code) & {"torch", "faiss", "pandas", "sklearn", "matplotlib", "torchvision", "pyarrow"}
