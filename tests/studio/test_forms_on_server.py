"""The configs of the forms on a real Label Studio: accepted, served again as they were, and answered."""

from __future__ import annotations

import pytest
from PIL import Image
from strategies_configs import NASTY

from spml_annotate.studio.annotations import read_annotation
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import check_prediction, prediction

pytestmark = pytest.mark.slow
MANY = tuple(f"class {number}" for number in range(400))
ANSWERED = {
    "pick": {"label": ["dog"], "absent": ["cat"]},
    "verify": {"verdict": ["no"]},
    "page": {"label": ["cat"], "unsure": ["dog"]},
    "list": {"label": ["cat"], "complete": ["yes"]},
    "exhaust": {"label": ["cat", "$5 note"]},
}
MEANT = {
    "pick": {"dog": "yes", "cat": "no"},
    "verify": {"cat": "no"},
    "page": {"cat": "yes", "dog": "unsure", "line\nbreak": "no"},
    "list": {"cat": "yes", **{name: "no" for name in NASTY if name != "cat"}},
    "exhaust": {name: "yes" if name in ("cat", "$5 note") else "no" for name in NASTY},
}
ASKED = {**dict.fromkeys(FORMS, NASTY), "verify": ("cat",), "page": ("cat", "dog", "line\nbreak")}


@pytest.fixture
def client(label_studio):
    with label_studio.client() as client:
        yield client


@pytest.fixture
def made(client):
    """Makes a project with a config and deletes it afterwards."""
    ids = []

    def make(config):
        ids.append(client.create_project("a project of forms", config)["id"])
        return ids[-1]

    yield make
    for project in ids:
        client.delete_project(project)


def regions(chosen):
    return [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": words}}
        for name, words in chosen.items()
    ]


@pytest.mark.parametrize("kind", FORMS)
def test_the_server_accepts_the_config_of_any_classes(client, kind):
    for names in (NASTY, MANY, ("alone",)):
        client.validate_config(FORMS[kind].config(names))


@pytest.mark.parametrize("kind", FORMS)
def test_an_answer_comes_back_as_it_was_given(client, made, kind):
    form = FORMS[kind]
    project = made(form.config(NASTY))
    config = parse_config(client.project(project)["label_config"])
    data = form.task("http://localhost/1.png", "1.png", "q1", ASKED[kind], ("cat",), ("cat", "cow"))
    (task,) = client.import_tasks(project, [data])
    assert client.task(task)["data"] == data
    shown = form.prefill(config, data, ["cat"], "v1", 0.25)
    shown = shown or prediction(config, data, {"cat": 0.7}, priority=0.25, version="v1")
    client.import_predictions(project, [{"task": task, **shown}])
    stored = client.task(task)["predictions"][0]
    assert check_prediction(config, data, stored) == []
    assert [found["value"] for found in stored["result"]] == [found["value"] for found in shown["result"]]
    assert stored["score"] == 0.25
    client.annotate(task, regions(ANSWERED[kind]), lead_time=2.5, prediction=stored["id"])
    page, (listed,) = client.task(task), list(client.tasks(project))
    for body in (page, listed):
        (annotation,) = body["annotations"]
        given = read_annotation(config, body["data"], annotation, body["predictions"])
        assert form.answers(given, ASKED[kind]) == MEANT[kind]
        assert (given.task, given.seconds, given.unknown) == (task, 2.5, ())
        assert given.version == "v1"
        assert given.shown == ({"label": ("cat",)} if kind != "verify" else {})
        assert given.user is not None


def test_pick_needs_no_proposed_negatives(client, made, tmp_path):
    project = made(FORMS["pick"].config(["cat", "dog"]))
    file = tmp_path / "a b.png"
    Image.new("RGB", (8, 8), "red").save(file)
    (uploaded,) = client.upload_images(project, [file])
    assert list(uploaded["data"]) == ["image"]
    config = parse_config(client.project(project)["label_config"])
    assert config.reference(uploaded["data"]).endswith("a_b.png")
    client.import_tasks(project, [{"image": "http://localhost/2.png"}])


def test_a_class_that_was_taken_out_is_unknown_then(client, made):
    project = made(FORMS["exhaust"].config(["cat", "dog"]))
    (task,) = client.import_tasks(project, [{"image": "http://localhost/2.png"}])
    client.annotate(task, regions({"label": ["cat", "dog"]}))
    client.update_project(project, label_config=FORMS["exhaust"].config(["cat", "hound"]))
    config = parse_config(client.project(project)["label_config"])
    given = read_annotation(config, {}, client.task(task)["annotations"][0])
    assert given.unknown == ("dog",)
    assert FORMS["exhaust"].answers(given, ["cat", "hound"]) == {"cat": "yes"}
