"""The order in which tasks are served, the two arms, and what is proposed with them."""

from dataclasses import replace

import numpy as np
import pytest
from project_world import World, give_features, make_world

from spml_annotate.acquire.images import image_order, uncertainty
from spml_annotate.labels import NEGATIVE, POSITIVE, Observation
from spml_annotate.loop.links import MAIN, LinkStore, Place, Said, TaskRow
from spml_annotate.loop.queue import arm_of, build_queue, drawn, proposing_of, task_prediction
from spml_annotate.project import Project
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import check_prediction
from spml_annotate.workspace import Workspace

SETTINGS = StudioSettings(random_share=0.25)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), images=80)


@pytest.fixture
def fresh(world, tmp_path):
    """All images embedded, nothing known; one task for each, with other numbers than the rows."""
    folder = tmp_path / "project"
    with Project.create(folder, world.classes) as project:
        project.add_images(world.pictures)
        give_features(world, project)
        links = LinkStore(folder)
        link = links.add("http://ls", 7, "2026", MAIN, FORMS["pick"].config(project.taxonomy.names))
        links.put_tasks(link.id, [TaskRow(1000 + row, row, "", {"image": f"/{row}.png"}) for row in range(80)])
        yield project, links, link
        links.close()


def name_some(project: Project, world: World, rows) -> None:
    """One positive each, the first one there is."""
    truth = world.dataset.truth[[world.dataset.image_ids.index(name) for name in project.image_ids]]
    project.observe(
        [Observation(int(row), int(np.flatnonzero(truth[row] == POSITIVE)[0]), "yes", event=f"e{row}") for row in rows]
    )


def by_priority(places):
    return [place.task for place in sorted(places.values(), key=lambda place: place.priority)]


def test_before_any_model_every_task_has_a_place_of_its_own_and_nothing_is_proposed(fresh):
    project, links, link = fresh
    places, shown = build_queue(project, links, link, SETTINGS)
    assert set(places) == set(range(1000, 1080))
    priorities = [place.priority for place in places.values()]
    assert len(set(priorities)) == 80
    assert min(priorities) == 0.0
    assert max(priorities) < 1.0
    assert shown == {}
    assert all(place.proposed == () for place in places.values())
    assert build_queue(project, links, link, SETTINGS)[0] == places


def test_the_random_arm_is_drawn_once_and_served_at_its_share_from_the_start(fresh):
    project, links, link = fresh
    places, _ = build_queue(project, links, link, SETTINGS)
    order = by_priority(places)
    at_random = [task for task in order if places[task].arm == "random"]
    assert {task for task in order if arm_of(link, task, SETTINGS) == "random"} == set(at_random)
    assert 0.1 < len(at_random) / 80 < 0.4
    assert at_random == sorted(at_random, key=lambda task: drawn(link.tag, "order", task))
    first = [places[task].arm for task in order[:16]]
    assert [number for number, arm in enumerate(first) if arm == "random"] == [1, 5, 9, 13]
    everything = build_queue(project, links, link, replace(SETTINGS, random_share=1.0))[0]
    assert {place.arm for place in everything.values()} == {"random"}
    nothing = build_queue(project, links, link, replace(SETTINGS, random_share=0.0))[0]
    assert {place.arm for place in nothing.values()} == {"chosen"}


def test_chosen_images_come_in_the_order_of_their_worth(fresh, world):
    project, links, link = fresh
    without = replace(SETTINGS, random_share=0.0)
    order = by_priority(build_queue(project, links, link, without)[0])
    assert [task - 1000 for task in order] == list(image_order(project.features(), np.arange(80)))
    name_some(project, world, range(40))
    project.train(loss="an")
    order = by_priority(build_queue(project, links, link, without)[0])
    wanted = image_order(
        project.features(), np.arange(40, 80), labelled=np.arange(40), weights=uncertainty(project.scores())
    )
    assert [task - 1000 for task in order[:40]] == list(wanted)


def test_labelled_and_unusable_tasks_come_behind_and_unreadable_ones_last(fresh, world):
    project, links, link = fresh
    name_some(project, world, range(5))
    links.note(link.id, [Said(1010, "ls:a", 1, "t", {0: ("skip", "e")}, 2.0)])
    links.put_tasks(link.id, [TaskRow(2000, 20, "", {"image": "/again.png"})])  # the same image in a second task
    with project.workspace.writing("test"):
        project.workspace.images.flag(30, "cut off")
        project.workspace.images.set_split([40], 1)
    order = by_priority(build_queue(project, links, link, SETTINGS)[0])
    assert order[-1] == 1030
    behind = set(order[-9:-1])
    assert {1000, 1001, 1002, 1003, 1004, 1010, 1040} < behind
    assert len(behind & {1020, 2000}) == 1


def test_with_a_model_proposals_are_its_best_class_and_valid(fresh, world):
    project, links, link = fresh
    name_some(project, world, range(40))
    project.train(loss="an", epochs=100)
    places, shown = build_queue(project, links, link, SETTINGS)
    config, scores = parse_config(link.config), project.scores()
    for task, place in places.items():
        best = int(np.argmax(scores[task - 1000]))
        assert place.proposed == (best,)
        assert shown[task] == {project.taxonomy.names[best]: pytest.approx(float(scores[task - 1000, best]))}
        made = task_prediction(config, {"image": "/x.png"}, place, shown[task], "v1")
        assert check_prediction(config, {"image": "/x.png"}, made) == []
        assert made["score"] == place.priority
    assert by_priority(places)[:30] != list(range(1040, 1070))


def test_hidden_tasks_keep_their_place_and_show_nothing(fresh, world):
    project, links, link = fresh
    name_some(project, world, range(40))
    project.train(loss="an")
    half = replace(SETTINGS, hidden_share=0.5)
    places, shown = build_queue(project, links, link, half)
    hidden = [place for place in places.values() if place.hidden]
    assert 0.3 < len(hidden) / 80 < 0.7
    config = parse_config(link.config)
    for place in places.values():
        assert place.proposed
        made = task_prediction(config, {"image": "/x.png"}, place, shown[place.task], "v1")
        assert bool(made["result"]) is not place.hidden
    same = build_queue(project, links, link, SETTINGS)[0]
    assert {t: p.priority for t, p in same.items()} == {t: p.priority for t, p in places.items()}


MULTIPLE = '<View><Image name="i" value="$image"/><Choices name="c" toName="i" choice="multiple">{}</Choices></View>'


def test_of_several_choices_all_likely_ones_and_never_what_is_known_to_be_absent(fresh, world):
    project, _, _ = fresh
    name_some(project, world, range(40))
    project.train(loss="an", epochs=100)
    model = project.workspace.models.current()
    names = project.taxonomy.names
    config = parse_config(
        MULTIPLE.format("".join(f'<Choice value="{name}" alias="a{i}"/>' for i, name in enumerate(names)))
    )
    proposing = proposing_of(project.workspace, model, SETTINGS)
    values = np.zeros(len(names))
    values[[3, 5, 7]] = 0.9, 0.4, 0.6
    assert proposing.labels(config, {}, values) == (3, 7)
    assert proposing.labels(config, {}, np.where(values == 0.9, 0.1, values * 0.5)) == (7,)  # never nothing
    codes = np.full(len(names), -1, dtype=np.int8)
    codes[3] = NEGATIVE
    assert proposing.labels(config, {}, values, codes) == (7,)
    strict = proposing_of(project.workspace, model, replace(SETTINGS, threshold=0.7))
    assert strict.labels(config, {}, values) == (3,)
    assert strict.labels(config, {}, values * 0.5) == ()
    assert proposing.shown(config, {}, (3, 7), values) == {names[3]: 0.9, names[7]: 0.6}


def test_choices_of_the_task_limit_what_is_proposed(fresh, world):
    project, _, _ = fresh
    name_some(project, world, range(40))
    project.train(loss="an")
    names = project.taxonomy.names
    config = parse_config(
        '<View><Image name="i" value="$image"/><Choices name="c" toName="i" choice="single" value="$options"/></View>'
    )
    proposing = proposing_of(project.workspace, project.workspace.models.current(), SETTINGS)
    values = np.linspace(0.1, 0.9, len(names))
    data = {"options": [{"value": names[2]}, {"value": "none of ours"}, {"value": names[4]}]}
    assert proposing.labels(config, data, values) == (4,)
    assert list(proposing.shown(config, data, (4,), values)) == [names[4]]
    assert proposing.labels(config, {"options": []}, values) == ()


def test_classes_that_came_after_the_model_are_not_proposed(fresh, world):
    project, links, link = fresh
    name_some(project, world, range(40))
    project.train(loss="an")
    project.add_classes(["brand new"])
    links.update(link.id, config=FORMS["pick"].config(project.taxonomy.names))
    _, shown = build_queue(project, links, links.get(link.id), SETTINGS)
    assert len(shown) == 80
    assert not any("brand new" in one for one in shown.values())


def test_images_that_came_after_the_embedding_have_a_place_too(fresh, world, tmp_path):
    project, links, link = fresh
    from PIL import Image

    (tmp_path / "more").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "more" / "late.png")
    project.add_images(tmp_path / "more")
    links.put_tasks(link.id, [TaskRow(3000, 80, "", {"image": "/late.png"})])
    places, _ = build_queue(project, links, link, replace(SETTINGS, random_share=0.0))
    assert by_priority(places)[-1] == 3000


def test_a_place_that_is_not_there_is_served_first():
    config = parse_config(FORMS["pick"].config(["a", "b"]))
    made = task_prediction(config, {"image": "/x.png"}, None, {"a": 0.7}, "v")
    assert made["score"] == 0.0
    assert made["result"][0]["value"] == {"choices": ["a"]}
    hidden = task_prediction(config, {}, Place(1, 0.5, "random", True, (0,)), {"a": 0.7}, "v")
    assert (hidden["result"], hidden["score"]) == ([], 0.5)


def test_opening_the_folder_elsewhere_gives_the_same_thresholds(fresh, world):
    project, _, _ = fresh
    name_some(project, world, range(40))
    project.train(loss="an")
    with Workspace.open(project.workspace.root) as other:
        mine = proposing_of(project.workspace, project.workspace.models.current(), SETTINGS)
        theirs = proposing_of(other, other.models.current(), SETTINGS)
    assert (mine.thresholds == theirs.thresholds).all()
