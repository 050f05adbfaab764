"""Is our backend connected, quick, and consistent: one version everywhere, one valid result per task?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

from spml_annotate.loop.connecting import Reply, call, join, same_place
from spml_annotate.loop.doctor.case import Case
from spml_annotate.project.checkup import Check
from spml_annotate.studio.predictions import check_prediction

HEALTH_SECONDS, SETUP_SECONDS, PREDICT_SECONDS = 1.0, 3.0, 100.0
"""How long Label Studio waits for each route before it gives up."""
SLOW_SECONDS = 5.0
"""A /predict of two tasks that takes longer is felt by annotators at every task."""
_SERVE = "spml-annotate serve --project DIR"


def look_at_backend(case: Case) -> Iterator[Check]:
    """The connection, `/health`, `/setup`, versions, `/predict`, workers."""
    yield _connection(case)
    health = _health(case)
    yield health
    if health.level == "fail":
        return
    setup = _setup(case)
    yield setup
    if setup.level == "fail":
        return
    if case.row is not None:
        yield _versions(case)
    yield _predict(case)
    yield _workers()


def _connection(case: Case) -> Check:
    row = case.row
    if row is None:
        remedy = f"start it ({_SERVE}) and run `spml-annotate studio create --backend URL`"
        return Check("connection", "fail", f"no backend is connected to project {case.number}", remedy)
    hooks = case.client.webhooks(case.number)
    hooked = any(same_place(str(hook["url"]), join(str(row["url"]), "/webhook")) for hook in hooks)
    if not hooked and not case.remote.get("model_version"):
        found = "half connected: the backend is listed, but there is no webhook and the project has no model version"
        remedy = "Label Studio refused the webhook; see 'blocking', then run `spml-annotate studio create` again"
        return Check("connection", "fail", found, remedy)
    if row.get("state") != "CO":
        reason = row.get("error_message") or row.get("readable_state") or row.get("state")
        found = f"Label Studio cannot use {row['url']}: {reason}"
        return Check("connection", "fail", found, f"start it ({_SERVE}), at an address that Label Studio reaches")
    return Check("connection", "ok", f"Label Studio is connected with {row['url']}")


def _health(case: Case) -> Check:
    reply = call(case.address, "/health", case.settings.basic)
    fault = _fault(reply, case.address, HEALTH_SECONDS)
    return fault or Check("health", "ok", f"{case.address} answers in {1000 * reply.seconds:.0f} ms")


def _fault(reply: Reply, url: str, limit: float, name: str = "health") -> Check | None:
    """What is wrong with an answer, whichever route gave it."""
    if reply.status == 0:
        remedy = (
            f"start it ({_SERVE}); if Label Studio reaches it by another address, give --backend URL for this machine"
        )
        return Check(name, "fail", f"the backend at {url} does not answer from here ({reply.body})", remedy)
    if reply.status == 401:
        remedy = "set BASIC_AUTH_USER and BASIC_AUTH_PASS to those that the backend was started with"
        return Check(name, "fail", f"the backend at {url} refuses the user and password", remedy)
    if reply.status != 200 or not isinstance(reply.body, dict):
        what = f"HTTP {reply.status}" + ("" if isinstance(reply.body, dict) else ", no JSON object")
        remedy = "look into its log; Label Studio hides such errors: it stores nothing and says nothing"
        return Check(name, "fail", f"/{name} of {url} failed ({what})", remedy)
    if reply.seconds > limit:
        found = f"/{name} took {reply.seconds:.1f} s, Label Studio waits {limit:.0f} s"
        return Check(name, "fail", found, "nothing heavy may run in the backend's own process; give its machine room")
    return None


def _setup(case: Case) -> Check:
    body = case.request(schema=case.remote["label_config"], hostname=case.client.url, extra_params=None)
    reply = call(case.address, "/setup", case.settings.basic, body=body)
    fault = _fault(reply, case.address, SETUP_SECONDS, "setup")
    if fault is not None:
        return fault
    version = reply.body.get("model_version")
    if not isinstance(version, str) or not version:
        found = f"/setup announces the model version {version!r}; labelling stops with HTTP 400 at every task"
        return Check("setup", "fail", found, f"/setup must return a text that is not empty; run our backend: {_SERVE}")
    case.announced = version
    return Check("setup", "ok", f"announces {version} in {1000 * reply.seconds:.0f} ms")


def _versions(case: Case) -> Check:
    assert case.row is not None
    assert case.link is not None
    if case.announced != case.link.version:
        found = f"/setup announces {case.announced}, this folder has {case.link.version}: it serves another folder"
        return Check("versions", "fail", found, f"start it for this one: {_SERVE}")
    places = {
        "the backend's title": case.row.get("title"),
        "the project's model version": case.remote.get("model_version"),
    }
    wrong = [f"{what} is {value!r}" for what, value in places.items() if value != case.announced]
    if wrong:
        found = f"{' and '.join(wrong)}, not {case.announced}: the order is random and scores are not shown"
        return Check("versions", "fail", found, "spml-annotate studio push")
    return Check("versions", "ok", f"{case.announced} is announced, the backend's title and the project's version")


def _predict(case: Case) -> Check:
    tasks = [{"id": task["id"], "data": task["data"]} for task in islice(case.client.tasks(case.number), 2)]
    if not tasks:
        remedy = "spml-annotate studio create, or import images in Label Studio"
        return Check("predict", "warn", f"project {case.number} has no tasks to try", remedy)
    body = case.request(tasks=tasks, label_config=case.remote["label_config"], params={"login": None, "password": None})
    reply = call(case.address, "/predict", case.settings.basic, body=body, timeout=PREDICT_SECONDS)
    fault = _fault(reply, case.address, PREDICT_SECONDS, "predict")
    if fault is not None:
        return fault
    wrong = _wrong_results(case, tasks, reply.body.get("results"))
    if wrong:
        return Check(
            "predict", "fail", f"/predict: {wrong}", f"run our backend ({_SERVE}), of the version installed here"
        )
    if reply.seconds > SLOW_SECONDS:
        found = f"/predict of {len(tasks)} tasks took {reply.seconds:.1f} s"
        return Check("predict", "warn", found, "spml-annotate studio push, so that annotators do not wait for it")
    return Check("predict", "ok", f"{len(tasks)} valid results for {len(tasks)} tasks in {reply.seconds:.2f} s")


def _wrong_results(case: Case, tasks: list[dict[str, Any]], results: object) -> str:
    """What Label Studio would trip over, in words; empty if nothing."""
    assert case.config is not None
    if not isinstance(results, list) or len(results) != len(tasks):
        count = len(results) if isinstance(results, list) else "no list of"
        return f"{count} results for {len(tasks)} tasks; Label Studio drops the whole batch"
    for task, result in zip(tasks, results, strict=True):
        if not isinstance(result, dict):
            return f"the result of task {task['id']} is no object"
        faults = check_prediction(case.config, task["data"], result)
        if faults:
            return f"task {task['id']}: {faults[0]}"
        version = result.get("model_version", case.announced)
        if version != case.announced:
            return (
                f"task {task['id']} has version {version!r}, /setup says {case.announced!r}; Label Studio would store "
                "another copy at every request"
            )
    return ""


def _workers() -> Check:
    for name in ("WORKERS", "WEB_CONCURRENCY"):
        if os.environ.get(name, "1").strip() not in ("", "0", "1"):
            found = f"{name}={os.environ[name]}; the backend is one process, whatever this says"
            return Check("workers", "warn", found, f"unset {name}; several processes would each train")
    return Check("workers", "ok", "one process")
