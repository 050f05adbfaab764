"""Closed pipes, names with marks in them, mistyped settings, folders that go round in a circle."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from spml_annotate.cli import main
from spml_annotate.cli.projects import counted
from spml_annotate.server import serving


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output.strip()


@pytest.fixture
def piped(tmp_path):
    """A project of three pictures and classes whose names hold marks."""
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.new("RGB", (20, 20), (number, 100, 200)).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "classes.txt").write_text("cat|dog\nback\\slash\nboth\\|\nplain, with comma\n")
    run("init", tmp_path / "p", "--classes", tmp_path / "classes.txt")
    run("images", "add", tmp_path / "pictures", "--project", tmp_path / "p")
    return tmp_path / "p"


@pytest.mark.parametrize("arguments", ["losses", "formats --json", "--help", "train --help", "strategies"])
def test_a_closed_pipe_is_no_failure(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "spml_annotate", *arguments.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_class_names_that_hold_the_mark_between_them(piped, tmp_path):
    run("ask", "--pick", "--out", tmp_path / "questions.csv", "--project", piped)
    with open(tmp_path / "questions.csv", newline="") as file:
        asked = next(csv.DictReader(file))["labels"]

    parts = re.findall(r"(?:\\.|[^\\|])+", asked)

    names = [re.sub(r"\\(.)", r"\1", part) for part in parts]
    assert names == ["cat|dog", "back\\slash", "both\\|", "plain, with comma"]


def test_questions_that_cannot_be_written_are_not_put(piped, tmp_path):
    said = run("ask", "--pick", "--out", tmp_path / "nowhere" / "questions.csv", "--project", piped, code=2)
    assert "check that its folder exists" in said
    assert "open       0 questions" in run("status", "--project", piped)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--strategy", "random-pairs", "--set", "verfy.size=2"], "random-pairs asks by verify; write verify.SETTING"),
        (["--strategy", "random-pairs:page", "--set", "verify.size=2"], "asks by page; write page.SETTING=VALUE"),
        (["--pick", "--set", "page.size=2"], "only questions of a --strategy have settings"),
        (["--validation", "2", "--set", "page.size=2"], "only questions of a --strategy have settings"),
    ],
)
def test_settings_of_other_questions_are_refused(piped, arguments, said):
    assert said in run("ask", *arguments, "--project", piped, code=2)


def test_a_link_to_a_folder_above_is_a_loop(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    for name in ("other/theirs.png", "pictures/a.png", "pictures/sub/b.png", "beside.png"):
        Image.new("RGB", (20, 20), (len(name), 100, 200)).save(tmp_path / name)
    (tmp_path / "pictures" / "up").symlink_to("..")
    (tmp_path / "pictures" / "sub" / "round").symlink_to("../..")
    (tmp_path / "pictures" / "elsewhere").symlink_to("../other")

    run("init", tmp_path / "p", "--classes", "cat,dog")
    said = run("images", "add", tmp_path / "pictures", "--project", tmp_path / "p")

    assert "the project has 3" in said
    listed = run("images", "list", "--project", tmp_path / "p").splitlines()
    assert [line.split("\t")[0] for line in listed] == ["a.png", "elsewhere/theirs.png", "sub/b.png"]


def test_one_of_a_thing_is_not_called_several(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / "a.png")
    assert run("init", tmp_path / "p", "--classes", "cat,").splitlines()[0].endswith(": 1 class")
    assert "1 image added" in run("images", "add", tmp_path / "pictures", "--project", tmp_path / "p")
    (tmp_path / "labels.csv").write_text("image,label\na.png,cat\n")
    assert "1 label on 1 image (" in run("import-labels", tmp_path / "labels.csv", "--project", tmp_path / "p")
    assert "1 of 1 class has no negative" in run("export", tmp_path / "out", "--project", tmp_path / "p")
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / "b.png")
    assert "\n1 exact copy:\n" in run("images", "add", tmp_path / "pictures", "--project", tmp_path / "p")
    assert "0 questions" in run("status", "--project", tmp_path / "p")


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(1, "class", "1 class"), (2, "class", "2 classes"), (0, "copy", "0 copies"), (3, "image", "3 images")],
)
def test_nouns_with_numbers(number, noun, said):
    assert counted(number, noun) == said


def test_serve_in_the_folder_of_a_project_serves_it(piped, monkeypatch):
    served = []
    monkeypatch.setattr(serving, "serve_until_stopped", lambda folder, *_, **__: served.append(folder))
    monkeypatch.delenv("MODEL_DIR", raising=False)
    monkeypatch.delenv("SPML_PROJECT", raising=False)
    monkeypatch.chdir(piped)
    run("serve")
    run("serve", "--model-dir", "elsewhere")
    monkeypatch.chdir(piped.parent)
    run("serve")
    assert served == [Path(), None, None]
