"""The routes: any body to any of them gives a short JSON answer, and what Label Studio really sends is understood."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from backend_process import CONFIG, KEY, payload, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spml_annotate.server.app import create_app
from spml_annotate.server.jobs import JobStore
from spml_annotate.server.security import access, basic_header
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.predictions import check_prediction

QUIET = StudioSettings(poll_seconds=3600, train_each=0)
BASIC = ("ann", "a long password")
ROUTES = ("/", "/health", "/setup", "/predict", "/webhook", "/versions", "/metrics", "/train", "/nonsense")


@pytest.fixture(scope="module")
def served(trained_once, tmp_path_factory):
    """A server of projects that it makes itself."""
    app = create_app(replace(QUIET, model_dir=tmp_path_factory.mktemp("models")))
    with running(app) as client:
        client.app = app
        yield client


@pytest.fixture
def locked(tmp_path):
    app = create_app(replace(QUIET, model_dir=tmp_path / "models", basic=BASIC, max_body=1000))
    with running(app) as client:
        yield client


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
tasks = st.lists(junk | st.fixed_dictionaries({"id": junk, "data": junk}), max_size=4)
shaped = st.fixed_dictionaries(
    {},
    optional={
        "project": junk | st.just(KEY) | st.fixed_dictionaries({"id": junk, "created_at": junk, "label_config": junk}),
        "tasks": junk | tasks,
        "label_config": junk | st.just(CONFIG),
        "schema": junk | st.just(CONFIG),
        "action": junk | st.sampled_from(["START_TRAINING", "ANNOTATION_CREATED", "TASKS_DELETED"]),
        "hostname": junk,
        "access_token": junk,
        "params": junk,
        "annotation": junk,
    },
)
bodies = st.binary(max_size=60) | (junk | shaped).map(lambda value: json.dumps(value).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ROUTES), st.sampled_from(["GET", "POST", "PUT", "DELETE"]), bodies)
def test_any_body_to_any_route_gives_a_short_answer(served, route, method, body):
    answer = served.request(method, route, content=body)
    assert 200 <= answer.status_code < 500
    if route != "/metrics" or answer.status_code != 200:
        said = answer.json()
        assert isinstance(said, dict)
        if answer.status_code >= 400:
            assert set(said) == {"error"}
            assert len(said["error"]) < 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks, st.sampled_from([CONFIG, "", "<View/>", "<<<"]), st.sampled_from([KEY, "8.5", 9]))
def test_there_is_one_valid_result_for_each_task_whatever_the_tasks_are(served, found, config, project):
    body = json.dumps({"tasks": found, "project": project, "label_config": config})
    answer = served.post("/predict", content=body)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert len(results) == len(found)
    for result in results:
        assert check_prediction(parse_config(CONFIG), {}, result) == []
        assert result["model_version"] == answer.json()["model_version"]


def test_setup_makes_a_project_once_and_says_the_same_version_again(served):
    body = {"project": "31.1795220470", "schema": CONFIG, "hostname": "http://ls.example", "access_token": "t" * 40}
    first = served.post("/setup", json=body).json()["model_version"]
    assert first.startswith("spml-0000-")
    assert served.post("/setup", json=body).json() == {"model_version": first}
    assert first in served.get("/versions").json()["versions"]
    other = served.post("/setup", json={**body, "project": "31.1795220999"}).json()["model_version"]
    assert other != first  # ids are used again, by other servers or after a reset


def test_a_config_without_classes_never_leaves_the_version_empty(served):
    body = {"project": "32.1", "schema": "<View><Image name='i' value='$i'/></View>", "hostname": ""}
    version = served.post("/setup", json=body).json()["model_version"]
    assert version
    answer = served.post("/predict", json={"tasks": [{"id": 1, "data": {}}], "project": "32.1", "label_config": "x"})
    assert answer.json()["results"] == [{"result": [], "score": 0.0, "model_version": version}]
    mended = served.post("/setup", json={**body, "schema": CONFIG}).json()["model_version"]
    assert mended != version


def test_health_tells_that_it_is_up(served):
    for route in ("/", "/health"):
        said = served.get(route).json()
        assert (said["status"], said["model_class"]) == ("UP", "SPML")


def test_start_training_is_on_the_disk_when_it_is_answered(served):
    body = {"project": "33.1795220470", "schema": CONFIG, "hostname": "http://ls.example", "access_token": ""}
    served.post("/setup", json=body)
    project = {"id": 33, "created_at": "2026-11-21T00:21:10.688525Z"}
    answer = served.post("/webhook", json={"action": "START_TRAINING", "project": project})
    assert answer.json()["status"] == "queued"
    folder = served.app.state.backend.settings.model_dir / "ls.example-33-1795220470"
    store = JobStore(folder)
    assert [(job.kind, job.reason) for job in store.jobs()] == [("train", "START_TRAINING")]
    store.close()


@pytest.mark.parametrize("action", ["ANNOTATION_DELETED", "ANNOTATIONS_DELETED", "ANNOTATIONS_CREATED", "NEW"])
def test_both_spellings_and_unknown_actions_are_fine(served, action):
    answer = served.post("/webhook", json={"action": action, "project": {"id": 33}})
    assert answer.status_code == 200


def test_what_label_studio_really_sends_is_understood(served, checkout):
    shared = Path(checkout).parent / "shared"
    if not (shared / "label_studio" / "samples").is_dir():
        pytest.skip("../shared/label_studio/samples is not beside this checkout")
    version = served.post("/setup", json=payload("setup", shared)).json()["model_version"]
    assert version.startswith("spml-0000-")
    for name, count in (("predict_single", 1), ("predict_batch", 2), ("predict_interactive", 1)):
        answer = served.post("/predict", json=payload(name, shared))
        results = answer.json()["results"]
        assert len(results) == len(payload(name, shared)["tasks"]) >= count
        assert {result["model_version"] for result in results} == {version}
    for file in sorted((shared / "label_studio" / "samples").glob("webhook_*.json")):
        answer = served.post("/webhook", json=payload(file.stem, shared))
        assert answer.status_code == 200
        expected = "queued" if "START" in file.stem else ("noted", "ignored")
        assert answer.json()["status"] in expected


def test_a_password_is_wanted_everywhere_but_of_watchdogs(locked):
    right = {"Authorization": basic_header(BASIC)}
    label_studio = {"User-Agent": "heartex/1.23.2"}
    for method, route in (("GET", "/health"), ("POST", "/setup"), ("POST", "/predict"), ("GET", "/versions")):
        assert locked.request(method, route, json={}, headers=label_studio).status_code == 401
        wrong = {"Authorization": basic_header(("ann", "guess"))}
        assert locked.request(method, route, json={}, headers=wrong).status_code == 401
        assert locked.request(method, route, json={}, headers=right).status_code in (200, 422)
    for method, route in (("POST", "/setup"), ("POST", "/predict"), ("GET", "/versions"), ("GET", "/metrics")):
        refused = locked.request(method, route, json={})
        assert refused.status_code == 401
        assert "www-authenticate" in refused.headers
    assert locked.get("/").status_code == 200
    assert locked.get("/health").json()["status"] == "UP", "a watchdog has no password"


@pytest.mark.parametrize("word", ["plain", "schlüssel", "鍵"])
def test_passwords_in_any_letters(word):
    basic = ("me", word)
    assert access(basic_header(basic), basic) == "granted"
    if word != "鍵":  # Label Studio sends Latin-1
        sent = "Basic " + base64.b64encode(f"me:{word}".encode("latin-1")).decode()
        assert access(sent, basic) == "granted"
    for guess in ("", "?", "??", word[:-1], word + " "):
        assert access(basic_header(("me", guess)), basic) == "wrong"
    assert access(None, basic) == "missing"


@pytest.mark.parametrize("route", ["/setup", "/predict", "/webhook"])
def test_web_pages_that_somebody_opens_cannot_make_their_browser_ask(served, route):
    """A browser sends such a request to 127.0.0.1 without asking anybody, and says from where it came."""
    for origin in ("http://evil.example", "null"):
        plain = {"Origin": origin, "Content-Type": "text/plain"}
        body = json.dumps({"project": "61.5", "schema": CONFIG, "action": "START_TRAINING", "tasks": []})
        assert served.post(route, content=body, headers=plain).status_code == 403
    assert not [path for path in served.app.state.backend.settings.model_dir.iterdir() if "-61-" in path.name]


def test_no_request_is_sent_on_to_a_host_that_it_names(served):
    assert served.post("/setup/", json={}, headers={"Host": "evil.example"}).status_code == 404


def test_an_index_of_thousands_of_digits_fails_no_prediction(trained):
    config = CONFIG.replace("$photo", f"$photo[{'1' * 5000}]")
    with running(create_app(QUIET, trained.folder)) as client:
        body = {"project": KEY, "label_config": config, "tasks": [{"id": 100, "data": {"photo": ["x.png"]}}]}
        answer = client.post("/predict", json=body)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


def test_a_webhook_without_password_is_a_hint_and_no_more(locked):
    right = {"Authorization": basic_header(BASIC)}
    project = {"id": 41, "created_at": "2026-11-21T00:21:10Z", "label_config": CONFIG}
    start = {"action": "START_TRAINING", "project": project}
    assert locked.post("/webhook", json=start).json() == {"status": "ignored"}  # no project is made
    locked.post("/setup", json={"project": "41.1795220470", "schema": CONFIG}, headers=right)
    assert locked.post("/webhook", json=start).json() == {"status": "noted"}  # and nothing is trained
    assert locked.post("/webhook", json=start, headers={"Authorization": "Basic eDp5"}).status_code == 401
    assert locked.post("/webhook", json=start, headers=right).json()["status"] == "queued"


def test_bodies_over_the_limit_are_refused_while_they_arrive(locked):
    right = {"Authorization": basic_header(BASIC)}
    assert locked.post("/predict", content=b"x" * 1001, headers=right).status_code == 413

    def endless():
        for _ in range(100):
            yield b"x" * 100

    answer = locked.post("/predict", content=endless(), headers=right)
    assert answer.status_code == 413
    assert "SPML_MAX_BODY_MB" in answer.json()["error"]


def test_metrics_are_readable_and_count(served):
    served.get("/health")
    text = served.get("/metrics").text
    assert 'spml_requests_total{route="/health",status="200"}' in text
    assert "spml_jobs" in text


def test_a_project_that_was_given_serves_only_labels_that_it_has(trained, caplog):
    app = create_app(QUIET, trained.folder)
    with running(app) as client:
        fits = client.post("/setup", json={"project": "50.5", "schema": CONFIG}).json()["model_version"]
        assert fits.startswith("spml-0000-")
        other = CONFIG.replace('"stripes"', '"zebra"')
        answer = client.post("/setup", json={"project": "51.5", "schema": other}).json()
        assert answer == {"model_version": "spml-0000-none"}
        assert "no class 'zebra'" in caplog.text
        body = {"project": "51.5", "label_config": other, "tasks": [{"id": 1, "data": {"photo": "x"}}]}
        assert client.post("/predict", json=body).json()["results"][0]["result"] == []
