"""`studio demo`: one command, a real Label Studio, our backend, somebody who labels, a model; and again later."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from spml_annotate.loop.connecting import call
from spml_annotate.loop.demo import PASSWORD, USERNAME, Demo, alive
from spml_annotate.loop.links import LinkStore
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient

pytestmark = pytest.mark.slow
PATIENCE = 240.0


def wait_until(true, what):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def token_of(facts) -> str:
    """The token that the demonstration's user finds under Account & Settings."""
    with httpx.Client(base_url=facts["url"], trust_env=False, timeout=60) as visitor:
        visitor.get("/user/login/")
        form = {"csrfmiddlewaretoken": visitor.cookies["csrftoken"], "email": USERNAME, "password": PASSWORD}
        visitor.post("/user/login/", data=form, headers={"Referer": facts["url"] + "/user/login/"})
        return visitor.get("/api/current-user/token").json()["token"]


def truth_of(folder: Path) -> dict[str, str]:
    with (folder / "pictures" / "labels.csv").open() as file:
        return {line["image"]: line["label"] for line in csv.DictReader(file)}


def label(client, project: int, truth, count: int) -> None:
    for _ in range(count):
        task = client.next_task(project)
        region = {"from_name": "label", "to_name": "image", "type": "choices"}
        chosen = {**region, "value": {"choices": [truth[task["data"]["spml_image"]]]}}
        client.annotate(task["id"], [chosen], lead_time=2.0)


def test_labels_a_model_an_export_and_on_again_later(tmp_path):
    keep = tmp_path / "demo"
    command = [sys.executable, "-m", "spml_annotate", "studio", "demo", "--images", "26", "--keep", str(keep), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        facts = json.loads(process.stdout.readline())
        assert call(facts["backend"], "/health").body["status"] == "UP"
        with StudioClient(facts["url"], token_of(facts)) as client:
            label(client, facts["project"], truth_of(keep), 20)
            version = client.project(facts["project"])["model_version"]
            wait_until(
                lambda: client.project(facts["project"])["model_version"] != version, "the answers led to no training"
            )
            task = client.next_task(facts["project"])
            assert task["predictions"][0]["result"], "no proposal is shown after the training"
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert "stopped both servers" in said
    assert PASSWORD not in (keep / "backend.log").read_text()
    assert not alive(facts["label_studio_pid"])
    assert not alive(facts["backend_pid"])
    with Project(keep / "project") as project:
        assert project.status().model is not None
        assert project.labels.known == 20
        project.export(tmp_path / "labelled")
    assert list((tmp_path / "labelled").glob("*.parquet"))

    with Demo(keep) as again:
        assert again.facts.project == facts["project"]
        with StudioClient(again.facts.url, token_of(again.facts._asdict())) as client:
            assert len(client.task_ids(facts["project"])) == 26
            assert len(client.projects()) == 1
            assert again.facts.url == facts["url"], "pages that are open in a browser go on"
            (row,) = client.backends(facts["project"])
            assert (row["url"], row["state"]) == (again.facts.backend, "CO")


def test_nothing_runs_on_when_the_command_is_killed(tmp_path):
    command = [sys.executable, "-m", "spml_annotate", "studio", "demo", "--images", "3", "--keep", str(tmp_path / "d")]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        facts = json.loads(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for name in ("label_studio_pid", "backend_pid"):
        wait_until(lambda name=name: not alive(facts[name]), f"{name} runs on")


def test_a_temporary_demonstration_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Demo(images=3) as running:
        folder = Path(running.facts.folder)
        with closing(LinkStore(folder / "project")) as links:
            assert len(links.tasks(links.links()[0].id)) == 3
        assert folder.is_relative_to(tmp_path)
    assert not folder.exists()
