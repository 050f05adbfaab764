"""What killed writers leave is removed by the next write of the same name, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from spml_annotate.stores.atomic import check_target, write_text
from spml_annotate.stores.leftovers import being_written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks that tell the dead from the living")

STOP_IN_THE_MIDDLE = """
import sys, time
from pathlib import Path
from spml_annotate.stores.atomic import write_atomically
def write(file):
    file.write(b"half"); file.flush(); print("now", flush=True); time.sleep(60)
write_atomically(Path(sys.argv[1]), write)
"""


def _start(script: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    _kill(_start(STOP_IN_THE_MIDDLE, tmp_path / "out"))
    assert len(_names(tmp_path)) == 1

    write_text(tmp_path / "out", "whole")

    assert _names(tmp_path) == ["out"]


def test_a_check_of_the_place_tidies_too(tmp_path: Path) -> None:
    _kill(_start(STOP_IN_THE_MIDDLE, tmp_path / "out"))
    check_target(tmp_path / "out")
    assert _names(tmp_path) == []


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    process = _start(STOP_IN_THE_MIDDLE, tmp_path / "out")
    try:
        write_text(tmp_path / "out", "whole")
        assert len(_names(tmp_path)) == 2
    finally:
        _kill(process)


def test_files_of_other_names_and_other_people_stay(tmp_path: Path) -> None:
    others = [f".other.{uuid.uuid4().hex}.tmp", ".out.tmp", ".out.1234.tmp", f"out.{uuid.uuid4().hex}.tmp", "out.old"]
    for name in others:
        (tmp_path / name).write_text("theirs")
    folder = f".out.{uuid.uuid4().hex}.tmp"
    (tmp_path / folder).mkdir()

    write_text(tmp_path / "out", "whole")

    assert _names(tmp_path) == sorted([*others, folder, "out"])


def test_a_temporary_is_made_again_if_it_was_taken_for_a_leftover(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(place: Path) -> None:
        made.append(place)
        if len(made) > 1:
            place.write_text("")

    with being_written(tmp_path / "out", make) as place:
        assert place == made[1]
    assert _names(tmp_path) == []
