"""Connections that ask for nothing are ended, and projects leave room for connections."""

import resource
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
import uvicorn
from backend_process import CONFIG

from spml_annotate.server import hub as hub_module
from spml_annotate.server.backend import Backend
from spml_annotate.server.connections import FILES_BESIDE, most_projects, open_files, patient_protocol
from spml_annotate.studio.environment import StudioSettings


async def slowly(scope, receive, send):
    """Answers after half a second: a request that is being answered is not idle."""
    import asyncio

    assert scope["type"] == "http"
    await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port():
    """Of a server that waits a fifth of a second for requests."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(slowly, log_config=None, lifespan="off", http=patient_protocol(0.2))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.mark.parametrize("begun", [b"", b"POST /setup HTTP/1.1\r\nHo"])
def test_who_asks_nothing_is_sent_away(port, begun):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
        silent.sendall(begun)
        assert silent.recv(100) == b""


def test_who_asks_is_answered_however_long_that_takes(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
        assert [client.get("/").text for _ in range(3)] == ["ok"] * 3


def test_a_second_request_that_never_ends_is_sent_away_too(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"ok"):  # head and body may come one after the other
            part = slow.recv(1000)
            assert part
            answer += part
        slow.sendall(b"GET / HTTP")
        assert slow.recv(100) == b""


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be():
    code = (
        "import resource\nfrom spml_annotate.server.connections import open_files\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "print(open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, soft = map(int, done.stdout.split())
    assert told == soft >= 256
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard == resource.RLIM_INFINITY or soft >= min(hard, 1024)


def test_projects_leave_room_for_connections(tmp_path, monkeypatch, caplog):
    assert most_projects(1024) * 7 < 1024 - FILES_BESIDE
    assert most_projects(0) == 1
    assert most_projects(open_files()) >= 1
    monkeypatch.setattr(hub_module, "open_files", lambda: FILES_BESIDE + 2 * 8)
    backend = Backend(StudioSettings(model_dir=tmp_path / "models"))
    backend.open()
    try:
        bodies = [{"project": f"{number}.5", "schema": CONFIG, "hostname": "http://ls"} for number in range(4)]
        versions = [backend.setup(body, False)["model_version"] for body in bodies]
        assert versions[2:] == [hub_module.NOBODY] * 2
        assert hub_module.NOBODY not in versions[:2]
        assert "ulimit -n" in caplog.text
    finally:
        backend.close()
