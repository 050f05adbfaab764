"""A real `spml-annotate serve` on a free loopback port, and small pictures to label."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from PIL import Image

CREATED = "2026-11-21T00:21:10.688525Z"
KEY = "7.1795220470"
SEEN, UNSEEN = 30, 6
CLASSES = ("red", "green", "blue", "stripes", "checks")
CONFIG = """<View><Header value="Which?"/><Image name="picture" value="$photo"/>
<Choices name="what" toName="picture" choice="single" required="true">{}</Choices></View>""".format(
    "".join(f'<Choice value="{name}"/>' for name in CLASSES)
)


def draw(folder: Path, count: int) -> dict[str, str]:
    """File name → class of small pictures that colour and texture tell apart; they lie in the folder then."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    made = {}
    for number in range(count):
        name = CLASSES[number % len(CLASSES)]
        pixels = random.integers(0, 60, (48, 48, 3)).astype(np.uint8)
        if name in ("red", "green", "blue"):
            pixels[..., CLASSES.index(name)] = random.integers(160, 250)
        elif name == "stripes":
            pixels[:, (np.arange(48) // 4) % 2 == 0] = random.integers(180, 250)
        else:
            rows, columns = np.indices((48, 48)) // 6
            pixels[(rows + columns) % 2 == 0] = random.integers(180, 250)
        file = f"{number:03d}.png"
        Image.fromarray(pixels).save(folder / file)
        made[file] = name
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BackendProcess:
    """The server under test, a process of its own.

    Args:
        folder: MODEL_DIR, and where its log goes.
        url: of Label Studio.
        token: for it.
        project: folder of the project to serve.
        variables: further environment.
    """

    def __init__(self, folder: Path, url: str = "", token: str = "", *, project: Path | None = None, **variables: str):
        self.folder, self.project, self.port = folder, project, free_port()
        self.log = folder.with_suffix(".log")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.environment = {
            **kept,
            "OMP_WAIT_POLICY": "PASSIVE",
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": token,
            "MODEL_DIR": str(folder),
            "PORT": str(self.port),
            "SPML_POLL_SECONDS": "2",
            "SPML_SETTLE_SECONDS": "1",
            **variables,
        }
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def basic(self):
        user = self.environment.get("BASIC_AUTH_USER")
        return (user, self.environment["BASIC_AUTH_PASS"]) if user else None

    def start(self) -> "BackendProcess":
        command = [sys.executable, "-m", "spml_annotate", "serve"]
        if self.project is not None:
            command += ["--project", str(self.project)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.until(self.answers, 60)
        return self

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            return httpx.get(f"{self.url}/", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def __enter__(self) -> "BackendProcess":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def get(self, path: str, **options) -> httpx.Response:
        return httpx.get(self.url + path, auth=self.basic, trust_env=False, timeout=90, **options)

    def post(self, path: str, body, **options) -> httpx.Response:
        options.setdefault("auth", self.basic)
        return httpx.post(self.url + path, json=body, trust_env=False, timeout=90, **options)

    def metric(self, start: str) -> float:
        """Sum of the samples that begin with a text."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))

    def folders(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if (path / "spml.toml").is_file())

    def jobs(self):
        from spml_annotate.server.jobs import JobStore

        found = []
        for folder in [self.project] if self.project else self.folders():
            if (folder / "jobs.sqlite").is_file():
                store = JobStore(folder)
                found += store.jobs()
                store.close()
        return found

    def idle(self) -> bool:
        jobs = self.jobs()
        return bool(jobs) and all(job.state in ("done", "failed") for job in jobs)

    def until(self, condition, seconds: float = 120.0, pause: float = 0.1):
        """What a condition gives as soon as it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(pause)
        raise AssertionError(f"not within {seconds} s; the log ends: {self.log.read_text()[-3000:]}")


@contextmanager
def running(app):
    """A client of the application, served over real HTTP by a thread of this process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


class Studio:
    """One Label Studio project with uploaded pictures."""

    def __init__(self, server, folder: Path, count: int, config: str = CONFIG, key: str = "photo"):
        self.server, self.client = server, server.client()
        self.truth = draw(folder, count)
        self.id = int(self.client.create_project(f"test {folder.parent.name}", config)["id"])
        made = self.client.upload_images(self.id, [folder / name for name in self.truth])
        self.tasks = {int(task["id"]): self._class(task["data"][key]) for task in made}
        self.annotators = {name: server.client(token) for name, token in server.annotators.items()}

    def close(self) -> None:
        """Take the project away."""
        self.client.delete_project(self.id)
        for client in (self.client, *self.annotators.values()):
            client.close()

    def _class(self, where: str) -> str:
        return self.truth[where.rpartition("-")[2]]

    def connect(self, backend: BackendProcess, title: str = "mine", basic=None) -> int:
        return int(self.client.connect_backend(self.id, backend.url, title, basic=basic or backend.basic)["id"])

    def label(self, tasks) -> None:
        """Annotate as one of the annotators, who is right."""
        client = next(iter(self.annotators.values()))
        for task in tasks:
            client.annotate(task, self.region(self.tasks[task]), lead_time=4.0)

    def region(self, name: str):
        value = {"choices": [name]}
        return [{"from_name": "what", "to_name": "picture", "type": "choices", "value": value}]

    def predictions(self, version: str) -> dict[int, dict]:
        """Task → its one prediction of a version."""
        found = {}
        for task in self.client.tasks(self.id):
            ours = [one for one in task["predictions"] if one["model_version"] == version]
            assert len(ours) <= 1, ours
            if ours:
                found[int(task["id"])] = ours[0]
        return found

    def model_version(self) -> str:
        return str(self.client.project(self.id)["model_version"] or "")


def answer_of(prediction) -> str | None:
    regions = prediction["result"]
    return regions[0]["value"]["choices"][0] if regions else None


def payload(name: str, shared: Path):
    return json.loads((shared / "label_studio" / "samples" / f"{name}.json").read_text())["body"]
