"""What the documentation says is what the program does."""

import re
import shlex
import subprocess
import sys

import click
import pytest

from spml_annotate.cli import main


def test_the_written_pages_are_current(checkout):
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


def test_the_page_of_losses_has_a_row_and_a_section_for_each(checkout):
    from spml_annotate.losses import LOSSES
    from spml_annotate.losses.records import absent_methods
    from spml_annotate.states import STATES

    text = (checkout / "docs" / "losses.md").read_text("utf-8")
    assert sorted(re.findall(r"^### (.+)$", text, re.MULTILINE)) == sorted(LOSSES)
    assert re.findall(r"^\| \[`(.+?)`\]\(#\1\)", text, re.MULTILINE) == list(LOSSES)
    for row in [*(f"`{name}`" for name in STATES), *(found.name for found in absent_methods())]:
        assert f"\n| {row} |" in text, row


def test_the_page_of_formats_has_a_row_and_a_section_for_each(checkout):
    from spml_annotate.formats import FORMATS

    text = (checkout / "docs" / "formats.md").read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == sorted(FORMATS)
    assert re.findall(r"^\| \[`(.+?)`\]\(#\1\)", text, re.MULTILINE) == sorted(FORMATS)
    for name in FORMATS:
        assert FORMATS[name].facts["notes"] in text


@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_the_page_of_losses_is_linked(checkout, page):
    assert re.search(r"\]\((docs/)?losses\.md\)", (checkout / page).read_text("utf-8"))


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


def test_the_loss_of_contributing_works_as_printed(checkout):
    import torch
    from torch import Tensor

    from spml_annotate.labels import UNKNOWN
    from spml_annotate.losses import INPUTS, LOSSES, LossRegistry
    from spml_annotate.losses.cells import Setting, cross_entropy, is_positive

    (code,) = re.findall(r"```python\n(.*?)```", (checkout / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    registry = LossRegistry("loss", inputs=INPUTS)
    names = {"LOSSES": registry, "Tensor": Tensor, "Setting": Setting, "UNKNOWN": UNKNOWN, "torch": torch}
    exec(code, names | {"is_positive": is_positive, "cross_entropy": cross_entropy})
    logits = torch.linspace(-3, 3, 12).view(3, 4)
    labels = torch.tensor([[1, 0, -1, -1]] * 3, dtype=torch.int8)
    ours = registry["my-loss"].function(logits, labels, negative_weight=0.25)
    torch.testing.assert_close(ours, LOSSES["wan"].function(logits, labels, negative_weight=0.25))
    assert registry["my-loss"].settings == {"negative_weight": 0.1}
