"""Questions of every kind become tasks in a real Label Studio, and what people answer there ends in the log."""

import numpy as np
import pytest
from studio_world import CLASSES, choices, make_studio_world, picture

from spml_annotate.acquire import Query
from spml_annotate.errors import SettingError
from spml_annotate.folding import last_words
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.loop.asking import ask_label_studio, is_hidden
from spml_annotate.loop.linking import add_link
from spml_annotate.project import Asking, OpenQuestion
from spml_annotate.studio.config import parse_config
from spml_annotate.workspace import Asked

pytestmark = pytest.mark.slow
EVERYTHING = tuple(range(len(CLASSES)))


@pytest.fixture
def world(label_studio, tmp_path):
    made = make_studio_world(label_studio, tmp_path)
    for number in range(4):
        picture(tmp_path / "ours" / f"{number}.png", (number * 60, 200 - number * 40, 30))
    made.project.add_images(tmp_path / "ours")
    yield made
    there = {project["id"] for project in made.owner.projects()}
    for link in made.links.links():
        if link.id != made.link.id and link.project in there:
            made.owner.delete_project(link.project)
    made.close()


def asking(world, *queries) -> Asking:
    """The questions as `Project.ask` would put them."""
    named = [query.named("test") for query in queries]
    asked = [Asked(query, "strategy", "", 0.0) for query in named]
    with world.project.workspace.writing("test"):
        world.project.workspace.questions.add(asked)
    return Asking((), tuple(OpenQuestion(item, item.query.labels) for item in asked), 0.0, len(asked))


def tasks_of(world, kind):
    link = world.links.of_kind(kind)
    return link, sorted(world.owner.tasks(link.project), key=lambda task: task["id"])


def codes(world, row):
    return world.project.labels.dense([row])[0].tolist()


def test_what_was_deleted_there_is_not_taken_for_put(world):
    put = asking(world, Query(0, EVERYTHING, "pick", (), 3.0))
    made = ask_label_studio(world.project, world.links, world.owner, put)["pick"]
    assert (made["new"], made["known"]) == (1, 0)
    world.owner.delete_tasks(world.link.project, sorted(world.owner.task_ids(world.link.project)))
    again = ask_label_studio(world.project, world.links, world.owner, put)["pick"]
    assert (again["new"], again["known"]) == (1, 0)
    newer = world.owner.create_project("deleted in a moment", world.link.config)
    add_link(world.project, world.links, world.owner, newer["id"])
    world.owner.delete_project(newer["id"])
    again = ask_label_studio(world.project, world.links, world.owner, put)["pick"]
    assert (again["project"], again["known"]) == (world.link.project, 1)


def test_verify(world):
    put = asking(world, Query(2, (1,), "verify", (), 1.7), Query(0, (3,), "verify", (), 1.7))
    done = ask_label_studio(world.project, world.links, world.owner, put)
    assert (done["verify"]["new"], done["verify"]["known"]) == (2, 0)
    link, tasks = tasks_of(world, "verify")
    assert [task["data"]["query"] for task in tasks] == [CLASSES[1], CLASSES[3]]
    ann, ben = world.people["ann"], world.people["ben"]
    served = ann.next_task(link.project)
    assert served["id"] == tasks[0]["id"], "in the order of the questions"
    ann.annotate(tasks[0]["id"], [choices("yes", "verdict")], lead_time=1.25)
    ann.annotate(tasks[1]["id"], [choices("no", "verdict")])
    ben.annotate(tasks[1]["id"], [choices("unsure", "verdict")])
    world.pull(link)
    assert codes(world, 2)[1] == POSITIVE
    assert codes(world, 0)[3] == NEGATIVE
    log = list(world.project.workspace.log)
    assert {said.question for said in log} == {question.query.id for question in put.new}
    assert [said.seconds for said in log if said.row == 2] == [1.25]
    assert {said.answer for said in log if said.annotator == "ls:ben@example.com"} == {"unsure"}
    assert world.project.open_questions() == []


def test_asking_again_makes_nothing_twice(world):
    put = asking(world, *(Query(row, (label,), "verify") for row in range(4) for label in range(2)))
    ask_label_studio(world.project, world.links, world.owner, put)
    link = world.links.of_kind("verify")
    world.links.drop_tasks(link.id, list(world.links.tasks(link.id))[:3])  # killed before they were noted
    more = asking(world, Query(0, (2,), "verify"))
    again = Asking(put.new, more.new, 0.0, 9)
    done = ask_label_studio(world.project, world.links, world.owner, again)
    assert (done["verify"]["new"], done["verify"]["known"]) == (1, 8)
    link, tasks = tasks_of(world, "verify")
    assert len({task["data"]["spml_question"] for task in tasks}) == len(tasks) == 9
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert scores == sorted(set(scores)), "the new question comes last"
    assert {task["predictions"][0]["model_version"] for task in tasks} == {link.version}
    facts = world.owner.project(link.project)
    assert (facts["model_version"], facts["sampling"]) == (link.version, "Uncertainty sampling")
    files = {task["data"]["spml_image"]: task["data"]["image"] for task in tasks}
    assert len(files) == 4
    assert len(set(files.values())) == 4, "each picture was uploaded once"


def test_page_is_prefilled_and_what_is_not_ticked_is_absent(world):
    put = asking(world, Query(1, (0, 1, 2), "page", (0, 1)))
    ask_label_studio(world.project, world.links, world.owner, put)
    link, (task,) = tasks_of(world, "page")
    (proposed,) = task["predictions"]
    assert proposed["result"][0]["value"]["choices"] == CLASSES[:2]
    ann = world.people["ann"]
    region = choices([CLASSES[0], CLASSES[2]], origin="prediction-changed")
    ann.annotate(task["id"], [region], prediction=proposed["id"], lead_time=9.0)
    world.pull(link)
    assert codes(world, 1) == [POSITIVE, NEGATIVE, POSITIVE, UNKNOWN]
    assert [said.shown for said in world.project.workspace.log] == [True, True, False]
    (seen,) = world.links.exposures(link.id)
    assert (seen.proposed, seen.given, seen.hidden, seen.untouched) == ((0, 1), (0, 2), False, False)


def test_hidden_share_shows_a_page_blank(world):
    put = asking(world, *(Query(row, (0, 1), "page", (0,)) for row in range(4)))
    done = ask_label_studio(world.project, world.links, world.owner, put, hidden_share=0.5)
    link, tasks = tasks_of(world, "page")
    wanted = [is_hidden(link, task["data"]["spml_question"], 0.5) for task in tasks]
    assert [task["predictions"][0]["result"] == [] for task in tasks] == wanted
    assert done["page"]["hidden"] == sum(wanted)
    places = world.links.places(link.id, link.version)
    assert [places[task["id"]].hidden for task in tasks] == wanted
    assert {places[task["id"]].proposed for task in tasks} == {(0,)}
    with pytest.raises(SettingError, match="hidden-share"):
        ask_label_studio(world.project, world.links, world.owner, put, hidden_share=1.5)


def test_list_and_exhaust(world):
    put = asking(
        world, Query(0, EVERYTHING, "list"), Query(1, EVERYTHING, "list"), Query(2, EVERYTHING, "exhaust", (3,))
    )
    ask_label_studio(world.project, world.links, world.owner, put)
    listing, (whole, unsure) = tasks_of(world, "list")
    ann = world.people["ann"]
    ann.annotate(whole["id"], [choices([CLASSES[3]]), choices("yes", "complete")])
    ann.annotate(unsure["id"], [choices([CLASSES[0]]), choices("cannot tell", "complete")])
    world.pull(listing)
    assert codes(world, 0) == [NEGATIVE, NEGATIVE, NEGATIVE, POSITIVE]
    assert codes(world, 1) == [POSITIVE, UNKNOWN, UNKNOWN, UNKNOWN]
    checking, (check,) = tasks_of(world, "exhaust")
    assert check["predictions"][0]["result"][0]["value"]["choices"] == [CLASSES[3]]
    given = ann.annotate(check["id"], [choices([CLASSES[1], CLASSES[3]])])
    world.pull(checking)
    assert codes(world, 2) == [NEGATIVE, POSITIVE, NEGATIVE, POSITIVE]
    ann.update_annotation(given["id"], result=[choices([CLASSES[1]])])
    world.pull(checking)
    assert codes(world, 2) == [NEGATIVE, POSITIVE, NEGATIVE, NEGATIVE]
    ann.update_annotation(given["id"], result=[], was_cancelled=True)
    world.pull(checking)
    assert codes(world, 2) == [UNKNOWN] * 4
    assert {said.answer for said in last_words(world.project.workspace.log)[2, 0][0][1:2]} == {"skip"}
    world.owner.delete_tasks(checking.project, [check["id"]])
    world.pull(checking, whole=True)
    assert (2, 0) not in last_words(world.project.workspace.log)


def test_pick_goes_to_the_main_project(world):
    put = asking(world, *(Query(row, EVERYTHING, "pick") for row in range(3)))
    done = ask_label_studio(world.project, world.links, world.owner, put)
    assert (done["pick"]["new"], done["pick"]["negatives"]) == (3, 0)
    tasks = sorted(world.owner.tasks(world.link.project), key=lambda task: task["id"])
    assert [task["data"]["spml_image"] for task in tasks] == list(world.project.image_ids[:3])
    done = ask_label_studio(world.project, world.links, world.owner, put)
    assert (done["pick"]["new"], done["pick"]["known"]) == (0, 3)
    world.people["ann"].annotate(tasks[0]["id"], [choices(CLASSES[2])])
    done = world.pull()
    assert (done.new_images, done.acts) == (0, 1)
    assert world.known() == {(0, CLASSES[2]): POSITIVE}


def test_a_grown_class_list_reaches_the_companion(world):
    ask_label_studio(world.project, world.links, world.owner, asking(world, Query(0, EVERYTHING, "list")))
    world.project.add_classes(["ibis"])
    ask_label_studio(world.project, world.links, world.owner, asking(world, Query(1, (0, 4), "list")))
    link = world.links.of_kind("list")
    assert parse_config(world.owner.project(link.project)["label_config"]).classes == (*CLASSES, "ibis")
    assert np.array_equal(world.project.labels.shape, (4, 5))
