"""Errors are one line on standard error: exit code 2 for a user's mistake, 1 for a failure, a traceback on request."""

import sqlite3

import pytest
from click.testing import CliRunner

from spml_annotate.cli import main


@pytest.fixture
def folder(world, tmp_path):
    world.project(tmp_path / "p").close()
    return str(tmp_path / "p")


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--project", "/nowhere"], "is not a project"),
        (["train"], "the images are not embedded yet; run `spml-annotate embed`"),
        (["ask"], "needs a trained model; run `spml-annotate train`"),
        (["ask", "--strategy", "random-pears"], "did you mean 'random-pairs'?"),
        (["ask", "--budget", "soon"], "write hours, minutes or seconds"),
        (["ask", "--budget", "0h"], "no question fits into no time"),
        (["ask", "--pick", "--validation", "5"], "ask for one of them at a time"),
        (["ask", "--validation", "100"], "only 60 readable images"),
        (["answer", "/nowhere.csv"], "there is no such file"),
        (["import-labels", "/nowhere.csv"], "there is no such file"),
        (["images", "add", "/nowhere"], "there is no such file or folder"),
        (["embed", "--backbone", "resnet5"], "there is no backbone 'resnet5'; did you mean"),
        (["embed", "--mean", "grey"], "give one number"),
        (["embed", "--device", "abacus"], "is not a device"),
        (["train", "--set", "an.alpha=1"], "this trains en"),
        (["train", "--set", "en"], "write NAME.SETTING=VALUE"),
        (["propose"], "run `spml-annotate train`"),
        (["evaluate"], "run `spml-annotate train`"),
        (["undo"], "no answered question to undo"),
        (["classes", "add", "red 0"], "already means 'red 0'"),
        (["export", "/proc/none/out"], "check that its folder exists, is writable"),
        (["init", "DIR", "--classes", "a,b"], "holds a project already"),
        (["init", "DIR", "--classes", "dog"], "a single one: 'dog,'"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(folder, arguments, message):
    arguments = [folder if argument == "DIR" else argument for argument in arguments]
    given = [] if "--project" in arguments or arguments[0] == "init" else ["--project", folder]
    result = run(*arguments, *given)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_wrong_option_is_clicks_own_message():
    result = run("train", "--epochs", "none")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(folder):
    with pytest.raises(Exception, match="needs a trained model"):
        CliRunner().invoke(main, ["--debug", "ask", "--project", folder], catch_exceptions=False)


def test_a_failure_exits_1(folder, monkeypatch):
    from spml_annotate.project import reporting

    def broken(matrix):
        raise ZeroDivisionError("a slip")

    monkeypatch.setattr(reporting, "image_kinds", broken)
    result = run("status", "--project", folder)
    assert result.exit_code == 1
    assert "a failure of spml-annotate; --debug shows where" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_lock_that_is_held_is_named(folder):
    from spml_annotate.workspace import Workspace

    with Workspace.open(folder) as workspace, workspace.writing("serve"):
        result = run("classes", "add", "mauve", "--project", folder)
        assert result.exit_code == 2
        assert "serve" in result.stderr
        assert run("status", "--project", folder).exit_code == 0


def test_doctor_exits_1_when_something_fails(folder, tmp_path):
    assert run("doctor", "--project", folder).exit_code == 0
    with sqlite3.connect(tmp_path / "p" / "labels.sqlite") as connection:
        connection.execute("UPDATE images SET path = '/nowhere.png' WHERE row = 3")
    connection.close()
    result = run("doctor", "--project", folder)
    assert result.exit_code == 1
    assert "fail  images" in result.stdout
    assert "images move" in result.stdout
