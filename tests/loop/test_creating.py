"""`studio create` against the real Label Studio: everything once, whatever stops it in between."""

import shutil

import numpy as np
import pytest
from small_backend import CLASSES, draw, small_backend, small_project

from spml_annotate.errors import DataError, RemoteError, SettingError
from spml_annotate.loop import sending
from spml_annotate.loop.connecting import TAB, basic_header
from spml_annotate.loop.creating import SAMPLING, Plan, create_studio_project
from spml_annotate.loop.links import LinkStore
from spml_annotate.studio import uploads
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.launch import LocalLabelStudio

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path):
    with small_project(tmp_path) as project:
        links = LinkStore(project.workspace.root)
        yield project, links
        links.close()


@pytest.fixture
def client(label_studio):
    with label_studio.client() as speaking:
        yield speaking


@pytest.fixture
def backend(here):
    with small_backend() as running:
        yield running


def content(client, reference):
    answer = client._http.get(reference, headers={"Authorization": client.authorization()})
    return answer.status_code, answer.content


def test_all_is_there_and_again_changes_nothing(here, client, tmp_path, backend):
    project, links = here
    said = []
    first = create_studio_project(project, links, client, Plan(title="Once"), say=said.append)
    assert first.new
    assert (first.tasks, first.new_tasks) == (5, 5)
    backend.version = first.link.version  # as our own backend, which reads the link
    plan = Plan(title="Once", backend=backend.url)
    connected = create_studio_project(project, links, client, plan)
    assert not connected.new
    assert connected.notes == ()
    remote = client.project(first.link.project)
    assert remote["sampling"] == SAMPLING
    assert remote["model_version"] == first.link.version
    assert parse_config(remote["label_config"]).classes == CLASSES
    (row,) = client.backends(first.link.project)
    assert (row["title"], row["url"]) == (first.link.version, backend.url)
    assert links.get(first.link.id).backend == row["id"]
    ids = project.image_ids
    tasks = list(client.tasks(first.link.project))
    assert sorted(task["data"]["spml_image"] for task in tasks) == sorted(ids)
    assert {task: entry.row for task, entry in links.tasks(first.link.id).items()} == {
        task["id"]: ids.index(task["data"]["spml_image"]) for task in tasks
    }
    for task in tasks:
        path = project.workspace.image_path(ids.index(task["data"]["spml_image"]))
        assert content(client, task["data"]["image"]) == (200, path.read_bytes())

    again = create_studio_project(project, links, client, plan)
    assert (again.new, again.tasks, again.new_tasks, again.connection) == (False, 5, 0, connected.connection)
    assert len(client.backends(first.link.project)) == len(client.webhooks(first.link.project)) == 1
    views = client.request("GET", f"/api/dm/views/?project={first.link.project}")
    assert [view["data"]["title"] for view in views].count(TAB) == 1

    draw(tmp_path / "files" / "pictures", 2, first=5)
    project.add_images(tmp_path / "files" / "pictures")
    more = create_studio_project(project, links, client, plan)
    assert (more.tasks, more.new_tasks) == (7, 2)
    project.add_classes(["violet"])
    create_studio_project(project, links, client, plan)
    assert "violet" in parse_config(client.project(first.link.project)["label_config"]).classes


@pytest.mark.parametrize("stop", ["before the link", "before the tasks are noted"])
def test_a_kill_in_between_makes_nothing_twice(here, client, monkeypatch, stop):
    project, links = here
    lost = "add" if stop == "before the link" else "put_tasks"

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LinkStore, lost, killed)
        with pytest.raises(KeyboardInterrupt):
            create_studio_project(project, links, client, Plan(title="Killed"))
    before = {found["id"] for found in client.projects() if found["title"] == "Killed"}
    done = create_studio_project(project, links, client, Plan(title="Killed"))
    assert done.link.project == max(before)
    assert len({found["id"] for found in client.projects() if found["title"] == "Killed"}) == len(before)
    assert done.tasks == len(client.task_ids(done.link.project)) == 5


def test_images_are_sent_in_parts_and_unusable_ones_are_left_out(here, client, tmp_path, monkeypatch):
    project, links = here
    pictures = tmp_path / "files" / "pictures"
    shutil.copy(next(pictures.rglob("*.png")), pictures / "copy.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    project.add_images(pictures)
    rows = np.array([0])
    project.workspace.images.set_split(rows, 1)
    monkeypatch.setattr(uploads, "FILES", 2)
    done = create_studio_project(project, links, client, Plan())
    sent = {task.row for task in links.tasks(done.link.id).values()}
    assert done.tasks == len(client.task_ids(done.link.project))
    assert sent == set(range(1, 5)) - set(project.workspace.images.duplicates())
    monkeypatch.setattr(uploads, "BYTES", 1)
    assert [list(part) for part in sending._uploads(project, [1, 2, 3])] == [[1], [2], [3]]


def test_local_files_are_read_where_they_lie(tmp_path):
    files = tmp_path / "files"
    with LocalLabelStudio(files=files) as server, server.client() as client, small_project(tmp_path) as project:
        links = LinkStore(project.workspace.root)
        plan = Plan(images="local", files_root=tmp_path / "files")
        done = create_studio_project(project, links, client, plan)
        create_studio_project(project, links, client, plan)
        assert len(client.request("GET", f"/api/storages/localfiles?project={done.link.project}")) == 1
        for task, entry in links.tasks(done.link.id).items():
            reference = client.task(task)["data"]["image"]
            assert reference.startswith("/data/local-files/?d=pictures/")
            assert content(client, reference) == (200, project.workspace.image_path(entry.row).read_bytes())
        links.close()


def test_local_files_that_label_studio_cannot_show_are_refused(here, client, tmp_path):
    project, links = here
    other = tmp_path / "elsewhere"
    other.mkdir()
    with pytest.raises(DataError, match="does not lie below"):
        create_studio_project(project, links, client, Plan(images="local", files_root=other))
    shutil.copy(next((tmp_path / "files").rglob("*.png")), other / "top.png")
    (other / "top.png").write_bytes((other / "top.png").read_bytes() + b"\0")
    project.add_images(other)
    both = Plan(images="local", files_root=other)
    with pytest.raises(DataError, match=r"does not lie below|lies directly in"):
        create_studio_project(project, links, client, both)


def test_urls_are_made_from_the_ids(here, client):
    project, links = here
    plan = Plan(images="urls", base_url="https://images.example.org/a")
    done = create_studio_project(project, links, client, plan)
    references = {entry.row: entry.data["image"] for entry in links.tasks(done.link.id).values()}
    row = project.image_ids.index("even & so/picture 0.png")
    assert references[row] == "https://images.example.org/a/even%20%26%20so/picture%200.png"


@pytest.mark.parametrize(
    ("plan", "what"), [(Plan(images="local"), "--files-root"), (Plan(images="urls"), "--base-url")]
)
def test_incomplete_plans_are_refused(here, plan, what):
    project, links = here
    with pytest.raises(SettingError, match=what):
        create_studio_project(project, links, None, plan)


def test_a_backend_that_wants_a_password_gets_it_with_every_webhook(here, client, backend):
    project, links = here
    backend.basic = ("user", "pass word:1")
    with pytest.raises(RemoteError, match="BASIC_AUTH_USER"):
        create_studio_project(project, links, client, Plan(backend=backend.url))
    done = create_studio_project(project, links, client, Plan())
    backend.version = done.link.version
    plan = Plan(backend=backend.url, basic=backend.basic)
    assert "pass word" not in repr(plan)
    create_studio_project(project, links, client, plan)
    (hook,) = client.webhooks(done.link.project)
    assert hook["headers"] == basic_header(backend.basic)
    (task, *_) = client.task_ids(done.link.project)
    client.annotate(task, [])
    sent = [headers.get("Authorization") for path, _, headers in backend.seen if path == "/webhook"]
    assert sent
    assert set(sent) == {backend.authorization()}
    client.update_webhook(hook["id"], hook["url"], {})
    create_studio_project(project, links, client, plan)
    (mended,) = client.webhooks(done.link.project)
    assert mended["headers"] == basic_header(backend.basic)


def test_a_backend_that_moved_keeps_its_row_and_its_webhook(here, client, backend):
    project, links = here
    done = create_studio_project(project, links, client, Plan())
    backend.version = done.link.version
    before = create_studio_project(project, links, client, Plan(backend=backend.url)).connection
    with small_backend() as elsewhere:
        elsewhere.version = done.link.version
        after = create_studio_project(project, links, client, Plan(backend=elsewhere.url)).connection
        assert (after.backend, after.webhook) == (before.backend, before.webhook)
        (row,) = client.backends(done.link.project)
        assert (row["url"], row["title"], row["state"]) == (elsewhere.url, done.link.version, "CO")
        (hook,) = client.webhooks(done.link.project)
        assert hook["url"] == elsewhere.url + "/webhook"
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:1 does not answer from here"):
        create_studio_project(project, links, client, Plan(backend="http://127.0.0.1:1"))
    assert [row["url"] for row in client.backends(done.link.project)] == [elsewhere.url]


def test_an_older_backend_that_is_away_hides_all_proposals_and_is_named(here, client, backend):
    project, links = here
    done = create_studio_project(project, links, client, Plan())
    backend.version = done.link.version
    with small_backend() as elder:
        elder_row = client.connect_backend(done.link.project, elder.url, "somebody else's")
    connected = create_studio_project(project, links, client, Plan(backend=backend.url))
    assert any("delete it in Settings > Model" in note and elder.url in note for note in connected.notes)
    told = {"result": [], "score": 0.1, "model_version": done.link.version}
    client.import_predictions(
        done.link.project, [{**told, "task": task} for task in client.task_ids(done.link.project)]
    )
    assert client.next_task(done.link.project)["predictions"] == []
    client.delete_backend(elder_row["id"])
    assert client.next_task(done.link.project)["predictions"] != []
    assert create_studio_project(project, links, client, Plan(backend=backend.url)).notes == ()


def test_a_backend_of_another_folder_is_noticed(here, client, backend):
    project, links = here
    done = create_studio_project(project, links, client, Plan(backend=backend.url))
    assert any("serves another folder" in note for note in done.notes)


def test_a_backend_that_is_away_is_said_with_label_studio_s_words(here, client):
    project, links = here
    with pytest.raises(RemoteError, match=r"does not answer from here.*Label Studio says"):
        create_studio_project(project, links, client, Plan(backend="http://127.0.0.1:9"))


@pytest.mark.parametrize("half", [False, True])
def test_address_blocking_is_explained_with_its_variables(here, backend, half):
    project, links = here
    environment = {"ML_BLOCK_LOCAL_IP": "false" if half else "true", "SSRF_PROTECTION_ENABLED": "true"}
    with LocalLabelStudio(environment=environment) as server, server.client() as client:
        with pytest.raises(RemoteError, match=r"ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false") as caught:
            create_studio_project(project, links, client, Plan(backend=backend.url))
        assert "\n" not in str(caught.value)
        assert len(links.tasks(links.links()[0].id)) == 5
