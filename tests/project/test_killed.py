"""A process killed at any moment loses no acknowledged answer and leaves the last good model in place."""

import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from project_world import embedded_copy

TRAIN = """
import sys, torch
from spml_annotate.project import Project
torch.set_num_threads(1)
with Project(sys.argv[1]) as project:
    for seed in range(1000):
        print(project.train(epochs=2, seed=seed, device="cpu").version, file=sys.stderr, flush=True)
"""

ANSWER = """
import sys
from spml_annotate.cli.terminal import Session
from spml_annotate.workspace import Workspace
replies = 0
def read(prompt):
    global replies
    print(replies, file=sys.stderr, flush=True)  # the prompt comes after the answer before it was stored
    replies += 1
    return "yn"[replies % 2]
with Workspace.open(sys.argv[1]) as workspace:
    Session(workspace, "ann", read=read).run()
"""


@contextmanager
def running(script, folder):
    """A process of its own; what it says is read from the pipe that is given."""
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        yield process


def kill(process) -> list[str]:
    """Kill it and give back what it had said since."""
    process.send_signal(signal.SIGKILL)
    said = process.stderr.read().split()
    assert process.wait() == -signal.SIGKILL, said
    return said


def test_killed_while_training(world, tmp_path):
    with embedded_copy(world, tmp_path / "p") as project:
        project.train(epochs=2, device="cpu")
        chance = random.Random(0)
        acknowledged = "0001"
        for _ in range(2):
            with running(TRAIN, project.workspace.root) as process:
                first = process.stderr.readline().strip()
                time.sleep(chance.uniform(0.0, 0.3))
                acknowledged = [first, *kill(process)][-1]
            model = project.workspace.models.current()
            assert int(model.name) >= int(acknowledged)
            assert project.scores().shape == (60, 80)
            assert model.head().weight.shape == (80, 80)
            assert len(project.propose().proposals) >= 0
        after = project.train(epochs=2, device="cpu")
        assert int(after.version) > int(acknowledged)
        assert not list(project.workspace.models.folder.glob("unfinished-*"))


def test_killed_while_answering(world, tmp_path):
    with embedded_copy(world, tmp_path / "p") as project:
        project.ask("random-pairs", budget=2000)
        chance = random.Random(1)
        stored = len(project.workspace.log)
        for _ in range(4):
            with running(ANSWER, project.workspace.root) as process:
                assert process.stderr.readline() == "0\n"
                time.sleep(chance.uniform(0.0, 0.2))
                acknowledged = int(["0", *kill(process)][-1])
            now = len(project.workspace.log)
            assert now - stored >= acknowledged
            assert now - stored <= acknowledged + 1
            stored = now
        assert stored > 60
