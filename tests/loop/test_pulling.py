"""Answers that people give in a real Label Studio arrive in the log, whatever they do with them afterwards."""

import threading
import time

import pytest
from studio_world import choices, make_studio_world, picture

from spml_annotate.errors import MismatchError, RemoteError
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.loop import picturing
from spml_annotate.loop.links import MAIN, Place
from spml_annotate.loop.pulling import add_link, locked, sync
from spml_annotate.workspace.lock import WriterLock

pytestmark = pytest.mark.slow


@pytest.fixture
def world(label_studio, tmp_path):
    made = make_studio_world(label_studio, tmp_path)
    yield made
    made.close()


def test_create_update_skip_and_delete(world):
    first, second, third = world.add_tasks(3)
    done = world.pull()
    assert (done.tasks, done.new_images, done.answers, done.broken) == (3, 3, 0, ())
    rows = {task.task: task.row for task in world.links.tasks(world.link.id).values()}
    assert sorted(rows.values()) == [0, 1, 2]
    assert all(world.project.workspace.image_path(row).is_file() for row in rows.values())

    ann, ben = world.people["ann"], world.people["ben"]
    given = ann.annotate(first, [choices("gull"), choices(["heron"], "absent")], lead_time=3.5)
    ben.annotate(second, [choices("tern")], lead_time=500.0, skipped=True)
    done = world.pull()
    assert done.acts == 2
    assert world.known() == {(rows[first], "gull"): POSITIVE, (rows[first], "heron"): NEGATIVE}
    log = list(world.project.workspace.log)
    assert {said.source for said in log} == {"label-studio"}
    assert sum(said.seconds for said in log if said.annotator == "ls:ann@example.com") == 3.5
    skips = [said for said in log if said.answer == "skip"]
    assert len(skips) == len(world.project.taxonomy)
    assert sum(said.seconds for said in skips) == 60.0, "an idle gap is cut"
    assert {said.annotator for said in skips} == {"ls:ben@example.com"}
    assert {said.question for said in log} == {f"ls:{world.link.tag}:{first}", f"ls:{world.link.tag}:{second}"}
    assert all(abs(said.time - time.time()) < 600 for said in log)

    assert world.pull().answers == 0, "nothing new, nothing appended"
    ann.update_annotation(given["id"], result=[choices('a & "b" <c>')], lead_time=5.0)
    assert world.pull().acts == 1
    assert world.known() == {(rows[first], 'a & "b" <c>'): POSITIVE}

    ann.delete_annotation(given["id"])
    assert world.pull().acts == 1
    assert world.known() == {}
    again = ann.annotate(first, [choices("gull")])
    ben.annotate(first, [choices("heron")])
    world.pull()
    assert world.known() == {(rows[first], "gull"): POSITIVE, (rows[first], "heron"): POSITIVE}

    world.owner.delete_tasks(world.link.project, [first])
    assert world.pull(whole=True).acts == 2
    assert world.known() == {}
    assert set(world.links.tasks(world.link.id)) == {second, third}
    assert (
        len([said for said in world.project.workspace.log if said.event.endswith(f":{again['updated_at']}:1:yes")]) <= 2
    )


def test_deletions_are_found_without_being_told(world):
    tasks = world.add_tasks(4)
    for task in tasks:
        world.people["ann"].annotate(task, [choices("gull")])
    world.pull()
    assert len(world.known()) == 4
    world.owner.request(
        "POST",
        "/api/dm/actions/",
        params={"id": "delete_tasks_annotations", "project": world.link.project},
        json={"selectedItems": {"all": False, "included": tasks[:2]}},
    )
    world.owner.delete_tasks(world.link.project, tasks[3:])
    world.links.update(world.link.id, swept=time.time() - 120)  # a minute may pass before counts are doubted
    world.pull()
    assert len(world.known()) == 1


def test_several_annotations_of_one_person_the_last_counts(world):
    (task,) = world.add_tasks(1)
    ann = world.people["ann"]
    ann.annotate(task, [choices("gull")])
    last = ann.annotate(task, [choices("tern")])
    world.pull()
    assert world.known() == {(0, "tern"): POSITIVE}
    ann.delete_annotation(last["id"])
    world.pull()
    assert world.known() == {(0, "gull"): POSITIVE}


def test_what_was_proposed_is_known_and_hidden_tasks_are_marked(world):
    shown, hidden, plain = world.add_tasks(3)
    world.pull()
    version = world.link.version
    region = {**choices("gull"), "score": 0.9}
    world.owner.import_predictions(
        world.link.project,
        [
            {"task": shown, "result": [region], "score": 0.1, "model_version": version},
            {"task": hidden, "result": [], "score": 0.2, "model_version": version},
        ],
    )
    world.links.queue(
        world.link.id,
        version,
        [Place(shown, 0.1, "random", False, (1,)), Place(hidden, 0.2, "chosen", True, (1,))],
    )
    listed = {task["id"]: task for task in world.owner.tasks(world.link.project)}
    ann = world.people["ann"]
    for task in (shown, hidden):
        parent = listed[task]["predictions"][0]["id"]
        ann.annotate(task, [choices("gull", origin="prediction")], prediction=parent, lead_time=2.0)
    ann.annotate(plain, [choices("heron", origin="manual")])
    world.pull()
    said = {said.question.rpartition(":")[2]: said.shown for said in world.project.workspace.log}
    assert said == {str(shown): True, str(hidden): False, str(plain): False}
    seen = {item.task: item for item in world.links.exposures(world.link.id)}
    assert (seen[shown].proposed, seen[shown].hidden, seen[shown].arm, seen[shown].untouched) == (
        (1,),
        False,
        "random",
        True,
    )
    assert (seen[hidden].proposed, seen[hidden].hidden, seen[hidden].untouched) == ((1,), True, False)
    assert (seen[plain].proposed, seen[plain].given, seen[plain].untouched) == ((), (0,), False)
    assert seen[shown].seconds == 2.0
    assert seen[shown].surprise is None, "there is no model yet"


def test_a_broken_picture_is_a_row_that_says_why_and_is_tried_again(world, tmp_path, monkeypatch):
    file = tmp_path / "broken.png"
    file.write_bytes(b"no picture at all")
    bad, missing = world.owner.import_tasks(
        world.link.project, [{"image": "/data/upload/999/none.png"}, {"image": "ftp://elsewhere/x.png"}]
    )
    world.add_tasks(1)
    done = world.pull()
    assert {task for task, _ in done.broken} == {bad, missing}
    assert done.new_images == 3
    errors = world.project.workspace.images.errors()
    assert len(errors) == 2
    assert world.pull().broken == (), "not tried again at once"
    world.people["ann"].annotate(bad, [choices("gull")])
    world.pull()
    assert len(world.known()) == 1, "an answer to it is kept"
    monkeypatch.setattr(picturing, "FIRST_PAUSE", 0.0)
    retries = world.project.workspace.root / picturing.FOLDER / picturing.RETRIES
    retries.unlink()
    assert len(world.pull().broken) == 2
    assert retries.is_file()


def test_new_classes_of_the_config_are_added_and_renamed_ones_stay_the_same(label_studio, tmp_path):
    def config(body):
        return f'<View><Image name="image" value="$pic"/><Choices name="kind" toName="image">{body}</Choices></View>'

    world = make_studio_world(
        label_studio,
        tmp_path,
        config=config('<Choice value="heron" alias="h"/><Choice value="gull"/>'),
        classes=["heron", "gull"],
    )
    try:
        (task,) = world.owner.upload_images(world.link.project, [picture(tmp_path / "x.png", (1, 2, 3))])
        world.people["ann"].annotate(task["id"], [choices("h", "kind")])
        world.pull()
        assert world.known() == {(0, "heron"): POSITIVE}
        wider = config('<Choice value="grey heron" alias="h"/><Choice value="gull"/><Choice value="ibis"/>')
        world.owner.update_project(world.link.project, label_config=wider)
        world.people["ben"].annotate(task["id"], [choices("ibis", "kind")])
        world.pull()
        assert world.project.taxonomy.names == ("grey heron", "gull", "ibis")
        assert world.known() == {(0, "grey heron"): POSITIVE, (0, "ibis"): POSITIVE}
        narrower = config('<Choice value="gull"/><Choice value="ibis"/>')
        world.owner.update_project(world.link.project, label_config=narrower)
        assert world.pull(whole=True).answers == 0, "an answer of a class that left the config stays"
        assert len(world.project.taxonomy) == 3
    finally:
        world.close()


def test_answers_on_known_images_are_taken_while_somebody_else_writes(world):
    (task,) = world.add_tasks(1)
    world.pull()
    (late,) = world.add_tasks(1, first=5)
    for number in (task, late):
        world.people["ann"].annotate(number, [choices("gull")])
    with WriterLock(world.project.workspace.root / "lock").hold("train"):
        done = world.pull()
    assert (done.acts, done.waiting, done.new_images) == (1, 1, 0)
    done = world.pull()
    assert (done.acts, done.waiting, done.new_images) == (1, 0, 1)
    assert len(world.known()) == 2


def test_pulls_at_the_same_time_append_nothing_twice(world):
    tasks = world.add_tasks(6)
    world.pull()
    for task in tasks:
        world.people["ann"].annotate(task, [choices("gull")])
    from spml_annotate.project import Project

    faults, counts = [], []

    def work():
        try:
            with Project(world.project.workspace.root) as mine:
                from spml_annotate.loop.pulling import pull

                counts.append(pull(mine, world.links, world.link, world.owner, world.fetcher, whole=True).answers)
        except Exception as error:  # told to the test below
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sum(counts) == 6 == len(world.project.workspace.log)


def test_who_waits_too_long_is_told(tmp_path):
    with locked(tmp_path), pytest.raises(MismatchError, match="reading Label Studio"), locked(tmp_path, patience=0.1):
        pass


def test_a_link_means_one_project_for_ever(world):
    again = add_link(world.project, world.links, world.owner, world.link.project)
    assert again.id == world.link.id
    older = world.links.add(world.owner.url, world.link.project, "2020-01-01T00:00:00Z", MAIN, world.link.config)
    with pytest.raises(MismatchError, match="another one"):
        world.pull(older)


def test_a_deleted_label_studio_project_takes_no_answer_back(world):
    (task,) = world.add_tasks(1)
    world.people["ann"].annotate(task, [choices("gull")])
    found = sync(world.project, world.links, world.owner, world.fetcher)
    assert found[MAIN].acts == 1
    other = world.owner.create_project("gone soon", world.link.config)
    gone = add_link(world.project, world.links, world.owner, other["id"], "verify")
    world.owner.delete_project(other["id"])
    with pytest.raises(RemoteError):
        world.pull(gone)
    assert set(sync(world.project, world.links, world.owner, world.fetcher)) == {MAIN}
    assert len(world.known()) == 1


def test_label_studio_restarts_in_the_middle(label_studio, world):
    (task,) = world.add_tasks(1)
    world.people["ann"].annotate(task, [choices("gull")])
    world.pull()
    label_studio.restart()
    world.people["ann"].annotate(task, [choices("tern")])
    world.pull()
    assert world.known() == {(0, "tern"): POSITIVE}
