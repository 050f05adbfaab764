"""A hundred annotators and a thousand webhooks at once, while it trains: every answer right, one training."""

import asyncio
import time

import httpx
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


async def storm(backend, tasks, project):
    """Seconds of all requests by route, and the answers to `/predict`."""
    taken = {"/predict": [], "/webhook": [], "/health": [], "/setup": []}
    answers = []
    gate = asyncio.Semaphore(100)
    limits = httpx.Limits(max_connections=300)
    async with httpx.AsyncClient(base_url=backend.url, trust_env=False, timeout=60, limits=limits) as client:

        async def send(method, route, body):
            begun = time.perf_counter()
            answer = await client.request(method, route, json=body)
            taken[route].append(time.perf_counter() - begun)
            assert answer.status_code == 200
            return answer.json()

        async def annotate(number):
            for turn in range(EACH):
                task = tasks[(number * EACH + turn) % len(tasks)]
                body = {"project": str(project["id"]), "label_config": CONFIG, "tasks": [task]}
                answers.append((task["id"], (await send("POST", "/predict", body))["results"]))

        async def hook(number):
            action = "START_TRAINING" if number % 4 == 0 else "ANNOTATION_CREATED"
            async with gate:
                await send("POST", "/webhook", {"action": action, "project": project})

        async def watch():
            for _ in range(50):
                await send("GET", "/health", None)
                await send("POST", "/setup", {"project": str(project["id"]), "schema": CONFIG})
                await asyncio.sleep(0.02)

        jobs = [annotate(n) for n in range(ANNOTATORS)] + [hook(n) for n in range(WEBHOOKS)] + [watch()]
        await asyncio.gather(*jobs)
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
