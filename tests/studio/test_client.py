"""Every call of the client against a real Label Studio."""

import datetime
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.studio.client import StudioClient

pytestmark = pytest.mark.slow

CONFIG = """<View><Image name="picture" value="$image"/><Choices name="what" toName="picture" choice="single">
<Choice value="cat"/><Choice value="dog"/></Choices></View>"""


@pytest.fixture(scope="module")
def client(label_studio):
    with label_studio.client() as client:
        yield client


@pytest.fixture
def project(client):
    made = client.create_project("a project of one test", CONFIG)
    yield made["id"]
    client.delete_project(made["id"])


def choice(name):
    return [
        {"id": "r1", "from_name": "what", "to_name": "picture", "type": "choices", "value": {"choices": [name]}},
    ]


def tasks_of(count):
    return [{"image": f"http://localhost/{number}.png"} for number in range(count)]


class Backend(ThreadingHTTPServer):
    """The least that Label Studio takes for a backend; it keeps what it was asked."""

    def __init__(self, password=None):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked, self.password, self.version = [], password, "v1"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "UP"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body, self.headers.get("Authorization")))
        self.answer({"model_version": self.server.version, "results": []})

    def answer(self, body):
        told = self.headers.get("Authorization")
        allowed = self.server.password is None or told is not None or self.path == "/webhook"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def backend():
    server = Backend()
    yield server
    server.shutdown()
    server.server_close()


def test_who_and_what_version(label_studio, client):
    assert client.whoami()["email"] == label_studio.username
    assert client.version().count(".") == 2
    users = client.users()
    assert users[client.whoami()["id"]] == label_studio.username
    assert set(users.values()) >= set(label_studio.annotators)
    assert client.token_kind == "legacy"
    assert label_studio.token not in repr(client)


def test_annotators_have_tokens_of_their_own(label_studio):
    for email, token in label_studio.annotators.items():
        with label_studio.client(token) as annotator:
            assert annotator.whoami()["email"] == email


def test_projects(client, project):
    assert client.project(project)["label_config"] == CONFIG
    assert client.update_project(project, sampling="Uncertainty sampling")["sampling"] == "Uncertainty sampling"
    further = [client.create_project(f"number {n}", CONFIG)["id"] for n in range(3)]
    assert {project, *further} <= {found["id"] for found in client.projects()}
    for made in further:
        client.delete_project(made)
    with pytest.raises(RemoteError, match=f"/api/projects/{further[0]}/") as caught:
        client.project(further[0])
    assert caught.value.status == 404


def test_a_config_is_judged(client):
    client.validate_config(CONFIG)
    with pytest.raises(DataError, match=r"Label Studio does not accept the labelling config: .*mismatched tag"):
        client.validate_config("<View><Image name='a' value='$a'></View>")
    with pytest.raises(DataError, match=r"what|nothing"):
        client.validate_config(CONFIG.replace('toName="picture"', 'toName="nothing"'))


def test_tasks_in_order_and_by_time(client, project):
    ids = client.import_tasks(project, tasks_of(25), batch=10)
    assert len(set(ids)) == 25
    read = list(client.tasks(project, page_size=4))
    assert sorted(task["id"] for task in read) == sorted(ids)
    assert [task["updated_at"] for task in read] == sorted(task["updated_at"] for task in read)
    assert {task["id"]: task["data"]["image"] for task in read} == {
        task: f"http://localhost/{number}.png" for number, task in enumerate(ids)
    }
    assert client.task_ids(project) == set(ids)
    since = max(task["updated_at"] for task in read)
    assert list(client.tasks(project, since=since)) == []
    client.annotate(ids[3], choice("cat"), lead_time=2.5)
    (changed,) = client.tasks(project, since=since)
    assert changed["id"] == ids[3]
    assert changed["annotations"][0]["lead_time"] == 2.5
    client.delete_tasks(project, ids[:5])
    assert client.task_ids(project) == set(ids[5:])
    assert client.task(ids[6])["data"] == {"image": "http://localhost/6.png"}


def test_what_changes_while_it_is_read_hides_nothing(client, project):
    ids = client.import_tasks(project, tasks_of(12))
    reading, seen = client.tasks(project, page_size=3), []
    for number, task in enumerate(reading):
        seen.append(task["id"])
        if number < 6:  # what was read already moves to the end, and everything after it one place forward
            client.annotate(task["id"], choice("dog"))
    assert set(seen) == set(ids)
    assert len(seen) == 12 + 6


def test_tasks_of_one_and_the_same_time(client, project):
    """An import may give thousands of tasks one time; the pages go on through them."""
    ids = client.import_tasks(project, tasks_of(7))
    for edge in (1, 2, 3, 7):
        assert sorted(task["id"] for task in client.tasks(project, page_size=edge)) == sorted(ids)


def test_the_time_may_be_written_in_any_zone(client, project):
    (task,) = client.import_tasks(project, tasks_of(1))
    changed = datetime.datetime.fromisoformat(client.task(task)["updated_at"])
    east = datetime.timezone(datetime.timedelta(hours=9))
    for zone in (datetime.UTC, east):
        before = (changed - datetime.timedelta(seconds=1)).astimezone(zone).isoformat()
        after = (changed + datetime.timedelta(seconds=1)).astimezone(zone).isoformat()
        assert [found["id"] for found in client.tasks(project, since=before)] == [task]
        assert list(client.tasks(project, since=after)) == []
    with pytest.raises(DataError, match="'yesterday' is no time"):
        list(client.tasks(project, since="yesterday"))


def test_missing_project_is_no_empty_list(client):
    for call in (client.task_ids, client.next_task, lambda project: list(client.tasks(project))):
        with pytest.raises(RemoteError) as caught:
            call(999_999)
        assert caught.value.status == 404


def test_pictures_are_uploaded_in_order(client, project, tmp_path):
    files = []
    for number, name in enumerate(("zebra one.png", "ape.png", "ape.jpg", "mouse.gif")):
        files.append(tmp_path / name)
        Image.new("RGB", (8, 8), (number * 50, 0, 0)).save(files[-1])
    tasks = client.upload_images(project, files)
    stems = [task["data"]["image"].rpartition("/")[2].partition("-")[2] for task in tasks]
    assert stems == ["zebra_one.png", "ape.png", "ape.jpg", "mouse.gif"]
    assert client.task_ids(project) == {task["id"] for task in tasks}
    with pytest.raises(DataError, match=r"missing\.png: No such file"):
        client.upload_images(project, [tmp_path / "missing.png"])


def test_more_pictures_than_one_request_takes(client, project, tmp_path):
    files = [tmp_path / f"{number:03}.png" for number in range(103)]
    for file in files:
        Image.new("L", (2, 2)).save(file)
    tasks = client.upload_images(project, files)
    assert [task["data"]["image"][-7:] for task in tasks] == [file.name for file in files]


def test_annotations_are_made_changed_and_deleted(label_studio, client, project):
    (task,) = client.import_tasks(project, tasks_of(1))
    email, token = next(iter(label_studio.annotators.items()))
    client.import_predictions(project, [{"task": task, "result": choice("dog"), "score": 0.4, "model_version": "v1"}])
    shown = client.task(task)["predictions"][0]["id"]
    with label_studio.client(token) as annotator:
        made = annotator.annotate(task, choice("cat"), lead_time=3.0, prediction=shown)
        changed = annotator.update_annotation(made["id"], result=choice("dog"), lead_time=5.0)
        skipped = annotator.annotate(task, [], skipped=True)
    assert made["parent_prediction"] == shown
    assert client.users()[made["completed_by"]] == email
    assert changed["result"][0]["value"] == {"choices": ["dog"]}
    assert skipped["was_cancelled"] is True
    client.delete_annotation(made["id"])
    assert [left["id"] for left in client.task(task)["annotations"]] == [skipped["id"]]


def test_predictions_order_the_stream(client, project):
    ids = client.import_tasks(project, tasks_of(6))
    scores = {task: (position * 5 % 6) / 10 for position, task in enumerate(ids)}
    told = []
    rows = [
        {"task": task, "result": choice("cat"), "score": score, "model_version": "v7"} for task, score in scores.items()
    ]
    assert client.import_predictions(project, rows, batch=4, progress=told.append) == 6
    assert told == [4, 2]
    assert client.model_versions(project) == {"v7": 6}
    client.update_project(project, sampling="Uncertainty sampling", model_version="v7")
    assert client.next_task(project)["id"] == min(scores, key=scores.get)
    client.delete_predictions(project, "v7")
    assert client.model_versions(project) == {}


def test_no_task_is_left(client, project):
    assert client.next_task(project) is None
    (task,) = client.import_tasks(project, tasks_of(1))
    assert client.next_task(project)["id"] == task
    client.annotate(task, choice("cat"))
    assert client.next_task(project) is None


def test_a_backend_and_its_webhook(client, project, backend):
    made = client.connect_backend(project, backend.url, "v1")
    assert [path for path, _, _ in backend.asked] == ["/setup", "/setup"]
    (found,) = client.backends(project)
    assert (found["id"], found["title"], found["url"]) == (made["id"], "v1", backend.url)
    assert client.project(project)["model_version"] == "v1"
    client.rename_backend(made["id"], "v2", backend.url, project)
    assert client.project(project)["model_version"] == "v2"
    client.train_backend(made["id"])
    assert backend.asked[-1][1]["action"] == "START_TRAINING"
    (webhook,) = client.webhooks(project)
    client.update_webhook(webhook["id"], webhook["url"], {"Authorization": "Basic eDp5"})
    assert client.webhooks(project)[0]["headers"] == {"Authorization": "Basic eDp5"}
    (task,) = client.import_tasks(project, tasks_of(1))
    client.annotate(task, choice("cat"))
    path, body, authorization = next(asked for asked in backend.asked if asked[1].get("action") == "ANNOTATION_CREATED")
    assert (path, body["task"]["id"], authorization) == ("/webhook", task, "Basic eDp5")
    client.delete_backend(made["id"])
    assert client.backends(project) == []
    client.delete_webhook(webhook["id"])
    assert client.webhooks(project) == []


def test_a_backend_that_wants_a_password(client, project, backend):
    backend.password = "secret"
    with pytest.raises(RemoteError, match="authentication parameters were either not provided") as caught:
        client.connect_backend(project, backend.url, "v1")
    assert caught.value.status == 400
    made = client.connect_backend(project, backend.url, "v1", basic=("spml", "secret"))
    client.rename_backend(made["id"], "v2", backend.url, project, basic=("spml", "secret"))
    assert client.backends(project)[0]["title"] == "v2"
    assert all(authorization for _, _, authorization in backend.asked)


def test_a_webhook_of_our_own(client, project, backend):
    made = client.create_webhook(project, f"{backend.url}/webhook", {"X-Key": "a"})
    assert made["headers"] == {"X-Key": "a"}
    client.import_tasks(project, tasks_of(2))
    assert [body["action"] for _, body, _ in backend.asked] == ["TASKS_CREATED"]
    assert made["id"] in {found["id"] for found in client.webhooks()}
    client.delete_webhook(made["id"])


def test_a_folder_of_pictures(label_studio, client, project):
    folder = label_studio.files / "client"
    folder.mkdir()
    for name in ("a.png", "b c.PNG"):
        Image.new("RGB", (4, 4)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    storage = client.add_local_storage(project, folder, sync=True)
    found = sorted(task["data"]["image"] for task in client.tasks(project))
    assert found == [f"{label_studio.url}/data/local-files/?d=client/{name}" for name in ("a.png", "b%20c.PNG")]
    assert client.sync_storage(storage["id"])["last_sync_count"] is not None
    with pytest.raises(RemoteError, match=r"LOCAL_FILES_DOCUMENT_ROOT|document root|must be"):
        client.add_local_storage(project, "/")


def test_a_tab(client, project):
    unlabelled = {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}
    tab = client.create_tab(project, "most useful first", filters=[unlabelled])
    ids = client.import_tasks(project, tasks_of(2))
    client.annotate(ids[0], choice("cat"))
    rows = client.request("GET", "/api/tasks/", params={"project": project, "view": tab["id"]})["tasks"]
    assert [row["id"] for row in rows] == [ids[1]]


def test_refusals_say_what_to_do(label_studio, client, project):
    with pytest.raises(RemoteError, match=r"refused POST /api/projects/ with HTTP 400: title: .*at least 3") as caught:
        client.create_project("x", CONFIG)
    assert caught.value.status == 400
    with StudioClient(label_studio.url, "0" * 40) as stranger, pytest.raises(RemoteError) as caught:
        stranger.whoami()
    assert caught.value.status == 401
    assert "refuses the legacy token" in str(caught.value)
    assert "create a personal access token" in str(caught.value)
    assert "0" * 40 not in str(caught.value)
    assert "\n" not in str(caught.value)
