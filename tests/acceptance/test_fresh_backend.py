"""What a stranger tries first: a fresh backend with four variables set, a fresh project, 24 answers, Start training."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from pictures import write_pictures

from spml_annotate.studio.client import StudioClient

pytestmark = pytest.mark.slow
LETTERS = ("A & co", "bé", "c<3", 'd "quoted"', "e")
CONFIG = """<View><Header value="anything"/><Image name="the picture" value="$photo"/>
<Choices name="was ist das?" toName="the picture" choice="single-radio" required="true">
{choices}</Choices></View>"""


def config():
    from xml.sax.saxutils import quoteattr

    return CONFIG.format(choices="".join(f"<Choice value={quoteattr(letter)}/>" for letter in LETTERS))


@contextlib.contextmanager
def backend(studio_url, token, folder: Path, **more):
    """`spml-annotate serve` as a process of its own, with nothing set but what is given."""
    port = free_port()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LABEL_STUDIO", "SPML_", "BASIC_AUTH", "MODEL_"))
    }
    told = {"LABEL_STUDIO_URL": studio_url, "LABEL_STUDIO_API_KEY": token, "MODEL_DIR": str(folder), "PORT": str(port)}
    log = (folder.parent / "serve.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "spml_annotate", "serve"],
        env={**clean, **told, **more},
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait(lambda: answers(url), 90, "the backend answers", process)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def answers(url):
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    return False


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(happened, seconds, what, process=None):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = happened()
        if found:
            return found
        assert process is None or process.poll() is None, "the backend ended"
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")


def current_version(url, project):
    body = {
        "project": f"{project['id']}.{created(project)}",
        "schema": project["label_config"],
        "hostname": "",
        "access_token": "",
    }
    return httpx.post(f"{url}/setup", json=body, timeout=5).json()["model_version"]


def created(project):
    import datetime

    return int(datetime.datetime.fromisoformat(project["created_at"].replace("Z", "+00:00")).timestamp())


def choice(letter):
    return [
        {
            "from_name": "was ist das?",
            "to_name": "the picture",
            "type": "choices",
            "value": {"choices": [letter]},
        }
    ]


def make_tasks(client, studio, project, pictures, local: bool):
    """Task id → letter; one more task shows a file that is no picture."""
    broken = pictures[0][0].parent / "broken.png"
    broken.write_bytes(b"\x89PNG this is not a picture")
    letters = dict(zip(sorted({kind for _, kind in pictures}), LETTERS, strict=True))
    if not local:
        made = client.upload_images(project["id"], [*(path for path, _ in pictures), broken])
        ids = [task["id"] for task in made]
    else:
        root = Path(studio.files)
        client.add_local_storage(project["id"], str(pictures[0][0].parent))
        data = [
            {"photo": f"/data/local-files/?d={path.relative_to(root).as_posix()}"}
            for path in [*(path for path, _ in pictures), broken]
        ]
        ids = client.import_tasks(project["id"], data)
    assert len(ids) == len(pictures) + 1
    return {task: letters[kind] for task, (_, kind) in zip(ids, pictures, strict=False)}, ids[-1]


@pytest.mark.parametrize(
    ("local", "personal", "basic"), [(False, False, False), (True, True, True)], ids=["uploaded-legacy", "local-pat"]
)
def test_a_fresh_project_trains_once_and_predicts_every_task(label_studio, tmp_path, local, personal, basic):
    studio = label_studio
    token = studio.personal_token if personal else studio.token
    client = StudioClient(studio.url, token)
    folder = Path(studio.files) / tmp_path.name if local else tmp_path / "pictures"
    pictures = write_pictures(folder)
    secrets = {"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASS": "sesame"} if basic else {}
    if personal:
        client.request(
            "POST", "/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
        )
    try:
        _accept(studio, client, token, tmp_path, pictures, local, secrets)
    finally:
        if personal:
            client.request(
                "POST", "/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
            )
        client.close()


def _accept(studio, client, token, tmp_path, pictures, local, secrets):
    project = client.create_project("fresh", config())
    truth, broken = make_tasks(client, studio, project, pictures, local)
    everything = [*truth, broken]
    with backend(studio.url, token, tmp_path / "models", **secrets) as url:
        basic = tuple(secrets.values()) or None
        connected = client.connect_backend(project["id"], url, "spml", basic=basic)
        auth = basic

        def version():
            body = {"project": f"{project['id']}.{created(project)}", "schema": project["label_config"]}
            reply = httpx.post(f"{url}/setup", json=body | {"hostname": studio.url}, timeout=3, auth=auth)
            return reply.json()["model_version"]

        first = version()
        assert isinstance(first, str)
        assert first
        cold = client.next_task(project["id"])
        assert cold["id"] in truth, "a picture that can be read is asked first"
        # the first stays locked for who saw it, so it must be among those answered
        chosen = [cold["id"], *(task for task in truth if task != cold["id"])][:24]
        made = {task: client.annotate(task, choice(truth[task]), lead_time=3.0)["id"] for task in chosen}
        client.train_backend(connected["id"])
        second = wait(lambda: (v := version()) != first and v, 300, "a new version")
        wait(lambda: client.project(project["id"])["model_version"] == second, 60, "the version at Label Studio")

        found = predictions(client, project["id"], second)
        assert set(found) == set(everything), "every task has exactly one prediction of the version"
        assert found[broken]["result"] == []
        rest = [task for task in truth if task not in made]
        hits = sum(found[task]["result"][0]["value"]["choices"] == [truth[task]] for task in rest)
        assert hits >= 9, f"{hits} of {len(rest)} right; chance is {len(rest) / 5:.0f}"
        for task in truth:
            (region,) = found[task]["result"]
            assert (region["from_name"], region["to_name"], region["type"]) == (
                "was ist das?",
                "the picture",
                "choices",
            )
        scores = [found[task]["score"] for task in rest]
        assert all(0.0 <= score <= 1.0 for score in scores)
        assert len(set(scores)) > len(scores) // 2, "scores order the queue"
        upcoming = client.next_task(project["id"])
        open_scores = {task: found[task]["score"] for task in rest}
        assert upcoming["id"] in sorted(open_scores, key=open_scores.get)[:3]

        time.sleep(25)  # our own renaming and pushing must not look like news
        assert version() == second
        live = live_predictions(client, url, project, everything, auth)
        assert [r["model_version"] for r in live] == [second] * len(everything)
        assert {t: r["result"] and r["result"][0]["value"] for t, r in zip(everything, live, strict=True)} == {
            t: r["result"] and r["result"][0]["value"] for t, r in found.items()
        }

        gone = chosen[:3]  # deletions count: the next training sees 21
        for task in gone:
            client.delete_annotation(made[task])
        client.train_backend(connected["id"])
        third = wait(lambda: (v := version()) not in (first, second) and v, 300, "a version without the deleted ones")
        wait(lambda: client.project(project["id"])["model_version"] == third, 60, "the version at Label Studio")
        assert set(predictions(client, project["id"], third)) == set(everything)


def predictions(client, project, version):
    """Task → its prediction of a version; more than one is a fault."""
    found = {}
    for item in client.request("GET", f"/api/predictions/?project={project}"):
        if item["model_version"] == version:
            assert item["task"] not in found, "a duplicate"
            found[item["task"]] = item
    return found


def live_predictions(client, url, project, tasks, auth):
    body = {
        "tasks": [{key: client.task(task)[key] for key in ("id", "data")} for task in tasks],
        "project": f"{project['id']}.{created(project)}",
        "label_config": project["label_config"],
        "params": {"login": None, "password": None, "context": None},
    }
    return httpx.post(f"{url}/predict", json=body, timeout=100, auth=auth).json()["results"]
