"""A small ML backend over real HTTP whose faults can be switched on, and a small project to send."""

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from spml_annotate.project import Project

CLASSES = ("red", "green", "blue & white")


class SmallBackend:
    """``version`` is announced by /setup; ``faults`` maps a route to what it does wrong; ``seen`` lists requests."""

    def __init__(self) -> None:
        self.version: object = "spml-0000-test"
        self.predicted: object = None
        self.basic: tuple[str, str] | None = None
        self.faults: dict[str, object] = {}
        self.seen: list[tuple[str, dict, dict]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(outer.answer(self.path, {}, dict(self.headers)))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                self.reply(outer.answer(self.path, body, dict(self.headers)))

            def reply(self, answer: tuple[int, object]) -> None:
                status, said = answer
                content = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a caller that gave up waiting: what slow answers are here for

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str, body: dict, headers: dict) -> tuple[int, object]:
        self.seen.append((path, body, headers))
        fault = self.faults.get(path)
        if isinstance(fault, float):
            time.sleep(fault)
        elif fault is not None:
            return fault(body) if callable(fault) else fault
        if self.basic and headers.get("Authorization") != self.authorization():
            return 401, {"error": "user and password, please"}
        return 200, self.plain(path, body)

    def authorization(self) -> str:
        assert self.basic is not None
        return "Basic " + base64.b64encode(":".join(self.basic).encode()).decode()

    def plain(self, path: str, body: dict) -> object:
        if path == "/setup":
            return {"model_version": self.version}
        if path == "/predict":
            version = self.version if self.predicted is None else self.predicted
            return {"results": [{"result": [], "score": 0.5, "model_version": version} for _ in body["tasks"]]}
        return {"status": "UP", "model_class": "Small"}

    def hooks(self) -> list[str]:
        return [body.get("action", "") for path, body, _ in self.seen if path == "/webhook"]


@contextmanager
def small_backend():
    backend = SmallBackend()
    thread = threading.Thread(target=backend.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        backend.server.shutdown()
        backend.server.server_close()
        thread.join()


def draw(folder, count: int = 5, *, first: int = 0) -> None:
    """Write small pictures, two of equal names in different folders among them."""
    for number in range(first, first + count):
        place = folder / ("odd" if number % 2 else "even & so")
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"picture {number // 2}.png")


def small_project(folder, count: int = 5) -> Project:
    """A project in ``folder/project`` whose pictures lie in ``folder/files/pictures``."""
    draw(folder / "files" / "pictures", count)
    project = Project.create(folder / "project", list(CLASSES), name="small")
    project.add_images(folder / "files" / "pictures")
    return project
