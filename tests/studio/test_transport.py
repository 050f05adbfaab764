"""Failures of the wire, each in one line that says what to do."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spml_annotate.errors import RemoteError, SettingError
from spml_annotate.studio import transport
from spml_annotate.studio.client import StudioClient

TOKEN = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Answers with what is next in ``answers``; a callable answers by itself."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answers, self.asked = [], []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        status, kind, body = self.server.answers.pop(0)
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "https://elsewhere.example.com/?secret=hush")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):  # closed on purpose
            super().finish()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setattr(transport, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    with StudioClient(f"http://127.0.0.1:{server.server_address[1]}", TOKEN, timeout=0.5) as made:
        yield made


JSON, HTML = "application/json", "text/html; charset=utf-8"
GOOD = (200, JSON, b'{"id": 1}')
BROKEN = (0, "", b"")


def fails(client, words, status, method="GET"):
    with pytest.raises(RemoteError, match=words) as caught:
        client.request(method, "/api/thing/")
    assert caught.value.status == status
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    assert TOKEN not in text
    assert "hush" not in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, JSON, b'{"detail": "nope"}'), r"legacy token \(nope\).*personal access token"),
        ((403, JSON, b'{"detail": "not you"}'), "does not allow GET /api/thing/: not you; use the token"),
        ((404, JSON, b'{"detail": "No Task"}'), r"has no /api/thing/ \(No Task\)"),
        (
            (400, JSON, json.dumps({"title": ["too short"], "x": {"y": ["odd"]}}).encode()),
            "title: too short; x: y: odd",
        ),
        ((400, JSON, json.dumps({"detail": "x" * 9000}).encode()), "xxx"),
        ((400, JSON, json.dumps({"detail": "bad " + TOKEN}).encode()), r"bad \(token\)"),
        ((302, HTML, b""), "on to https://elsewhere.example.com/; set LABEL_STUDIO_URL"),
        ((200, HTML, b"<html>"), "a web page instead of JSON.*LABEL_STUDIO_URL"),
        ((200, JSON, b'{"cut'), "instead of JSON"),
    ],
)
def test_refusals(server, client, answer, words):
    server.answers = [answer]
    fails(client, words, answer[0])


def test_an_internal_error_is_asked_again_and_then_told(server, client):
    server.answers = [(500, JSON, b'{"detail": "locked"}'), GOOD]
    assert client.request("GET", "/api/thing/") == {"id": 1}
    server.answers = [(503, HTML, b"<html>")] * 4
    fails(client, "failed at GET /api/thing/ with HTTP 503: a web page", 503)
    server.answers = [(500, HTML, b"<html>")]
    fails(client, "HTTP 500", 500, method="POST")


def test_a_broken_connection_is_tried_again_where_that_is_harmless(server, client):
    server.answers = [BROKEN, BROKEN, GOOD]
    assert client.request("GET", "/api/thing/") == {"id": 1}
    server.answers = [BROKEN, GOOD]
    fails(client, "cannot be reached", None, method="POST")
    assert server.asked.count("POST /api/thing/") == 1


def test_nobody_listens(server, monkeypatch):
    monkeypatch.setattr(transport, "RETRY_SECONDS", ())
    with StudioClient("http://127.0.0.1:1", TOKEN) as client:
        fails(client, "cannot be reached .*start it, or correct LABEL_STUDIO_URL", None)


def test_another_shape_is_no_label_studio(server, client):
    server.answers = [(200, JSON, b"[]"), GOOD]
    with pytest.raises(RemoteError, match="unknown form"):
        client.whoami()
    with pytest.raises(RemoteError, match="unknown form"):
        client.backends(1)


def test_an_empty_answer_is_none(server, client):
    server.answers = [(204, JSON, b"")]
    assert client.request("GET", "/api/thing/") is None


@pytest.mark.parametrize("url", ["", "studio", "http://", "ftp://x", "http://x:y", "http://u:hush@x", "//x"])
def test_what_is_no_address(url):
    with pytest.raises(SettingError, match="LABEL_STUDIO_URL") as caught:
        StudioClient(url, TOKEN)
    assert "hush" not in str(caught.value)


def test_the_address_is_kept_plain():
    assert StudioClient("http://Studio:8080/label/?x=1#y", TOKEN).url == "http://Studio:8080/label"
