"""The server's threads outlive what goes wrong in them, and two servers never share a folder."""

import errno
import sqlite3
import threading
import time

import pytest
from backend_process import CONFIG, CREATED

from spml_annotate.errors import DataError, MismatchError, RemoteError
from spml_annotate.loop.links import MAIN
from spml_annotate.project import Project
from spml_annotate.server.backend import Backend
from spml_annotate.server.child import _may_pass
from spml_annotate.server.hub import Hub
from spml_annotate.server.runner import Runner
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.studio.environment import StudioSettings


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def hub(tmp_path):
    """Serves one project that is connected, with no Label Studio to be reached."""
    Project.create(tmp_path / "project", ["cat", "dog"]).close()
    made = Hub(StudioSettings(model_dir=tmp_path), tmp_path / "project")
    made.open()
    made.served()[0].links.add("http://127.0.0.1:1", 7, CREATED, MAIN, CONFIG)
    yield made
    made.close()


def test_jobs_go_on_after_a_disk_that_refused_to_note_how_one_ended(hub, monkeypatch):
    served, runner = hub.served()[0], Runner(hub)
    served.jobs._connection.execute("PRAGMA busy_timeout = 0")
    job, asked, look = served.jobs.request(1, "train", "pressed"), [], hub.access
    other = sqlite3.connect(served.jobs.path, isolation_level=None, check_same_thread=False)

    def refusing(link):
        asked.append(link.id)
        if len(asked) == 1:
            other.execute("BEGIN IMMEDIATE")  # from now on nothing can be written
        return look(link)

    monkeypatch.setattr(hub, "access", refusing)
    runner.start()
    try:
        until(lambda: asked and runner.finished)
        assert served.jobs.get(job.id).state == "running"
        other.execute("ROLLBACK")
        until(lambda: served.jobs.get(job.id).delays == 1)
        assert len(asked) == 2
        assert "LABEL_STUDIO_URL is not set" in served.jobs.get(job.id).error
    finally:
        runner.stop()
        other.close()


def test_the_watcher_goes_on_after_a_failure_of_ours(tmp_path, monkeypatch):
    Project.create(tmp_path / "project", ["cat"]).close()
    backend = Backend(StudioSettings(model_dir=tmp_path, poll_seconds=0.01), tmp_path / "project")
    backend.open()
    looks = []

    def failing():
        looks.append(1)
        raise KeyError("a failure of ours")

    monkeypatch.setattr(backend.watcher, "_read_classes", failing)
    backend.watcher.start()
    try:
        until(lambda: len(looks) > 1)
    finally:
        backend.watcher.stop()
        backend.close()


def test_a_folder_has_one_server_whichever_way_it_is_named(tmp_path):
    Project.create(tmp_path / "models" / "one", ["cat"]).close()
    Project.create(tmp_path / "models" / "two", ["cat"]).close()
    settings = StudioSettings(model_dir=tmp_path / "models")
    everything, one = Hub(settings), Hub(settings, tmp_path / "models" / "one")
    everything.open()
    with pytest.raises(MismatchError, match="is served already"):
        one.open()
    everything.close()
    one.open()
    everything.open()
    assert [served.folder.name for served in everything.served()] == ["two"]
    everything.close()
    one.close()


def test_a_full_disk_and_a_silent_label_studio_pass(tmp_path):
    def refuse(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError) as full:
        write_atomically(tmp_path / "file", refuse)
    assert _may_pass(full.value)
    assert _may_pass(RemoteError("no answer"))
    with pytest.raises(DataError) as missing:
        write_atomically(tmp_path / "folder" / "file", refuse)
    assert not _may_pass(missing.value)
    assert not _may_pass(RemoteError("no such token", status=401))


def test_setup_waits_for_nobody_who_writes(hub):
    links = hub.served()[0].links
    other = sqlite3.connect(links.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # a training process puts a long queue down
    writer = threading.Thread(target=links.update, args=(1,), kwargs={"cursor": "later"})
    reader = threading.Thread(target=links.get, args=(1,))
    writer.start()
    time.sleep(0.2)
    reader.start()
    reader.join(10.0)
    blocked = reader.is_alive()
    other.execute("ROLLBACK")
    writer.join()
    reader.join()
    other.close()
    assert not blocked
    assert links.get(1).cursor == "later"
