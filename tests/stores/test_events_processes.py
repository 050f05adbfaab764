"""Real processes: several that write at once, and one that is killed while it writes."""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spml_annotate.folding import fold
from spml_annotate.labels import Observation
from spml_annotate.stores.events import SqliteLog

# A writer appends batches of five for ever (or `count` times) and prints a batch's name once it is acknowledged.
WRITER = """
import itertools, sys
from spml_annotate.labels import Observation
from spml_annotate.stores.events import SqliteLog

path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
with SqliteLog(path) as log:
    for number in itertools.islice(itertools.count(), count or None):
        batch = f"{name}-{number}"
        log.append(
            Observation(number, label, "yes", name, question=batch, event=f"{batch}-{label}") for label in range(5)
        )
        print(batch, flush=True)
"""


def start_writer(path: Path, name: str, count: int = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    writers = [start_writer(path, f"writer{number}", 40) for number in range(4)]  # they also race to create the file
    for number, writer in enumerate(writers):
        printed, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        assert printed.split() == ["ready", *(f"writer{number}-{batch}" for batch in range(40))]
    with SqliteLog(path) as log:
        events = [observation.event for observation in log]
        assert len(events) == len(set(events)) == len(log) == 4 * 40 * 5
        # A batch stays together, and each writer's batches are in the order it wrote them.
        batches = [observation.question for observation in log][::5]
        assert events == [f"{batch}-{label}" for batch in batches for label in range(5)]
        for number in range(4):
            mine = [batch for batch in batches if batch.startswith(f"writer{number}-")]
            assert mine == [f"writer{number}-{batch}" for batch in range(40)]
        assert fold(log, (40, 5)).matrix.known == 40 * 5


def test_threads_share_a_log(tmp_path: Path) -> None:
    with SqliteLog(tmp_path / "labels.sqlite") as log:

        def write(name: str) -> None:
            for row in range(20):
                log.append([Observation(row, 0, "yes", name), Observation(row, 1, "no", name)])

        threads = [threading.Thread(target=write, args=(f"thread{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(log) == 4 * 20 * 2


@pytest.mark.slow
def test_kill_at_random_moments_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    moments = random.Random(2)
    acknowledged: list[str] = []
    kills_between = 0
    for life in range(24):
        writer = start_writer(path, f"life{life}")
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.08))
        writer.kill()  # SIGKILL: it cannot tidy up
        printed = writer.stdout.read().splitlines(keepends=True)
        writer.stdout.close()
        assert writer.wait() == -9
        told = [line.strip() for line in printed if line.endswith("\n")]
        acknowledged += told
        kills_between += bool(told)

        with SqliteLog(path) as log:
            batches: dict[str, int] = {}
            for observation in log:
                batches[observation.question] = batches.get(observation.question, 0) + 1
        assert set(acknowledged) <= set(batches)
        assert set(batches.values()) <= {5}
        # What the killed writer did not get to say is at most the one batch that it was busy with.
        mine = [batch for batch in batches if batch.startswith(f"life{life}-")]
        assert len(mine) - len(told) in (0, 1)
    assert kills_between >= 12, "most kills must hit a writer at work"
