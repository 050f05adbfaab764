"""What people take in a real Label Studio becomes prices, and what they were shown becomes a report of bias."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from studio_world import choices, make_studio_world

from spml_annotate.acquire import Query
from spml_annotate.cli import main
from spml_annotate.loop.asking import ask_label_studio
from spml_annotate.loop.bias import report_bias
from spml_annotate.loop.links import Place
from spml_annotate.project import Asking, OpenQuestion
from spml_annotate.project.costing import fit_costs
from spml_annotate.workspace import Asked

pytestmark = pytest.mark.slow


@pytest.fixture
def world(label_studio, tmp_path):
    made = make_studio_world(label_studio, tmp_path)
    yield made
    for link in made.links.links()[1:]:
        made.owner.delete_project(link.project)
    made.close()


def test_prices_and_bias_from_the_stream(world):
    tasks = world.add_tasks(30)
    world.pull()
    version, link = world.link.version, world.link
    hidden = {task for place, task in enumerate(tasks) if place % 3 == 0}
    region = {**choices("gull"), "score": 0.9}
    world.owner.import_predictions(
        link.project,
        [
            {"task": task, "result": [] if task in hidden else [region], "score": 0.1, "model_version": version}
            for task in tasks
        ],
    )
    world.links.queue(link.id, version, [Place(task, 0.1, "chosen", task in hidden, (1,)) for task in tasks])
    parents = {task["id"]: task["predictions"][0]["id"] for task in world.owner.tasks(link.project)}
    random = np.random.default_rng(0)
    ann, ben = world.people["ann"], world.people["ben"]
    given = {}
    for place, task in enumerate(tasks[:-2]):
        named = "gull" if task not in hidden or place % 2 else "heron"
        seconds = 900.0 if place == 5 else (4.0 if task in hidden else 2.0) * float(np.exp(0.2 * random.normal()))
        origin = "manual" if task in hidden else "prediction"
        who = ann if place % 2 else ben
        given[task] = who.annotate(
            task, [choices(named, origin=origin)], prediction=parents[task], lead_time=round(seconds, 3)
        )
    ann.annotate(tasks[-1], [], skipped=True, lead_time=1.0)
    world.pull()
    ann.update_annotation(given[tasks[1]]["id"], result=[choices("tern", origin="manual")], lead_time=9.0)
    world.pull()

    folder = str(world.project.workspace.root)
    done = CliRunner().invoke(main, ["report-bias", "--json", "--project", folder])
    assert done.exit_code == 0, done.output
    [line] = json.loads(done.stdout)["kinds"]
    assert (line["kind"], line["shown"], line["hidden"]) == ("pick", 18, 10)
    assert line["accepted_shown"] == pytest.approx(17 / 18)
    assert line["untouched"] == pytest.approx(17 / 18)
    assert line["accepted_hidden"] == pytest.approx(0.5)
    assert line["difference"] > 0
    assert line["seconds_hidden"] == pytest.approx(4.0, rel=0.2)

    costs = fit_costs(world.project.workspace, least=20)
    assert costs.measured.left_out == {
        "changed or taken back": 1,
        "left idle": 1,
        "skipped, or nothing could be told": 1,
    }
    assert costs.measured.picks == 26
    assert costs.measured.picks_shown == 16
    assert 2.0 < costs.prices.pick < 4.0
    assert world.project.workspace.settings.prices.pick == costs.prices.pick


def test_prices_from_companion_questions(world):
    world.add_tasks(4)
    world.pull()
    queries = [Query(row, (label,), "verify", (), 1.7).named("test") for row in range(4) for label in (0, 1)]
    queries += [Query(row, (0, 1, 2), "page", (0, 1), 3.0).named("test") for row in range(4)]
    asked = [Asked(query, "strategy") for query in queries]
    with world.project.workspace.writing("test"):
        world.project.workspace.questions.add(asked)
    questions = tuple(OpenQuestion(item, item.query.labels) for item in asked)
    ask_label_studio(world.project, world.links, world.owner, Asking((), questions, 0.0, len(asked)), hidden_share=0.0)
    ann = world.people["ann"]
    for kind, seconds in (("verify", 1.5), ("page", 6.0)):
        link = world.links.of_kind(kind)
        for task in sorted(world.owner.tasks(link.project), key=lambda item: item["id"]):
            shown = task["predictions"][0] if task["predictions"] else None
            result = (
                [choices("yes", "verdict")] if kind == "verify" else [choices("heron", origin="prediction-changed")]
            )
            ann.annotate(task["id"], result, lead_time=seconds, prediction=shown["id"] if shown else None)
        world.pull(link)
    costs = fit_costs(world.project.workspace, least=4, apply=False)
    acts = {(act.kind, tuple(sorted(act.uses.items()))) for act in costs.measured.acts}
    assert acts == {
        ("verify", (("verify", 1.0), ("view", 1.0))),
        ("verify", (("verify", 1.0),)),
        ("page", (("fix", 1.0), ("glance", 3.0), ("open", 1.0))),
    }
    [page] = [line for line in report_bias(world.project.workspace, world.links).kinds if line.kind == "page"]
    assert (page.shown, page.hidden, page.accepted_shown, page.untouched) == (4, 0, 0.5, 0.0)
