"""The group `studio` on the command line; the real Label Studio where it is spoken with."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from spml_annotate.cli import main
from spml_annotate.cli.studio import _program
from spml_annotate.loop.demo import DemoFacts, instructions
from spml_annotate.loop.links import LinkStore
from spml_annotate.studio.client import StudioClient

VARIABLES = ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def run(*arguments, environment=None):
    return CliRunner().invoke(main, ["studio", *map(str, arguments)], env=environment or {})


@pytest.mark.parametrize("verb", ["create", "sync", "push", "doctor"])
def test_address_and_token_are_asked_for(project, verb):
    folder = project.workspace.root
    nowhere = run(verb, "--project", folder)
    assert nowhere.exit_code == 2
    assert "LABEL_STUDIO_URL" in nowhere.output
    nobody = run(verb, "--project", folder, "--url", "http://127.0.0.1:9")
    assert nobody.exit_code == 2
    assert "LABEL_STUDIO_API_KEY" in nobody.output


def test_incomplete_plans_are_refused_before_anything_is_made(project):
    given = ("--project", project.workspace.root, "--url", "http://127.0.0.1:9", "--token", "0" * 40)
    local = run("create", "--images", "local", *given)
    assert (local.exit_code, "--files-root" in local.output) == (2, True)
    urls = run("create", "--images", "urls", *given)
    assert (urls.exit_code, "--base-url" in urls.output) == (2, True)
    for option, value in (("--backend", "nonsense"), ("--backend", "http://["), ("--title", "t" * 51)):
        refused = run("create", option, value, *given)
        assert (refused.exit_code, option in refused.output) == (2, True)


@pytest.mark.parametrize("verb", ["create", "sync", "push", "doctor"])
def test_nothing_is_written_into_a_folder_that_is_no_project(tmp_path, verb):
    done = run(verb, "--project", tmp_path, "--url", "http://127.0.0.1:9", "--token", "0" * 40)
    assert (done.exit_code, "is not a project" in done.output) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_the_gain_of_a_folder_that_was_never_tied_is_refused_in_words(project):
    folder = project.workspace.root
    LinkStore(folder).close()
    done = CliRunner().invoke(main, ["report-gain", "--project", str(folder)])
    assert (done.exit_code, "studio create" in done.output) == (2, True)


def test_label_studio_that_is_away_fails_the_doctor_with_a_remedy(project):
    token = "0123456789abcdef" * 2 + "01234567"
    environment = {"LABEL_STUDIO_URL": "http://127.0.0.1:9", "LABEL_STUDIO_API_KEY": token}
    looked = run("doctor", "--project", project.workspace.root, "--json", environment=environment)
    assert looked.exit_code == 1
    (check,) = json.loads(looked.output)
    assert (check["name"], check["level"]) == ("address", "fail")
    assert check["remedy"]
    assert token not in looked.output


def test_a_second_terminal_is_told_a_program_that_it_finds(monkeypatch, tmp_path):
    program = tmp_path / "bin with spaces" / "spml-annotate"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python3")))
    monkeypatch.setenv("PATH", str(tmp_path))
    told = instructions(DemoFacts("http://127.0.0.1:1", "a", "b", 1, "", "", str(tmp_path), 0, 0), _program())
    assert f"\n  '{program}' status\n" in told
    monkeypatch.setenv("PATH", str(program.parent))
    assert _program() == "spml-annotate"
    monkeypatch.setenv("PATH", str(tmp_path))
    program.unlink()
    assert _program().endswith("python3' -m spml_annotate")


def test_the_demonstration_needs_label_studio(tmp_path):
    code = (
        "import sys\nsys.modules['label_studio'] = None\nimport importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'label_studio' else find(name, *rest)\n"
        f"from spml_annotate.cli import main\nmain(['studio', 'demo', '--images', '1', '--keep', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "spml-annotate[label-studio]" in done.stderr


@pytest.mark.slow
def test_create_label_sync_push_doctor(project, label_studio):
    folder = project.workspace.root
    given = {"LABEL_STUDIO_URL": label_studio.url + "/", "LABEL_STUDIO_API_KEY": label_studio.token}
    early = run("sync", "--project", folder, environment=given)
    assert (early.exit_code, "studio create" in early.output) == (2, True)
    made = run("create", "--project", folder, "--no-backend", "--title", "By command", "--json", environment=given)
    assert made.exit_code == 0, made.output
    facts = json.loads(made.stdout)
    images = len(project.image_ids)
    assert (facts["new"], facts["tasks"], facts["new_tasks"]) == (True, images, images)
    again = run("create", "--project", folder, "--no-backend", environment=given)
    assert again.exit_code == 0, again.output
    assert "0 images sent" in again.output

    before = len(project.workspace.log)
    with StudioClient(label_studio.url, label_studio.token) as client:
        task = min(client.task_ids(facts["project"]))
        region = {"from_name": "label", "to_name": "image", "type": "choices"}
        name = project.taxonomy.names[3]
        client.annotate(task, [{**region, "value": {"choices": [name]}}], lead_time=2.0)
    synced = run("sync", "--project", folder, environment=given)
    assert synced.exit_code == 0, synced.output
    assert "1 answer stored" in synced.output
    assert len(project.workspace.log) == before + 1
    same = run("sync", "--project", folder, "--json", environment=given)
    assert json.loads(same.stdout)["main"]["answers"] == 0

    looked = run("doctor", "--project", folder, environment=given)
    assert looked.exit_code == 1
    lines = {line.split()[1]: line.split()[0] for line in looked.output.splitlines()}
    assert lines["connection"] == "fail"
    assert lines["images"] == lines["token"] == "ok"
    assert label_studio.token not in looked.output + synced.output + made.output
