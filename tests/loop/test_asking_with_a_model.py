"""With a trained model: the command asks in Label Studio, picks get proposed negatives, answers their surprise."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from project_world import embedded_copy, make_world
from studio_world import choices

from spml_annotate.acquire import Query
from spml_annotate.cli import main
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.loop.asking import ask_label_studio
from spml_annotate.loop.linking import add_link
from spml_annotate.loop.links import LinkStore
from spml_annotate.loop.pulling import pull
from spml_annotate.project import Asking, OpenQuestion
from spml_annotate.project.proposing import stored_proposals
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.studio.forms import FORMS
from spml_annotate.workspace import Asked

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(label_studio, tmp_path):
    folder = tmp_path / "project"
    with embedded_copy(make_world(tmp_path / "world", images=24), folder) as project, label_studio.client() as owner:
        project.train(epochs=20)
        project.propose()
        links = LinkStore(folder)
        made = owner.create_project("a project with a model", FORMS["pick"].config(project.taxonomy.names))
        link = add_link(project, links, owner, made["id"])
        yield project, links, link, owner
        for other in links.links():
            owner.delete_project(other.project)
        links.close()


def test_a_pick_gets_the_most_certain_negatives(label_studio, trained):
    project, links, link, owner = trained
    everything = tuple(range(len(project.taxonomy)))
    put = [Asked(Query(row, everything, "pick").named("test"), "pick") for row in range(3)]
    asking = Asking((), tuple(OpenQuestion(item, everything) for item in put), 0.0, 3)
    made = stored_proposals(project.workspace, project.workspace.models.current()).proposals
    names = project.taxonomy.names
    expected = {}
    for row in range(3):
        here = np.flatnonzero((made.rows == row) & (made.values == NEGATIVE))
        expected[row] = [names[label] for label in made.labels[here][np.argsort(made.scores[here], kind="stable")]]
    assert any(expected.values())
    done = ask_label_studio(project, links, owner, asking, negatives=2)
    assert done["pick"]["negatives"] == sum(bool(found) for found in expected.values())
    rows = {task.task: task.row for task in links.tasks(link.id).values()}
    for task in owner.tasks(link.project):
        listed = [entry["value"] for entry in task["data"].get("negatives", [])]
        assert listed == expected[rows[task["id"]]][:2]
    # more of them for tasks that are open; an answered one is left alone
    task, row = next((task, row) for task, row in rows.items() if len(expected[row]) > 2)
    fetcher = ImageFetcher(StudioSettings(url=owner.url), owner)
    with label_studio.client(label_studio.annotators["ann@example.com"]) as ann:
        present = next(name for name in names if name not in expected[row])
        ann.annotate(task, [choices(present), choices(expected[row][:1], "absent")])
    before = project.labels.dense([row])[0]
    assert pull(project, links, link, owner, fetcher).acts == 1
    after = project.labels.dense([row])[0]
    assert after[project.taxonomy.column(expected[row][0])] == NEGATIVE
    assert after[project.taxonomy.column(present)] == POSITIVE
    assert (after != before).any()
    (seen,) = links.exposures(link.id)
    assert seen.surprise is not None
    assert seen.surprise > 0.0
    ask_label_studio(project, links, owner, asking, negatives=3)
    listed = {found["id"]: len(found["data"].get("negatives", [])) for found in owner.tasks(link.project)}
    assert listed == {t: 2 if t == task else min(len(expected[r]), 3) for t, r in rows.items()}


def test_the_command_asks_there(label_studio, trained, monkeypatch):
    project, links, _, owner = trained
    monkeypatch.setenv("LABEL_STUDIO_URL", owner.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.personal_token)
    command = ["ask", "--to", "label-studio", "--budget", "60s", "--project", str(project.workspace.root)]
    done = CliRunner().invoke(main, [*command, "--strategy", "expected-positives:verify", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["tasks"]["verify"]["new"] == told["new"] > 0
    link = links.of_kind("verify")
    tasks = list(owner.tasks(link.project))
    assert [task["data"]["spml_question"] for task in sorted(tasks, key=lambda task: task["id"])] == [
        line["question"] for line in told["questions"]
    ]
    again = CliRunner().invoke(main, [*command, "--strategy", "expected-positives:verify"])
    assert again.exit_code == 0, again.output
    assert "were there already" in again.output
    assert label_studio.personal_token not in again.output + done.output


def test_the_command_says_what_is_missing(tmp_path, monkeypatch):
    from spml_annotate.project import Project

    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    Project.create(tmp_path, ["a"]).close()
    command = ["ask", "--pick", "--to", "label-studio", "--project", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert "LABEL_STUDIO_URL" in done.output
    assert len(done.output.strip().splitlines()) == 1
