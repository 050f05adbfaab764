"""Whole rounds against the real Label Studio: cold, trained, again for nothing, with newcomers, and cut off."""

import re

import pytest
from round_world import KINDS, proxied, round_world
from simple_pictures import draw

from spml_annotate.errors import RemoteError
from spml_annotate.loop import pushing
from spml_annotate.loop.links import version_name
from spml_annotate.loop.queue import arm_of
from spml_annotate.project import Project
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.predictions import check_prediction

pytestmark = pytest.mark.slow


@pytest.fixture
def world(label_studio, tmp_path):
    with round_world(tmp_path, label_studio) as made:
        yield made


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(pushing, "WAITS", (0.05, 0.05))


def test_from_nothing_to_a_second_model(world, label_studio):
    cold, said = world.round(train=True)
    assert cold.version == world.link.version == version_name("", world.link.tag)
    assert (cold.trained, cold.new_images, cold.embedded, cold.answers) == (None, 40, 40, 0)
    assert sum("pretrained weights do much better" in line for line in said) == 1
    stored = world.stored()
    assert set(stored) == {cold.version}
    assert set(stored[cold.version]) == set(world.tasks)
    assert all(one["result"] == [] for one in stored[cold.version].values())
    scores = {task: one["score"] for task, one in stored[cold.version].items()}
    assert len(set(scores.values())) == 40
    (row,) = world.client.backends(world.project)
    assert (row["title"], world.client.project(world.project)["model_version"]) == (cold.version, cold.version)
    assert world.link.backend == row["id"]
    first = sorted(world.tasks, key=scores.__getitem__)
    assert len({world.truth[task] for task in first[:8]}) >= 4, "diverse images first"
    assert world.client.next_task(world.project)["id"] == first[0]

    labelled = first[:24]
    world.label(labelled)
    trained, said = world.round(train=True)
    assert trained.version == world.link.version == version_name("0001", world.link.tag)
    assert trained.answers == 24
    assert (trained.trained.loss, trained.trained.positives) == ("an", 24)
    assert not any("pretrained" in line for line in said), "said once"
    stored = world.stored()
    assert set(stored) == {cold.version, trained.version}
    new = stored[trained.version]
    assert set(new) == set(world.tasks)
    open_tasks = [task for task in world.tasks if task not in labelled]
    proposed = {task: new[task]["result"][0]["value"]["choices"] for task in open_tasks}
    assert sum(proposed[task] == [world.truth[task]] for task in open_tasks) >= 12  # of 16; by chance 3
    assert all(0 < new[task]["result"][0]["score"] <= 1 for task in open_tasks)
    assert max(new[task]["score"] for task in open_tasks) < min(new[task]["score"] for task in labelled)
    (row,) = world.client.backends(world.project)
    assert (row["title"], row["model_version"]) == (trained.version, trained.version)
    with label_studio.client(label_studio.annotators["ann@example.com"]) as ann:
        assert ann.next_task(world.project)["id"] == min(open_tasks, key=lambda task: new[task]["score"])

    ids = {task: one["id"] for task, one in new.items()}
    again, said = world.round(train=True)
    assert (again.version, again.trained, again.pushed.sent) == (trained.version, None, 0)
    assert any("nothing has changed" in line for line in said)
    assert {task: one["id"] for task, one in world.stored()[trained.version].items()} == ids

    world.label(open_tasks[:4])
    second, _ = world.round(train=True)
    assert second.version == version_name("0002", world.link.tag)
    assert set(world.stored()) == {trained.version, second.version}, "the version before stays, older ones go"
    arms = {place.task: place.arm for place in world.links.places(world.link.id, second.version).values()}
    assert arms == {task: arm_of(world.link, task, world.settings) for task in world.tasks}


def test_newcomers_join_the_version_in_use_and_what_cannot_be_read_is_last(world, tmp_path):
    world.round(train=False)
    world.label(world.tasks[:10])
    version = world.round(train=True)[0].version
    before = {task: one["id"] for task, one in world.stored()[version].items()}
    import numpy as np

    draw(KINDS[0], np.random.default_rng(99)).save(tmp_path / "new.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    new, broken = (
        task["id"]
        for task in world.client.upload_images(world.project, [tmp_path / "new.png", tmp_path / "broken.png"])
    )
    done, _ = world.round(train=False)
    assert (done.version, done.trained, done.pushed.sent) == (version, None, 2)
    stored = world.stored()[version]
    assert {task: one["id"] for task, one in stored.items() if task in before} == before
    assert stored[new]["result"]
    assert stored[broken]["result"] == []
    assert done.unreadable == 1
    world.truth[new] = KINDS[0]
    world.label([new])
    after, _ = world.round(train=True)
    last = world.stored()[after.version]
    assert last[broken]["result"] == []
    assert max(last, key=lambda task: last[task]["score"]) == broken


def test_label_studio_goes_away_between_two_batches(world, label_studio, monkeypatch):
    monkeypatch.setattr(pushing, "BATCH", 10)
    world.round(train=False)
    world.label(world.tasks[:12])
    with proxied(label_studio) as (proxy, client):
        pushes = []

        def away_after_two(method, path):
            if path.endswith("/import/predictions"):
                pushes.append(path)
            return 503 if len(pushes) > 2 else ""

        proxy.hook = away_after_two
        with pytest.raises(RemoteError):
            world.round(train=True, client=client)
        assert world.link.version == version_name("", world.link.tag), "a half-pushed version is not in use"
        assert world.client.model_versions(world.project)[version_name("0001", world.link.tag)] == 20
        proxy.hook = lambda method, path: ""
        done, _ = world.round(train=True, client=client)
    assert done.trained is None, "the model was there already"
    assert done.version == version_name("0001", world.link.tag)
    assert len(world.stored()[done.version]) == 40


def test_a_lost_answer_does_not_send_a_batch_twice(world, label_studio, monkeypatch):
    monkeypatch.setattr(pushing, "BATCH", 10)
    lost = []

    def lose_one(method, path):
        if path.endswith("/import/predictions") and not lost:
            lost.append(path)
            return "lose"
        return ""

    with proxied(label_studio) as (proxy, client):
        proxy.hook = lose_one
        done, _ = world.round(train=False, client=client)
    assert lost
    assert len(world.stored()[done.version]) == 40


def test_a_push_that_is_refused_for_good_is_published_all_the_same(world, label_studio):
    world.round(train=False)
    world.label(world.tasks[:12])
    with proxied(label_studio) as (proxy, client):
        proxy.hook = lambda method, path: 400 if path.endswith("/import/predictions") else ""
        done, said = world.round(train=True, client=client)
    assert done.version == world.link.version == version_name("0001", world.link.tag)
    assert "refused 40 of 40 predictions" in done.note
    assert done.note in "; ".join(said)
    (backend,) = world.client.backends(world.project)
    assert backend["title"] == done.version
    mended, _ = world.round(train=False)
    assert (mended.pushed.sent, mended.note) == (40, "")


def test_a_model_trained_by_hand_is_published_by_the_next_round(world):
    world.round(train=False)
    world.label(world.tasks[:10])
    world.round(train=False)
    with Project(world.folder) as project:
        project.train()
    done, _ = world.round(train=False)
    assert done.version == world.link.version == version_name("0001", world.link.tag)
    assert world.link.model == "0001"
    assert set(world.stored()) == {version_name("", world.link.tag), done.version}


def test_a_class_that_leaves_the_config_leaves_the_proposals(world):
    world.label(world.tasks[:24])
    trained, _ = world.round(train=True)
    xml = world.client.project(world.project)["label_config"]
    gone = KINDS[0]
    before = world.stored()[trained.version]
    held = [task for task, one in before.items() if one["result"][0]["value"]["choices"] == [gone]]
    assert held

    world.client.update_project(world.project, label_config=re.sub(rf'<Choice value="{gone}"[^>]*/>', "", xml))
    after, _ = world.round(train=True)
    assert after.trained is None, "the model knows enough"
    assert after.version == trained.version == world.client.project(world.project)["model_version"]
    stored = world.stored()[trained.version]
    config = parse_config(world.link.config)
    assert gone not in config.classes
    assert set(stored) == set(world.tasks)
    for task in world.client.tasks(world.project):
        assert check_prediction(config, task["data"], stored[task["id"]]) == []
    assert all(stored[task]["result"] for task in held if task not in world.tasks[:24]), "the next best instead"

    world.client.update_project(
        world.project, label_config=world.link.config.replace("</Choices>", '<Choice value="new"/></Choices>', 1)
    )
    ids = {one["id"] for one in stored.values()}
    quiet, _ = world.round(train=False)
    assert quiet.pushed.sent == 0, "a class that was added makes nothing wrong"
    assert {one["id"] for one in world.stored()[trained.version].values()} == ids


def test_why_nothing_is_trained_where_no_labelled_picture_may_be_read(world, caplog):
    key = parse_config(world.link.config).key
    there = [{"data": {key: f"http://127.0.0.9:1/{number}.png"}} for number in range(9)]
    tasks = world.client.import_tasks(world.project, there)
    world.truth |= dict.fromkeys(tasks, KINDS[0])
    world.label(tasks)
    done, said = world.round(train=True)
    assert done.trained is None
    (why,) = [line for line in said if line.startswith("nothing to train on")]
    assert "all 9 labelled images" in why
    assert "no host that images may come from" in why
    assert sum("127.0.0.9" in line for line in caplog.messages) == 5, "a few are enough"
    assert "... and 4 more tasks have none" in caplog.messages
