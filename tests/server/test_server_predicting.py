"""`/predict` says what was pushed; what it has not seen it looks at; what it cannot see costs the others nothing."""

import base64
from dataclasses import replace

import pytest
from backend_process import CONFIG, KEY, SEEN, answer_of, running

from spml_annotate.loop.links import LinkStore
from spml_annotate.loop.queue import task_prediction
from spml_annotate.server.app import create_app
from spml_annotate.server.backend import Backend
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.predictions import check_prediction


@pytest.fixture
def server(trained):
    settings = replace(trained.settings, poll_seconds=3600, train_each=0, fetch_seconds=5)
    with running(create_app(settings, trained.folder)) as client:
        yield client


def embedded(trained, name):
    """A task's data with the picture in it: no server is needed to fetch it."""
    content = base64.b64encode((trained.pictures / name).read_bytes()).decode()
    return {"photo": f"data:image/png;base64,{content}"}


def ask(server, tasks, config=CONFIG):
    answer = server.post("/predict", json={"project": KEY, "label_config": config, "tasks": tasks})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert len(results) == len(tasks)
    for task, result in zip(tasks, results, strict=True):
        assert check_prediction(parse_config(config), task["data"], result) == []
    return results


def known(trained):
    return [{"id": 100 + row, "data": {"photo": f"/data/upload/7/{trained.names[row]}"}} for row in range(SEEN)]


def test_a_single_answer_is_what_the_bulk_push_stored(trained, server):
    tasks, config = known(trained), parse_config(CONFIG)
    expected = [
        task_prediction(
            config, t["data"], trained.places[t["id"]], trained.shown.get(t["id"], {}), trained.link.version
        )
        for t in tasks
    ]
    assert ask(server, tasks) == expected
    assert [ask(server, [task])[0] for task in tasks[:3]] == expected[:3]
    hidden = [place.hidden for place in trained.places.values()]
    assert any(hidden)
    assert not all(hidden)
    assert len({result["score"] for result in expected}) == SEEN


def test_images_that_came_after_the_training_are_looked_at(trained, server):
    fresh = [{"id": 500 + n, "data": embedded(trained, name)} for n, name in enumerate(trained.names[SEEN:])]
    results = ask(server, fresh)
    shown = [
        (answer_of(result), trained.truth[name])
        for result, name in zip(results, trained.names[SEEN:], strict=True)
        if result["result"]
    ]
    assert len(shown) >= 3  # a fifth of all tasks is shown without proposal
    assert sum(given == true for given, true in shown) >= len(shown) - 1
    assert ask(server, fresh) == results


def test_what_cannot_be_seen_gets_an_empty_answer_and_the_others_theirs(trained, server):
    good = known(trained)[:2]
    bad = [
        {"id": 601, "data": {"photo": "http://169.254.169.254/latest/meta-data"}},
        {"id": 602, "data": {"photo": "data:image/png;base64,AAAA"}},
        {"id": 603, "data": {"photo": "/data/upload/7/gone.png"}},
        {"id": 604, "data": {}},
    ]
    results = ask(server, [good[0], *bad, good[1]])
    assert [result["result"] for result in results[1:-1]] == [[]] * len(bad)
    assert [results[0], results[-1]] == ask(server, good)
    assert 'spml_predictions_total{outcome="unreadable"} 4.0' in server.get("/metrics").text


def test_a_task_that_shows_another_image_now_is_looked_at_again(trained, server):
    number = next(t["id"] for t in known(trained) if not trained.places[t["id"]].hidden)
    name = next(name for name in trained.names[SEEN:])
    moved = ask(server, [{"id": number, "data": embedded(trained, name)}])[0]
    assert moved["score"] == trained.places[number].priority


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (CONFIG.replace('choice="single"', 'choice="multiple"'), "choices"),
        (CONFIG.replace('value="red"', 'value="red" alias="r&amp;1"'), "choices"),
        (CONFIG.replace("<Choices", "<Taxonomy").replace("</Choices", "</Taxonomy"), "taxonomy"),
    ],
)
def test_every_kind_of_config_gets_valid_predictions(trained, server, config, key):
    results = ask(server, known(trained), config)
    assert any(result["result"] for result in results)
    for result in results:
        assert all(list(region["value"]) == [key] for region in result["result"])


def test_the_answer_follows_the_version_of_the_link(trained, server):
    task = known(trained)[:1]
    assert ask(server, task)[0]["model_version"] == trained.link.version
    links = LinkStore(trained.folder)  # another process publishes
    links.update(trained.link.id, version="spml-0000-none", model="")
    links.close()
    assert ask(server, task) == [{"result": [], "score": 0.0, "model_version": "spml-0000-none"}]
    setup = server.post("/setup", json={"project": KEY, "schema": CONFIG}).json()
    assert setup == {"model_version": "spml-0000-none"}


def test_a_model_that_is_gone_leaves_empty_answers(trained, server, caplog):
    links = LinkStore(trained.folder)
    links.update(trained.link.id, version="spml-0009-abcd", model="0009")
    links.close()
    results = ask(server, known(trained)[:3])
    assert [result["result"] for result in results] == [[], [], []]
    assert caplog.text.count("cannot predict") == 1


def test_a_model_that_cannot_be_read_for_a_while_serves_on(trained, monkeypatch):
    monkeypatch.setattr("spml_annotate.server.predicting._AGAIN", 0.0)
    backend = Backend(replace(trained.settings, train_each=0), trained.folder)
    backend.open()
    try:
        asked = {"project": KEY, "label_config": CONFIG, "tasks": known(trained)}
        before = backend.predict(asked)
        served, model = backend.hub.served()[0], trained.folder / "models" / trained.link.model
        served.changes += 1  # as after a job
        away = model.rename(model.with_name("away"))
        assert backend.predict(asked) == before
        assert backend.predictor._snapshots[served.folder, trained.link.id][0] == served.changes - 1
        away.rename(model)
        assert backend.predict(asked) == before
        assert backend.predictor._snapshots[served.folder, trained.link.id][0] == served.changes
    finally:
        backend.close()
