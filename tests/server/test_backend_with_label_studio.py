"""The whole loop with the real Label Studio: connect, cold queue, answers, training, a new version, kills."""

import json
import os
import signal

import pytest
from backend_process import CONFIG, BackendProcess, Studio, answer_of

from spml_annotate.errors import RemoteError

pytestmark = pytest.mark.slow
UNCERTAIN = "Uncertainty sampling"


@pytest.fixture
def studio(label_studio, tmp_path):
    made = Studio(label_studio, tmp_path / "pictures", 40)
    made.client.update_project(made.id, sampling=UNCERTAIN)
    yield made
    made.close()


@pytest.fixture
def backend(label_studio, tmp_path):
    made = BackendProcess(tmp_path / "models", label_studio.url, label_studio.personal_token)
    yield made
    made.stop()


def trained(backend):
    return backend.until(lambda: [j for j in backend.jobs() if j.kind == "train" and j.state in ("done", "failed")])


def by_score(predictions):
    return sorted(predictions, key=lambda task: predictions[task]["score"])


def test_from_connecting_to_a_new_version_that_stays(studio, backend):
    backend.start()
    row = studio.connect(backend)
    backend.until(backend.idle)
    cold = studio.model_version()
    assert cold.startswith("spml-0000-")
    queue = studio.predictions(cold)
    assert set(queue) == set(studio.tasks)
    assert all(not one["result"] for one in queue.values())
    order = by_score(queue)
    annotator = next(iter(studio.annotators.values()))
    assert annotator.next_task(studio.id)["id"] == order[0]

    studio.label(order[:24])
    studio.client.train_backend(row)
    assert trained(backend)[0].state == "done"
    backend.until(lambda: backend.idle() and studio.model_version() != cold)
    version = studio.model_version()
    assert version.startswith("spml-0001-")
    assert studio.client.backends(studio.id)[0]["title"] == version
    proposed = studio.predictions(version)
    assert set(proposed) == set(studio.tasks)
    right = sum(answer_of(proposed[task]) == studio.tasks[task] for task in order[24:])
    assert right >= 10  # of 16; chance is 3
    scores = [one["score"] for one in proposed.values()]
    assert len(set(scores)) == len(scores)
    waiting = [task for task in by_score(proposed) if task in order[24:]]
    assert annotator.next_task(studio.id)["id"] in waiting[:2]  # one may be locked from before

    tasks = [{"id": task, "data": studio.client.task(task)["data"]} for task in list(proposed)[:10]]
    body = {"project": str(studio.id), "label_config": CONFIG, "tasks": tasks}
    for task, live in zip(tasks, backend.post("/predict", body).json()["results"], strict=True):
        assert live["result"] == proposed[task["id"]]["result"]
        assert live["score"] == pytest.approx(proposed[task["id"]]["score"])

    before = len(backend.jobs())
    polls = backend.metric("spml_pulls_total")
    studio.client.update_project(studio.id, description="an event that means nothing")
    backend.until(lambda: backend.metric("spml_pulls_total") > polls + 3)
    assert len(backend.jobs()) == before
    assert studio.model_version() == version


def test_it_trains_by_itself_after_enough_answers_also_without_webhooks(studio, backend):
    backend.environment["START_TRAINING_EACH_N_UPDATES"] = "10"
    backend.start()
    studio.connect(backend)
    for hook in studio.client.webhooks(studio.id):
        studio.client.request("DELETE", f"/api/webhooks/{hook['id']}/")
    backend.until(backend.idle)
    studio.label(sorted(studio.tasks)[:12])
    assert trained(backend)[0].reason.endswith("new answers")
    backend.until(lambda: studio.model_version().startswith("spml-0001-"))
    polls = backend.metric("spml_pulls_total")
    backend.until(lambda: backend.metric("spml_pulls_total") > polls + 3)
    assert len([job for job in backend.jobs() if job.kind == "train"]) == 1
    for task in sorted(studio.tasks)[:3]:  # a change of mind counts as an answer; three are too few
        found = studio.client.task(task)["annotations"][0]
        studio.client.update_annotation(found["id"], result=studio.region("checks"))
    polls = backend.metric("spml_pulls_total")
    backend.until(lambda: backend.metric("spml_pulls_total") > polls + 3)
    assert len([job for job in backend.jobs() if job.kind == "train"]) == 1


@pytest.mark.parametrize("whose", ["server", "child"])
def test_a_training_that_is_killed_is_done_after_all(studio, backend, whose):
    backend.start()
    row = studio.connect(backend)
    backend.until(backend.idle)
    cold = studio.model_version()
    studio.label(sorted(studio.tasks)[:15])
    studio.client.train_backend(row)
    running = backend.until(lambda: [j for j in backend.jobs() if j.kind == "train" and j.state == "running" and j.pid])
    if whose == "server":
        backend.kill()
        backend.until(lambda: not os.path.exists(f"/proc/{running[0].pid}"), 20)  # nothing of it is left
        assert backend.jobs()[-1].state == "running"
        backend.start()
    else:
        os.kill(running[0].pid, signal.SIGKILL)
    done = trained(backend)[-1]
    assert (done.state, done.attempts) == ("done", 2)
    backend.until(lambda: studio.model_version() != cold)
    assert set(studio.predictions(studio.model_version())) == set(studio.tasks)


def test_a_training_that_cannot_be_leaves_the_last_model_and_says_why(studio, backend, label_studio):
    backend.start()
    row = studio.connect(backend)
    backend.until(backend.idle)
    studio.label(sorted(studio.tasks)[:10])
    studio.client.train_backend(row)
    trained(backend)
    backend.until(lambda: studio.model_version().startswith("spml-0001-"))
    version = studio.model_version()
    backend.stop()
    backend.environment["SPML_WEIGHTS"] = "no-such-weights.safetensors"
    backend.start()
    studio.label(sorted(studio.tasks)[10:14])
    studio.client.train_backend(row)
    failed = backend.until(lambda: [job for job in backend.jobs() if job.state == "failed"])[0]
    assert "no-such-weights" in failed.error
    assert backend.metric("spml_last_training_failed{") == 1.0
    assert "no-such-weights" in backend.get("/metrics").text
    assert "no-such-weights" in backend.log.read_text()
    assert studio.model_version() == version
    status = _status(backend)
    assert "FAILED" in status["server"]
    assert "no-such-weights" in status["server"]
    task = sorted(studio.tasks)[20]
    body = {"project": str(studio.id), "tasks": [{"id": task, "data": studio.client.task(task)["data"]}]}
    assert backend.post("/predict", body).json()["results"][0]["model_version"] == version


def _status(backend):
    from click.testing import CliRunner

    from spml_annotate.cli import main

    found = CliRunner().invoke(main, ["status", "--project", str(backend.folders()[0]), "--json"])
    return json.loads(found.stdout)


def test_with_a_password_everything_works_and_without_it_nothing_connects(studio, backend, label_studio):
    backend.environment |= {"BASIC_AUTH_USER": "ann", "BASIC_AUTH_PASS": "a secret pass phrase"}
    backend.start()
    with pytest.raises(RemoteError, match="uthenticat"):
        studio.connect(backend, basic=("ann", "a guess"))
    row = studio.connect(backend)
    backend.until(backend.idle)
    authorization = backend.until(lambda: studio.client.webhooks(studio.id)[0]["headers"].get("Authorization"))
    assert authorization.startswith("Basic ")
    studio.label(sorted(studio.tasks)[:12])
    studio.client.train_backend(row)
    trained(backend)
    backend.until(lambda: studio.model_version().startswith("spml-0001-"))
    said = backend.log.read_text()
    for secret in ("a secret pass phrase", label_studio.personal_token, authorization.removeprefix("Basic ")):
        assert secret not in said


def test_a_half_made_connection_is_mended(studio, backend):
    """ML_BLOCK_LOCAL_IP=false alone leaves a backend without webhook and a project without version."""
    backend.start()
    studio.connect(backend)
    backend.until(backend.idle)
    version = studio.model_version()
    backend.stop()
    for hook in studio.client.webhooks(studio.id):
        studio.client.request("DELETE", f"/api/webhooks/{hook['id']}/")
    studio.client.update_project(studio.id, model_version="")
    backend.start()
    backend.until(lambda: studio.model_version() == version)
    hooks = backend.until(lambda: studio.client.webhooks(studio.id))
    assert [hook["url"] for hook in hooks] == [f"{backend.url}/webhook"]


def test_a_backend_connected_anew_with_another_title_gets_the_version(studio, backend):
    backend.start()
    row = studio.connect(backend)
    backend.until(backend.idle)
    version = studio.model_version()
    backend.until(lambda: studio.client.backends(studio.id)[0]["title"] == version)
    studio.client.delete_backend(row)
    again = studio.connect(backend, title="mine again")
    assert again != row
    backend.until(lambda: [one["title"] for one in studio.client.backends(studio.id)] == [version])
    assert studio.model_version() == version


def test_the_token_of_setup_is_used_where_none_is_set(studio, backend):
    backend.environment["LABEL_STUDIO_API_KEY"] = ""
    backend.start()
    studio.connect(backend)
    backend.until(backend.idle)
    assert set(studio.predictions(studio.model_version())) == set(studio.tasks)
    assert "are not both set" in backend.log.read_text()


def test_a_token_that_is_refused_is_reported_and_annotators_are_not_disturbed(studio, backend):
    backend.environment["LABEL_STUDIO_API_KEY"] = "0" * 40
    backend.start()
    studio.connect(backend)
    said = backend.until(lambda: [line for line in backend.log.read_text().splitlines() if "could not be read" in line])
    assert "token" in said[0]
    backend.until(lambda: backend.metric("spml_pulls_total") >= 3)
    assert sum("could not be read" in line for line in backend.log.read_text().splitlines()) == 1
    annotator = next(iter(studio.annotators.values()))
    assert annotator.next_task(studio.id)["id"] in studio.tasks


def test_label_studio_goes_away_in_the_middle_and_nothing_is_lost(studio, backend, label_studio):
    backend.start()
    row = studio.connect(backend)
    backend.until(backend.idle)
    studio.label(sorted(studio.tasks)[:15])
    studio.client.train_backend(row)
    backend.until(lambda: [job for job in backend.jobs() if job.kind == "train" and job.state == "running"])
    label_studio.restart()
    assert trained(backend)[-1].state == "done"
    backend.until(lambda: studio.model_version().startswith("spml-0001-"))
    assert set(studio.predictions(studio.model_version())) == set(studio.tasks)
