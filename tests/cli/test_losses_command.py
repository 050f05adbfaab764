"""``losses``: the list, one loss, the states, and what is not here."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from spml_annotate.cli import main
from spml_annotate.losses import LOSSES
from spml_annotate.states import STATES


def run(*words):
    result = CliRunner().invoke(main, ["losses", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_bare_call_lists_all():
    shown = [line.split()[0] for line in run().splitlines() if line.startswith("  ")]
    assert shown == list(LOSSES)


def test_the_list_as_json_says_everything():
    found = json.loads(run("--json"))
    assert list(found) == list(LOSSES)
    assert found["role"]["memory"] == {"bytes_per_cell": 4.0, "with_adam": 12.0, "bytes_per_image": 0.0}
    assert found["lac"]["unsupplied"] == ["strong"]
    assert not found["lac"]["trainable"]


@pytest.mark.parametrize("words", [("show", "em-apl"), ("em-apl",)])
def test_one_loss(words):
    text = run(*words)
    assert text.startswith("em-apl: Entropy maximisation")
    for said in (
        "Acknowledging the Unknown",
        "https://arxiv.org/abs/2203.16219",
        "Correr-Zhou/SPML-AckTheUnknown",
        "SPL, PPL, PAL, FAL",
        "state asymmetric: 3 bytes per image and class",
        "pseudo_weight = 0.4; code: 0.02 (VOC); 0.9 (COCO); 0.2 (NUS); 0.4 (CUB)",
        "reference values of released code",
    ):
        assert said in text, said


@pytest.mark.parametrize("words", [("show", "an-ls", "--json"), ("an-ls", "--json"), ("--json", "show", "an-ls")])
def test_one_loss_as_json(words):
    found = json.loads(run(*words))
    assert found["name"] == "an-ls"
    assert [setting["name"] for setting in found["settings"]] == ["smoothing"]
    assert found["comparison"]["matched"] > 0


@pytest.mark.parametrize("name", ["hml", "HML", "hyperspherical learning"])
def test_a_method_that_is_not_here_is_answered_with_the_reason(name):
    text = run("show", name)
    assert text.startswith("HML is not here: no public specification")
    assert "TencentYoutuResearch/MultiLabel-HML" in text
    assert "there is no loss" not in text


def test_a_method_whose_loss_is_here_points_to_it():
    assert "spml-annotate losses show dualcoop" in run("PositiveCoOp")
    found = json.loads(run("PositiveCoOp", "--json"))
    assert (found["here"], found["loss"]) == (False, "dualcoop")


def test_what_is_not_here_is_listed():
    text = run("--missing")
    for name in ("HML", "PLMCL", "G2NetPL", "VLSPE", "OPML", "CLS", "LASD", "TRM-ML", "SCL", "BoostLU", "SpliceMix"):
        assert f"\n  {name} " in f"\n{text}"
    assert "HML" in json.loads(run("--missing", "--json"))


def test_states():
    text = run("states")
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == list(STATES)
    assert "79 MB" in next(line for line in text.splitlines() if "learned" in line)
    assert "enhanced keeps beside it, not counted here: two small networks" in text
    assert json.loads(run("states", "--json"))["ema"]["bytes_per_cell"] == 3.0


def test_an_unknown_name_is_one_line_with_the_nearest():
    result = CliRunner().invoke(main, ["losses", "entropy-max"])
    assert result.exit_code == 2
    assert "there is no loss 'entropy-max'" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_case_of_a_name_does_not_matter():
    assert run("EN") == run("en")


def test_what_is_not_here_points_to_what_is():
    line = next(line for line in run("--missing").splitlines() if line.startswith("  SCL "))
    assert line.endswith("the expected negatives of the same paper are here (losses show en)")
    assert not [line for line in run("--missing").splitlines() if line.endswith((" are", " is"))]


def in_a_terminal(columns, *words):
    """What a terminal of so many columns shows."""
    reader, writer = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "spml_annotate", "losses", *words],
        stdout=writer,
        env={**os.environ, "COLUMNS": str(columns)},
    ) as process:
        os.close(writer)
        shown = b""
        while True:
            try:
                part = os.read(reader, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(reader)
    assert process.returncode == 0
    return shown.decode().replace("\r", "")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
@pytest.mark.parametrize(("columns", "words"), [(80, ()), (120, ("--missing",)), (80, ("smile",))])
def test_a_terminal_is_never_overrun(columns, words):
    text = in_a_terminal(columns, *words)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert " ".join(text.split()).count(" ") > 100  # nothing is cut off
    if not words:
        assert [line.split()[0] for line in text.splitlines() if line[:2] == "  " and line[2] != " "] == list(LOSSES)
