"""A project of simple pictures in a real Label Studio, with a small backend behind it, and a proxy that can fail."""

import contextlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
from simple_pictures import COLOURS_AND_TEXTURES, write_pictures
from small_backend import small_backend

from spml_annotate.loop.links import LinkStore
from spml_annotate.loop.pulling import add_link
from spml_annotate.loop.round import run_round
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.studio.forms import FORMS

KINDS = COLOURS_AND_TEXTURES


class RoundWorld(SimpleNamespace):
    """``project`` is the number in Label Studio, ``truth`` maps tasks to class names; `round` runs a round."""

    def round(self, *, train: bool, client=None):
        said = []
        speaking = client or self.client
        fetcher = ImageFetcher(self.settings, speaking)
        done = run_round(self.folder, self.link_id, speaking, fetcher, self.settings, train=train, say=said.append)
        return done, said

    @property
    def link(self):
        return self.links.get(self.link_id)

    def label(self, tasks, *, seconds=3.0):
        for task in tasks:
            result = {
                "from_name": "label",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [self.truth[task]]},
            }
            self.client.annotate(task, [result], lead_time=seconds)

    def stored(self) -> dict[str, dict[int, dict]]:
        """Version → task → prediction; fails if a version has two for a task."""
        found: dict[str, dict[int, dict]] = {}
        for task in self.client.tasks(self.project):
            counts = Counter(one["model_version"] for one in task["predictions"])
            assert set(counts.values()) <= {1}, counts
            for one in task["predictions"]:
                found.setdefault(one["model_version"], {})[task["id"]] = one
        return found


@contextlib.contextmanager
def round_world(folder, label_studio, *, connected=True, each=8, **settings):
    """Make all of it, images uploaded; ``settings`` are those of the server."""
    named = write_pictures(folder / "pictures", KINDS, each=each)
    config = FORMS["pick"].config(KINDS)
    with label_studio.client() as client, small_backend() as backend, contextlib.ExitStack() as opened:
        made = client.create_project("Round", config, sampling="Uncertainty sampling")
        tasks = client.upload_images(made["id"], [folder / "pictures" / name for name in named])
        Project.create(folder / "project", list(KINDS)).close()
        links = LinkStore(folder / "project")
        opened.callback(links.close)
        with Project(folder / "project") as project:
            link = add_link(project, links, client, made["id"])
        backend.faults["/setup"] = lambda body: (200, {"model_version": links.get(link.id).version})
        world = RoundWorld(
            folder=folder / "project",
            pictures=folder / "pictures",
            client=client,
            backend=backend,
            links=links,
            link_id=link.id,
            project=made["id"],
            tasks=[task["id"] for task in tasks],
            truth={task["id"]: kind for task, kind in zip(tasks, named.values(), strict=True)},
            settings=StudioSettings(url=label_studio.url, token=label_studio.token, **settings),
        )
        if connected:
            client.connect_backend(made["id"], backend.url, "a backend")
        yield world


class Proxy:
    """Forwards to Label Studio; ``hook(method, path)`` may give a status to refuse with, or "lose": drop the answer."""

    def __init__(self, url: str) -> None:
        self.hook = lambda method, path: ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                outcome = outer.hook(self.command, self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if isinstance(outcome, int):
                    self.send_response(outcome)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = httpx.request(self.command, url + self.path, content=body, headers=headers, timeout=60)
                if outcome == "lose":
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def __getattr__(self, name: str):
                if name.startswith("do_"):
                    return self.handle_any
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextlib.contextmanager
def proxied(label_studio):
    """(proxy, client that speaks through it)."""
    proxy = Proxy(label_studio.url)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with StudioClient(proxy.url, label_studio.token) as client:
            yield proxy, client
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()
