"""Pushing and publishing: which backend is ours, what Label Studio refuses, a backend that is down, twins."""

import pytest
from round_world import round_world

from spml_annotate.loop import pushing
from spml_annotate.loop.links import MAIN, LinkStore, Place
from spml_annotate.loop.pushing import our_backend, publish, push
from spml_annotate.loop.queue import task_prediction
from spml_annotate.project import Project
from spml_annotate.studio.config import parse_config


@pytest.fixture
def link(tmp_path):
    links = LinkStore(tmp_path)
    yield links.add("http://ls", 7, "2026", MAIN, "<View/>")
    links.close()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(pushing, "WAITS", (0.05,))


def row(number, title="x", url="http://host:1", version=None):
    return {"id": number, "title": title, "url": url, "model_version": version}


def test_our_backend_is_told_by_its_number_then_its_version_then_its_port(link):
    other = row(1, "spml-0003-0000", "http://host:9091", "v1")
    assert our_backend([other], link, 9090) is None
    assert our_backend([], link, 9090) is None
    by_port = row(2, url="http://elsewhere:9090")
    assert our_backend([other, by_port], link, 9090) == by_port
    by_version = row(3, version=f"spml-0002-{link.tag}")
    assert our_backend([other, by_port, by_version], link, 9090) == by_version
    assert our_backend([other, by_port, by_version], link._replace(backend=1), 9090) == other
    assert our_backend([row(4, url="http://[broken:99999")], link, 9090) is None


def test_only_versions_of_ours_before_the_previous_one_are_old(link):
    ours = [f"spml-{number}-{link.tag}" for number in ("0000", "0002", "0009", "0010", "10000")]
    held = dict.fromkeys([*ours, "spml-0001-ffff", "somebody's", "undefined"], 1)
    assert pushing._older(held, link._replace(version=ours[4])) == ours[:3]
    assert pushing._older({ours[0]: 1}, link._replace(version=ours[0])) == []


@pytest.mark.slow
def test_a_refused_task_costs_the_others_nothing(label_studio, tmp_path):
    with round_world(tmp_path, label_studio, each=1) as world:
        config = parse_config(world.link.config)
        ready = [{"task": task, **task_prediction(config, {}, None, {}, "v9")} for task in [*world.tasks, 10**9]]
        assert pushing._send(world.client, world.project, ready, "v9", print) == (5, "")


@pytest.mark.slow
def test_queues_of_versions_long_gone_are_forgotten(label_studio, tmp_path):
    with round_world(tmp_path, label_studio, each=1) as world:
        places = [Place(task, 0.5, "chosen", False, ()) for task in world.tasks]
        ours = [f"spml-{number:04d}-{world.link.tag}" for number in range(20)]
        for version in ours:
            world.links.queue(world.link.id, version, places)
        publish(world.links, world.link, world.client, world.settings, version=ours[-1])
        assert sorted(world.links.queued(world.link.id)) == ours[-2 - pushing.QUEUES :]
        assert set(world.links.places(world.link.id, ours[-1])) == set(world.tasks)


@pytest.mark.slow
def test_twins_of_a_live_prediction_go_and_the_first_stays(label_studio, tmp_path):
    with round_world(tmp_path, label_studio, each=1) as world:
        world.round(train=False)
        version = world.link.version
        twice = {"task": world.tasks[0], "result": [], "score": 0.5, "model_version": version}
        world.client.import_predictions(world.project, [twice])
        (extra,) = world.client.upload_images(world.project, [world.pictures / "000.png"])
        world.round(train=False)
        stored = world.stored()[version]  # fails if there are two for a task
        assert set(stored) == {*world.tasks, extra["id"]}


@pytest.mark.slow
def test_publishing_without_a_backend_or_with_one_that_is_down_says_so(label_studio, tmp_path):
    with round_world(tmp_path, label_studio, each=1, connected=False) as world:
        done, said = world.round(train=False)
        assert any("no backend of ours" in line for line in said)
        assert "no backend of ours" in done.note
        assert world.client.project(world.project)["model_version"] == done.version
        world.client.connect_backend(world.project, world.backend.url, "mine")
        world.backend.faults["/health"] = (500, {"error": "down"})
        said = []
        publish(world.links, world.link, world.client, world.settings, say=said.append)
        assert any("cannot reach the backend" in line for line in said)
        del world.backend.faults["/health"]
        said = []
        publish(world.links, world.link, world.client, world.settings, say=said.append)
        assert said == []
        (backend,) = world.client.backends(world.project)
        assert backend["title"] == done.version


@pytest.mark.slow
def test_a_project_without_images_and_backend_has_nothing_to_publish_and_that_is_no_failure(label_studio, tmp_path):
    with round_world(tmp_path, label_studio, each=1, connected=False) as world:
        world.client.delete_tasks(world.project, world.tasks)
        done, _ = world.round(train=False)
        assert (done.pushed.sent, done.version) == (0, world.link.version)


@pytest.mark.slow
def test_pushing_the_version_in_use_again_replaces_it(label_studio, tmp_path):
    with round_world(tmp_path, label_studio, each=1) as world:
        world.round(train=False)
        before = {one["id"] for one in world.stored()[world.link.version].values()}
        with Project(world.folder) as project:
            nothing = push(project, world.links, world.link, world.client, world.settings)
            whole = push(project, world.links, world.link, world.client, world.settings, again=True)
        assert (nothing.sent, whole.sent) == (0, 5)
        assert not before & {one["id"] for one in world.stored()[world.link.version].values()}


@pytest.mark.slow
def test_the_order_stays_when_older_versions_are_deleted(label_studio, tmp_path):
    """With a live backend Label Studio forgets the project's version at every deletion of any version."""
    with round_world(tmp_path, label_studio, each=1) as world:
        world.round(train=False)
        older, previous = (f"spml-{number}-{world.link.tag}" for number in ("0001", "0002"))
        for version in (older, previous):
            made = [{"task": task, "result": [], "score": 0.5, "model_version": version} for task in world.tasks]
            world.client.import_predictions(world.project, made)
        publish(world.links, world.link, world.client, world.settings)
        assert set(world.client.model_versions(world.project)) == {world.link.version, previous}
        assert world.client.project(world.project)["model_version"] == world.link.version
