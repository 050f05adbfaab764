"""What the documentation says is what the program does."""

import re
import shlex
import subprocess
import sys

import click
import pytest

from spml_annotate.cli import main


def test_the_commands_page_is_current(checkout):
    result = subprocess.run(
        [sys.executable, "scripts/write_docs.py", "--check"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def shown_commands(text):
    """Every spml-annotate command line in the code blocks of a page."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            places = [i for i, word in enumerate(words) if word.split("/")[-1] == "spml-annotate"]
            if places:
                yield words[places[-1] + 1 :]


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_commands_shown_in_a_page_exist_with_their_options(checkout, page):
    shown = list(shown_commands((checkout / page).read_text("utf-8")))
    assert shown or page != "README.md"
    for words in shown:
        command, context = main, click.Context(main)
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
            context = click.Context(command, info_name=name, parent=context)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_links_and_pictures_of_the_readme_exist(checkout):
    for target in re.findall(r"\]\(([^)#]+)\)", (checkout / "README.md").read_text("utf-8")):
        assert target.startswith("https://") or (checkout / target).exists(), target


def test_the_readme_names_every_loss_and_strategy(checkout):
    from spml_annotate.acquire import VALUES
    from spml_annotate.losses import LOSSES

    text = (checkout / "README.md").read_text("utf-8")
    for name in [*LOSSES, *VALUES]:
        assert f"`{name}`" in text, name
