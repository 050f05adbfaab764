"""The real Label Studio that tests and the demonstration start: it stops with us, and comes back as it was."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from spml_annotate.errors import RemoteError, SettingError
from spml_annotate.studio.launch import LocalLabelStudio

pytestmark = pytest.mark.slow

STARTER = """
import sys
from spml_annotate.studio.launch import LocalLabelStudio
server = LocalLabelStudio(sys.argv[1], password="a password of one test").start()
print(server.pid, server.port, flush=True)
sys.stdin.read()
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_dies_with_who_started_it_and_starts_again(label_studio, tmp_path):
    """One more server, killed with its starter; then the same folder again, with the users it had."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        pid, port = map(int, starter.stdout.readline().split())
        assert listens(port)
        assert alive(pid)
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.communicate()
    for _ in range(600):
        if not listens(port):
            break
        time.sleep(0.05)
    assert not listens(port)
    with LocalLabelStudio(tmp_path, password="a password of one test") as again, again.client() as client:
        assert client.whoami()["email"] == again.username
        before = (again.pid, again.port)
        again.restart()
        assert again.port == before[1]
        assert again.pid != before[0]
        assert client.whoami()["email"] == again.username
    assert not listens(before[1])
    with pytest.raises(RemoteError, match=r"did not accept admin@example\.com") as caught:
        LocalLabelStudio(tmp_path, password="another password").start()
    assert "another password" not in str(caught.value)


def test_its_key_is_read_back_as_written_when_it_starts_again(label_studio):
    """A key that begins with $ would not be; Label Studio adds a line where it finds none that it can read."""
    settings = label_studio.folder / ".env"
    assert re.fullmatch(r"SECRET_KEY=[0-9a-f]{64}\n", settings.read_text())
    assert settings.stat().st_mode & 0o777 == 0o600


def test_nothing_secret_is_seen_from_outside(label_studio):
    arguments = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(label_studio.pid)], capture_output=True, text=True, check=True
    ).stdout
    secrets = [label_studio.token, label_studio.personal_token, label_studio.password]
    for secret in secrets:
        assert secret not in arguments + repr(label_studio)
    assert "127.0.0.1" in arguments


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine on Linux alone")
def test_it_listens_on_this_machine_alone(label_studio):
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{label_studio.port}/health", timeout=5)


def test_a_port_in_use_is_refused(label_studio, tmp_path, monkeypatch):
    monkeypatch.setattr("spml_annotate.studio.launch._PORT_SECONDS", 0.0)
    with pytest.raises(SettingError, match=f"port {label_studio.port} of 127.0.0.1 is in use"):
        LocalLabelStudio(tmp_path, port=label_studio.port).start()


def test_the_invitation_makes_members_of_the_organisation(label_studio):
    for email, token in label_studio.annotators.items():
        with label_studio.client(token) as annotator:
            assert annotator.whoami()["active_organization"] == 1
            assert annotator.whoami()["email"] == email
    with pytest.raises(RemoteError, match="did not accept"):
        label_studio.add_user(next(iter(label_studio.annotators)), "a second time")
