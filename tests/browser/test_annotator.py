"""An annotator at the screen: corrects a proposal by keyboard, says what is absent, answers a question with one key."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from spml_annotate.datasets.scene_drawing import COLOURS
from spml_annotate.datasets.scenes import load_scenes, write_scenes
from spml_annotate.labels import POSITIVE
from spml_annotate.project import Project

pytestmark = pytest.mark.slow
IMAGES = 40
NEGATIVES_TITLE = "Tick those of these that are NOT on the image"


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Shell:
    """The command line as a user runs it, and the backend as a process of its own."""

    def __init__(self, folder: Path, studio) -> None:
        self.folder, self.port = folder, free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO", "SPML_", "BASIC_AUTH"))}
        told = {
            "LABEL_STUDIO_URL": studio.url,
            "LABEL_STUDIO_API_KEY": studio.token,
            "SPML_POLL_SECONDS": "2",
            "START_TRAINING_EACH_N_UPDATES": "0",
        }
        self.environment = {**kept, **told, "SPML_PROJECT": str(folder)}

    def run(self, *words: str) -> dict:
        """A command with --json."""
        command = [sys.executable, "-m", "spml_annotate", *words, "--json", "-q"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def backend(self):
        command = [sys.executable, "-m", "spml_annotate", "serve", "--port", str(self.port)]
        with (self.folder.parent / "serve.log").open("wb") as log:
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                until(lambda: healthy(self.port), "the backend answers")
                yield f"http://127.0.0.1:{self.port}"
            finally:
                process.terminate()
                process.wait(30)


def healthy(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200
    return False


def until(happened, what: str, seconds: float = 180.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = happened()
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s: {what}")


class World:
    """A project of drawn pictures whose classes are colours, connected to a fresh Label Studio project."""

    def __init__(self, folder: Path, studio) -> None:
        scenes = load_scenes(train=IMAGES, validation=0, test=0)
        pictures = write_scenes(folder, scenes)
        with Project.create(folder / "project", list(COLOURS), name="scenes") as project:
            project.add_images(pictures)
        truth = scenes.labels.dense().reshape(IMAGES, -1, len(COLOURS)) == POSITIVE
        self.colours = {
            name: [list(COLOURS)[c] for c in np.flatnonzero(there.any(0))]
            for name, there in zip(scenes.image_ids, truth, strict=True)
        }
        self.shell = Shell(folder / "project", studio)

    def connect(self, owner, url: str) -> None:
        self.made = self.shell.run("studio", "create", "--backend", url)
        (found,) = [p for p in owner.projects() if p["title"] == "scenes"]
        self.project = found["id"]
        self.version = self.project_facts(owner)["model_version"]

    def project_facts(self, owner) -> dict:
        return owner.project(self.project)

    def known(self) -> dict[tuple[str, str], str]:
        """(image, class) → answer of everything that ann has said."""
        with Project(self.shell.folder) as project:
            ids, names = project.image_ids, project.taxonomy.names
            return {
                (ids[said.row], names[said.label]): said.answer
                for said in project.workspace.log
                if said.annotator == "ls:ann@example.com"
            }


@pytest.fixture
def world(label_studio, tmp_path):
    made = World(tmp_path, label_studio)
    with label_studio.client() as owner, made.shell.backend() as url:
        made.connect(owner, url)
        yield made, owner
        for project in owner.projects():
            if project["title"].startswith("scenes"):
                owner.delete_project(project["id"])


def train(world: World, owner, studio) -> str:
    """Another annotator names one colour on half of the pictures, and somebody presses "Start training"."""
    with studio.client(studio.annotators["ben@example.com"]) as ben:
        for task in sorted(owner.task_ids(world.project))[: IMAGES // 2]:
            colour = world.colours[owner.task(task)["data"]["spml_image"]][0]
            region = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [colour]}}
            ben.annotate(task, [region], lead_time=2.0)
    owner.train_backend(owner.backends(world.project)[0]["id"])
    version = world.version
    return until(lambda: (now := world.project_facts(owner)["model_version"]) != version and now, "a trained version")


def ticked(page) -> list[str]:
    """Names of the choices that are ticked on the page."""
    boxes = page.locator("label:has(input[type=checkbox]:checked), label:has(input[type=radio]:checked)")
    return [text.split("[")[0].strip() for text in boxes.all_inner_texts()]


def open_stream(page, studio, project: int) -> None:
    page.goto(f"{studio.url}/projects/{project}/data?labeling=1")
    page.get_by_test_id("bottombar-submit-button").wait_for()
    page.wait_for_function("() => [...document.images].some(i => i.naturalWidth > 50 && i.complete)")


def test_a_proposal_is_corrected_by_keyboard_and_a_class_said_to_be_absent(window, label_studio, world):
    made, owner = world
    train(made, owner, label_studio)
    put = made.shell.run("ask", "--pick", "--to", "label-studio", "--negatives", "3")["tasks"]["pick"]
    assert put["negatives"] > 0

    open_stream(window, label_studio, made.project)
    until(lambda: len(ticked(window)) == 1, "one proposal is ticked", 30)
    (proposed,) = ticked(window)
    wanted = next(colour for colour in COLOURS if colour != proposed)
    press(window, wanted)
    until(lambda: ticked(window) == [wanted], "the key corrected it", 10)
    window.keyboard.press("Control+Enter")
    (cell,) = until(made.known, "the answer is in the log")
    assert (cell[1], made.known()[cell]) == (wanted, "yes")

    window.wait_for_timeout(1000)
    absent = meet_negatives(window)
    keep(window, "pick")
    window.keyboard.press("Control+Enter")
    until(lambda: "no" in made.known().values(), "the class said to be absent is in the log")
    assert {colour for (_, colour), answer in made.known().items() if answer == "no"} == {absent}
    assert window.errors == []


def press(page, colour: str) -> None:
    """The key of a class: the first nine have the digits."""
    page.keyboard.press(str(list(COLOURS).index(colour) + 1))


def meet_negatives(page) -> str:
    """Submit pictures as they are proposed until one comes with classes to rule out; tick the first, which it gives."""
    title = page.get_by_text(NEGATIVES_TITLE)
    for _ in range(IMAGES):
        until(lambda: ticked(page), "a picture with a proposal", 30)
        if title.is_visible():
            box = page.locator("label").nth(len(COLOURS))
            box.click()
            return box.inner_text().split("[")[0].strip()
        with page.expect_response(lambda answer: "next_task" in answer.url):
            page.keyboard.press("Control+Enter")
        page.wait_for_timeout(1000)  # the page draws it
    raise AssertionError("no picture came with proposed negatives")


def test_a_verify_question_takes_one_key(window, label_studio, world):
    made, owner = world
    train(made, owner, label_studio)
    asked = made.shell.run("ask", "--strategy", "expected-positives:verify", "--budget", "20s", "--to", "label-studio")
    project = asked["tasks"]["verify"]["project"]
    task = sorted(owner.tasks(project), key=lambda task: task["predictions"][0]["score"])[0]
    image, colour = task["data"]["spml_image"], task["data"]["query"]

    open_stream(window, label_studio, project)
    window.get_by_text(f"Is this on the image: {colour} ?").wait_for()
    keep(window, "verify")
    window.keyboard.press("n")
    window.keyboard.press("Control+Enter")
    assert until(made.known, "the answer is in the log") == {(image, colour): "no"}
    window.get_by_text(f"Is this on the image: {colour} ?").wait_for(state="hidden")  # the next question came
    assert window.errors == []


def keep(page, name: str) -> None:
    """A picture of the page, for people, where SCREENSHOTS names a folder."""
    if os.environ.get("SCREENSHOTS"):
        page.wait_for_timeout(6000)  # until notices are gone
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png")
