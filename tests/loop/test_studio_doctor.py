"""`studio doctor` names every fault that is planted, with its remedy; the real Label Studio, a backend over HTTP."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from small_backend import CLASSES, small_backend, small_project

from spml_annotate.errors import RemoteError
from spml_annotate.loop.connecting import basic_header
from spml_annotate.loop.creating import Plan, create_studio_project
from spml_annotate.loop.doctor import Case, examine
from spml_annotate.loop.links import LinkStore
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.launch import LocalLabelStudio
from spml_annotate.studio.predictions import prediction

pytestmark = pytest.mark.slow
BASIC = ("annotators", "a password")


class World:
    """A project, its Label Studio project, and a backend; ``number`` is the id of the Label Studio project."""

    def __init__(self, project, links, client, backend) -> None:
        self.project, self.links, self.client, self.backend = project, links, client, backend
        self.settings = StudioSettings(url=client.url)
        self.number = 0

    def connect(self) -> None:
        done = create_studio_project(self.project, self.links, self.client, Plan())
        self.number, self.backend.version = done.link.project, done.link.version
        create_studio_project(self.project, self.links, self.client, Plan(backend=self.backend.url))

    def fill(self, **changes) -> None:
        remote = self.client.project(self.number)
        config = parse_config(remote["label_config"])
        made = []
        for place, task in enumerate(sorted(self.client.task_ids(self.number))):
            told = prediction(config, {}, {CLASSES[2]: 0.7}, priority=place / 10, version=self.backend.version)
            made.append({**told, "task": task, **changes})
        self.client.import_predictions(self.number, made)

    def look(self, client=None, backend_url: str = "") -> dict:
        case = Case(self.project, self.links, self.settings, client or self.client, backend_url)
        return {check.name: check for check in examine(case)}

    def row(self) -> dict:
        return self.client.backends(self.number)[0]

    def hook(self) -> dict:
        return self.client.webhooks(self.number)[0]


@contextmanager
def world_of(server, folder: Path):
    with server.client() as client, small_project(folder) as project, small_backend() as backend:
        links = LinkStore(project.workspace.root)
        yield World(project, links, client, backend)
        links.close()


@pytest.fixture
def world(label_studio, tmp_path):
    with world_of(label_studio, tmp_path) as made:
        made.connect()
        made.fill()
        yield made


def faults(checks) -> dict:
    return {name: check.level for name, check in checks.items() if check.level != "ok"}


def test_a_sound_chain_has_no_faults_and_nothing_is_changed(world):
    before = world.client.project(world.number)
    checks = world.look()
    assert faults(checks) == {}
    names = (
        "address token version clock link config sampling proposals blocking connection health setup versions predict "
        "workers webhook leftovers stored duplicates coverage images"
    )
    assert [name for name in checks if name in names.split()] == names.split()
    after = world.client.project(world.number)
    assert {name for name in after if after[name] != before[name]} <= {"updated_at"}
    assert world.client.model_versions(world.number) == {world.backend.version: 5}
    assert len([body for path, body, _ in world.backend.seen if path == "/setup" and "access_token" not in body]) == 1


def results(change):
    """A fault of /predict: the plain answer, changed."""

    def fault(body):
        made = [{"result": [], "score": 0.5, "model_version": None} for _ in body["tasks"]]
        return 200, {"results": change(made)}

    return fault


def region(**value):
    return [{"id": "a", "from_name": "label", "to_name": "image", "type": "choices", "value": value}]


def set_fault(route, fault):
    return lambda world: world.backend.faults.__setitem__(route, fault)


def each(**changes):
    """Every result of /predict with changes, and the right version unless that is changed."""

    def plant(world):
        def change(made):
            return [{**one, "model_version": world.backend.version, **changes} for one in made]

        world.backend.faults["/predict"] = results(change)

    return plant


def fewer(world):
    world.backend.faults["/predict"] = results(lambda made: made[:-1])


def other_version(world):
    world.backend.predicted = "spml-0007-ffff"


def no_version(world):
    world.backend.version = None


def empty_version(world):
    world.backend.version = ""


def other_folder(world):
    world.backend.version = "spml-0003-ffff"


def stored_twice(world):
    world.fill()


def store(world, **changes):
    """Store one prediction more by the call that Label Studio does not check."""
    told = {"result": [], "score": 0.5, "model_version": world.backend.version, **changes}
    world.client.request("POST", "/api/predictions/", json={**told, "task": min(world.client.task_ids(world.number))})


def stored_invalid(world):
    store(world, result=region(choices=["of another config"]))


def stored_score(world):
    store(world, score=17.5)


def none_stored(world):
    """Deleting a version's predictions also takes the project's model version away."""
    world.client.delete_predictions(world.number, world.backend.version)


def old_versions(world):
    world.fill(model_version="spml-0001-old")
    world.fill(model_version="spml-0002-old")


def title(world):
    row = world.row()
    world.client.rename_backend(row["id"], "My model", row["url"], world.number)
    world.client.update_project(world.number, model_version=world.backend.version)


def model_version(world):
    world.fill(model_version="My model")
    world.client.update_project(world.number, model_version="My model")


def sampling(world):
    world.client.update_project(world.number, sampling="Uniform sampling")


def not_shown(world):
    world.client.update_project(world.number, show_collab_predictions=False)


def hook_gone(world):
    world.client.delete_webhook(world.hook()["id"])


def hook_off(world):
    world.client.request("PATCH", f"/api/webhooks/{world.hook()['id']}/", json={"is_active": False})


def hook_without_password(world):
    world.settings = StudioSettings(url=world.client.url, basic=BASIC)


def hook_twice(world):
    world.client.create_webhook(world.number, world.hook()["url"])


def leftover(world):
    world.client.create_webhook(world.number, "http://127.0.0.1:9/webhook")


def disconnected(world):
    world.client.delete_backend(world.row()["id"])


def stopped(world):
    world.backend.server.shutdown()
    world.backend.server.server_close()


def class_unknown_here(world):
    xml = world.client.project(world.number)["label_config"].replace('value="red"', 'value="crimson"')
    world.client.update_project(world.number, label_config=xml)


def class_missing_there(world):
    world.project.add_classes(["violet"])


def second_backend(world):
    with small_backend() as other:
        world.client.connect_backend(world.number, other.url, "somebody else's")


def older_backend(world):
    world.client.delete_backend(world.row()["id"])
    second_backend(world)
    world.connect()


def picture_gone(world):
    task = min(world.client.task_ids(world.number))
    data = {**world.client.task(task)["data"], "image": "/data/upload/1/gone.png"}
    world.client.request("PATCH", f"/api/tasks/{task}/", json={"data": data})


def no_picture(world):
    task = min(world.client.task_ids(world.number))
    world.client.request("PATCH", f"/api/tasks/{task}/", json={"data": {"image": ""}})


def other_host(world):
    for task in world.client.task_ids(world.number):
        data = world.client.task(task)["data"]
        data["image"] = "http://localhost:1" + data["image"]
        world.client.request("PATCH", f"/api/tasks/{task}/", json={"data": data})


PLANTED = [
    # fault, check, level, words of what was found or of the remedy
    (no_version, "setup", "fail", "labelling stops"),  # fact 2
    (empty_version, "setup", "fail", "labelling stops"),
    (other_version, "predict", "fail", "another copy"),  # fact 3
    (stored_twice, "duplicates", "fail", "several predictions"),
    (fewer, "predict", "fail", "drops the whole batch"),  # fact 4
    (set_fault("/predict", (500, {"error": "no"})), "predict", "fail", "HTTP 500"),  # fact 5
    (set_fault("/predict", (200, b"<html>")), "predict", "fail", "no JSON"),
    (each(score="0.5"), "predict", "fail", "not a number from 0 to 1"),
    (each(result=None), "predict", "fail", "result is not a list"),
    (each(score=17.5), "predict", "fail", "17.5"),  # fact 6
    (each(result=region(choices=["zebra"])), "predict", "fail", "'zebra' is not among the choices"),
    (stored_invalid, "stored", "fail", "studio push"),
    (stored_score, "stored", "fail", "17.5"),
    (set_fault("/webhook", 1.2), "webhook", "fail", "gives up after 1 s"),  # fact 7
    (set_fault("/webhook", (500, {})), "webhook", "fail", "HTTP 500"),
    (hook_without_password, "webhook", "fail", "does not carry them"),
    (hook_gone, "webhook", "fail", "studio create"),
    (hook_off, "webhook", "fail", "switched off"),
    (hook_twice, "webhook", "warn", "2 webhooks"),
    (leftover, "leftovers", "warn", "Settings > Webhooks"),
    (second_backend, "leftovers", "warn", "Settings > Model"),
    (older_backend, "leftovers", "fail", "what the oldest backend proposes"),
    (title, "versions", "fail", "the order is random"),  # fact 9
    (model_version, "versions", "fail", "studio push"),
    (other_folder, "versions", "fail", "serves another folder"),
    (sampling, "sampling", "fail", "Uncertainty sampling"),
    (not_shown, "proposals", "warn", "prelabel"),
    (none_stored, "coverage", "warn", "studio push"),  # fact 10
    (none_stored, "versions", "fail", "studio push"),
    (old_versions, "duplicates", "warn", "2 old versions"),
    (set_fault("/health", 1.3), "health", "fail", "waits 1 s"),
    (set_fault("/setup", (500, {})), "setup", "fail", "HTTP 500"),
    (set_fault("/health", (401, {})), "health", "fail", "BASIC_AUTH_USER"),
    (disconnected, "connection", "fail", "studio create --backend"),
    (stopped, "connection", "fail", "spml-annotate serve"),
    (class_unknown_here, "config", "warn", "'crimson'"),
    (class_missing_there, "config", "warn", "studio create"),
    (picture_gone, "images", "warn", "1 of 5"),
    (no_picture, "pictures", "warn", "1 tasks have no picture"),
    (other_host, "image hosts", "warn", "LABEL_STUDIO_HOST"),
]


@pytest.mark.parametrize(("plant", "check", "level", "words"), PLANTED)
def test_a_planted_fault_is_named_with_its_remedy(world, plant, check, level, words):
    plant(world)
    found = world.look()[check]
    assert found.level == level
    assert words in f"{found.found} {found.remedy}"
    assert found.remedy
    assert "\n" not in found.found + found.remedy


def test_address_blocking_and_the_half_connected_trap(tmp_path):
    """Fact 1: blocked altogether, and with ML_BLOCK_LOCAL_IP=false alone connected without a webhook."""
    for folder, half in (("whole", False), ("half", True)):
        environment = {"ML_BLOCK_LOCAL_IP": str(not half), "SSRF_PROTECTION_ENABLED": "true"}
        with (
            LocalLabelStudio(environment=environment) as server,
            world_of(server, tmp_path / folder) as world,
        ):
            with pytest.raises(RemoteError, match=r"reserved|ML_BLOCK"):
                world.connect()
            checks = world.look(backend_url=world.backend.url)
            assert checks["blocking"].level == checks["connection"].level == "fail"
            assert "SSRF_PROTECTION_ENABLED=false" in checks["blocking"].remedy
            assert "USE_DEFAULT_BANNED_SUBNETS=false" in checks["blocking"].remedy
            assert ("refuses its webhook" in checks["blocking"].found) == half
            assert ("half connected" in checks["connection"].found) == half
            world.number = world.links.links()[0].project
            assert len(world.client.backends(world.number)) == half, "the check itself connected something"
            assert world.client.webhooks(world.number) == []


def test_legacy_tokens_that_are_off(world, label_studio):
    """Fact 8: the legacy token is refused, a personal access token works."""
    personal = StudioClient(label_studio.url, label_studio.personal_token)
    wanted = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    before = personal.request("GET", "/api/jwt/settings")
    personal.request("POST", "/api/jwt/settings", json=wanted)
    try:
        refused = world.look()
        assert list(refused) == ["address", "token"]
        assert refused["token"].level == "fail"
        assert "Personal Access Token" in refused["token"].remedy
        checks = world.look(client=personal)
        assert checks["token"].level == "ok"
        assert "personal" in checks["token"].found
    finally:
        restored = {name: before[name] for name in wanted}
        personal.request("POST", "/api/jwt/settings", json=restored)
        personal.close()
    assert world.look()["token"].level == "ok"


def test_a_backend_with_a_password_is_sound_if_the_webhook_carries_it(label_studio, tmp_path):
    with world_of(label_studio, tmp_path) as world:
        world.backend.basic = BASIC
        done = create_studio_project(world.project, world.links, world.client, Plan())
        world.number, world.backend.version = done.link.project, done.link.version
        plan = Plan(backend=world.backend.url, basic=BASIC)
        create_studio_project(world.project, world.links, world.client, plan)
        world.fill()
        world.settings = StudioSettings(url=world.client.url, basic=BASIC)
        assert faults(world.look()) == {}
        hook = world.hook()
        world.client.update_webhook(hook["id"], hook["url"], {"Authorization": "Basic other"})
        checks = world.look()
        assert faults(checks) == {"webhook": "fail"}
        assert "a password" not in str(checks)
        assert basic_header(BASIC)["Authorization"] not in str(checks)


def test_addresses_that_are_not_label_studio(world):
    token = "0" * 40
    with StudioClient("http://127.0.0.1:9", token) as nobody:
        checks = world.look(client=nobody)
    assert list(checks) == ["address"]
    assert "LABEL_STUDIO_URL" in checks["address"].remedy
    with StudioClient(world.backend.url, token) as backend:
        assert "is an ML backend" in world.look(client=backend)["address"].found
    world.backend.faults["/health"] = (404, b"<html>")
    with StudioClient(world.backend.url, token) as elsewhere:
        assert "is not Label Studio" in world.look(client=elsewhere)["address"].found


def test_a_folder_without_label_studio_and_a_project_that_is_gone(label_studio, tmp_path):
    with world_of(label_studio, tmp_path) as world:
        assert "studio create" in world.look()["link"].remedy
        world.connect()
        world.client.delete_project(world.number)
        checks = world.look()
        assert checks["link"].level == "fail"
        assert f"project {world.number}" in checks["link"].found
        assert list(checks)[-1] == "link"


def test_workers_are_warned_of(world, monkeypatch):
    monkeypatch.setenv("WORKERS", "4")
    assert "unset WORKERS" in world.look()["workers"].remedy
