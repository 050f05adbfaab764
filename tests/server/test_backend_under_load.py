"""A hundred annotators and a thousand webhooks at once, while it trains: every answer right, one training."""

import asyncio
import json
import time

import numpy as np
import pytest
from backend_process import CONFIG, BackendProcess, Studio

pytestmark = pytest.mark.slow
ANNOTATORS, EACH, WEBHOOKS = 100, 5, 1000


def quantiles(seconds):
    half, last = np.quantile(seconds, [0.5, 0.99])
    return f"p50 {half * 1e3:.0f} ms, p99 {last * 1e3:.0f} ms"


@pytest.fixture
def backend(label_studio, tmp_path):
    variables = {"START_TRAINING_EACH_N_UPDATES": "0"}
    made = BackendProcess(tmp_path / "models", label_studio.url, label_studio.token, **variables)
    yield made
    made.stop()


class Visitor:
    """One kept connection; a client library would be slower than the server under test."""

    def __init__(self, port, taken):
        self.port, self.taken = port, taken

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        await self.writer.wait_closed()

    async def send(self, method, route, body):
        content = json.dumps(body).encode()
        head = f"{method} {route} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        begun = time.perf_counter()
        self.writer.write(head.encode() + content)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        said = await self.reader.readexactly(length)
        self.taken[route].append(time.perf_counter() - begun)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return json.loads(said)


async def storm(backend, tasks, project):
    """Seconds of all requests by route, and the answers to `/predict`."""
    taken = {"/predict": [], "/webhook": [], "/health": [], "/setup": []}
    answers = []

    async def annotate(number):
        async with Visitor(backend.port, taken) as visitor:
            for turn in range(EACH):
                task = tasks[(number * EACH + turn) % len(tasks)]
                body = {"project": str(project["id"]), "label_config": CONFIG, "tasks": [task]}
                answers.append((task["id"], (await visitor.send("POST", "/predict", body))["results"]))

    async def hook(number):
        async with Visitor(backend.port, taken) as visitor:
            for turn in range(WEBHOOKS // 50):
                action = "START_TRAINING" if (number + turn) % 4 == 0 else "ANNOTATION_CREATED"
                await visitor.send("POST", "/webhook", {"action": action, "project": project})

    async def watch():
        async with Visitor(backend.port, taken) as visitor:
            for _ in range(50):
                await visitor.send("GET", "/health", None)
                await visitor.send("POST", "/setup", {"project": str(project["id"]), "schema": CONFIG})
                await asyncio.sleep(0.02)

    await asyncio.gather(*(annotate(n) for n in range(ANNOTATORS)), *(hook(n) for n in range(50)), watch())
    return taken, answers


def test_a_storm_loses_nothing_and_trains_once(label_studio, tmp_path, backend, record_property):
    studio = Studio(label_studio, tmp_path / "pictures", 40)
    try:
        backend.start()
        row = studio.connect(backend)
        backend.until(backend.idle)
        studio.label(sorted(studio.tasks)[:20])
        studio.client.train_backend(row)
        backend.until(lambda: studio.model_version().startswith("spml-0001-") and backend.idle())
        version = studio.model_version()
        stored = studio.predictions(version)
        studio.label(sorted(studio.tasks)[20:24])
        project = studio.client.project(studio.id)
        tasks = [{"id": task["id"], "data": task["data"]} for task in studio.client.tasks(studio.id)]
        taken, answers = asyncio.run(storm(backend, tasks, {"id": studio.id, "created_at": project["created_at"]}))
        for route, seconds in taken.items():
            record_property(route, quantiles(seconds))
            print(f"{route:9} {len(seconds):5} requests, {quantiles(seconds)}")
        assert len(answers) == ANNOTATORS * EACH
        for task, results in answers:
            assert len(results) == 1
            if results[0]["model_version"] == version:
                assert results[0]["result"] == stored[task]["result"]
            else:  # the training of the storm was quicker than the storm
                assert results[0]["model_version"].startswith("spml-0002-")
        backend.until(lambda: backend.idle() and studio.model_version().startswith("spml-0002-"))
        # 250 wishes became one training, or two where some came while it ran; one new version in any case
        trainings = [job for job in backend.jobs() if job.kind == "train"]
        assert 2 <= len(trainings) <= 3
        assert [job.version for job in trainings[1:]] == [studio.model_version()] * (len(trainings) - 1)
        assert set(studio.predictions(studio.model_version())) == set(studio.tasks)
    finally:
        studio.close()
