"""The folder of a project: what it keeps, whom it lets write, and what it says when something is wrong."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import Observation
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace import FeatureSettings, Workspace
from spml_annotate.workspace.settings import Settings, load_settings, save_settings

CLASSES = Taxonomy(("dog", 'cat "tom"', "červený"), aliases={"hound": "dog"}, prompts={"dog": "a photo of a dog"})


@pytest.fixture
def workspace(tmp_path):
    with Workspace.create(tmp_path / "project", CLASSES) as made:
        yield made


def test_settings_come_back_as_they_were(tmp_path):
    features = FeatureSettings("net-1", "net", "/w.safetensors", (0.5,), (0.1, 0.2, 0.3), 257)
    settings = Settings("birds", CLASSES, (2, 3), "majority", {"verify": 2.5}, features)
    save_settings(tmp_path / "spml.toml", settings)
    assert load_settings(tmp_path / "spml.toml") == settings
    assert load_settings(tmp_path / "spml.toml").prices.verify == 2.5


def test_a_reopened_project_is_the_same(workspace):
    workspace.log.append([Observation(0, 1, "yes")])
    with Workspace.open(workspace.root) as again:
        assert again.settings == workspace.settings
        assert len(again.log) == 1


def test_a_project_is_not_made_over_another(workspace):
    with pytest.raises(SettingError, match="holds a project already"):
        Workspace.create(workspace.root, CLASSES)


def test_a_folder_that_is_no_project(tmp_path):
    with pytest.raises(DataError, match=r"not a project.*spml-annotate init"):
        Workspace.open(tmp_path)


def test_a_missing_database_is_not_made_anew(workspace):
    root = workspace.root
    workspace.close()
    (root / "labels.sqlite").unlink()
    with pytest.raises(DataError, match="holds every answer; restore it"):
        Workspace.open(root)
    assert not (root / "labels.sqlite").exists()


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format_version = 1", "format_version = 2", "newer version.*upgrade"),
        ("format_version = 1", "", "format_version is missing"),
        (', name = "dog"', "", "something is missing"),
        ("classes = [", "classes = [[", "this is not TOML"),
        ('key = "dog"', 'key = "wolf"', "(by hand|unknown class)"),
        ('policy = "unanimous"', 'policy = "loudest"', "choose from unanimous"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line_with_a_remedy(workspace, old, new, message):
    change(workspace.root / "spml.toml", old, new)
    with pytest.raises((DataError, MismatchError, SettingError), match=message) as caught:
        Workspace.open(workspace.root)
    assert "\n" not in str(caught.value)


def test_classes_are_appended_and_renamed_but_never_moved(workspace):
    with workspace.writing("test"):
        workspace.change_taxonomy(workspace.taxonomy.extended(["bird"]).renamed("dog", "hound"))
        with pytest.raises(MismatchError):
            workspace.change_taxonomy(Taxonomy(("bird", "dog", "cat")))
    with Workspace.open(workspace.root) as again:
        assert again.taxonomy.names == ("hound", 'cat "tom"', "červený", "bird")
        assert again.taxonomy.column("dog") == 0
        assert again.settings.batches == (3, 4)


def test_a_second_writer_is_told_who_the_first_is(workspace):
    with Workspace.open(workspace.root) as other, workspace.writing("train"):
        with pytest.raises(MismatchError, match=r"another process \(pid \d+, train\)"), other.writing("embed"):
            pytest.fail("both may write")
        other.log.append([Observation(0, 0, "yes")])  # answers need no lock
    with Workspace.open(workspace.root) as other, other.writing("embed"):
        assert len(other.log) == 1


def test_the_lock_may_be_taken_again_by_its_holder(workspace):
    with workspace.writing("outer"), workspace.writing("inner"):
        workspace.update(name="other")
    with Workspace.open(workspace.root) as other, other.writing("test"):
        assert other.settings.name == "other"


HOLD = """
import sys, time
from spml_annotate.workspace import Workspace
with Workspace.open(sys.argv[1]).writing("a long job"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_leaves_the_lock_free(workspace):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(workspace.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(MismatchError, match=rf"pid {process.pid}, a long job"), workspace.writing("train"):
        pytest.fail("both may write")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with workspace.writing("train"):
        workspace.update(name="after")


def test_a_pointer_to_a_lost_model_is_an_error(workspace):
    (workspace.root / "current").write_text("0007\n")
    with pytest.raises(MismatchError, match=r"'0007'.*spml-annotate train"):
        workspace.models.current()


def test_paths_inside_the_project_are_kept_relative(workspace, tmp_path):
    assert workspace.stored_path(workspace.root / "photos" / "1.jpg") == "photos/1.jpg"
    assert workspace.stored_path(tmp_path / "1.jpg") == str(tmp_path / "1.jpg")


def test_questions_are_append_only_and_ids_unique(workspace):
    from spml_annotate.acquire import Query
    from spml_annotate.workspace import Asked

    asked = Asked(Query(3, (0, 2), "page", (2,), 4.5).named("0"), "strategy", "expected-positives:page", 12.5)
    assert workspace.questions.add([asked, asked]) == 1
    assert list(workspace.questions) == [asked]
    assert workspace.questions.get(asked.query.id) == asked
    with pytest.raises(DataError, match="never asked"):
        workspace.questions.get("nonsense")
