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
from spml_annotate.stores.folders import write_folder
from spml_annotate.stores.leftovers import _leftovers, being_written, is_being_written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks that tell the dead from the living")

STOP_IN_THE_MIDDLE = """
import sys, time
from pathlib import Path
from spml_annotate.stores.atomic import write_atomically
def write(file):
    file.write(b"half"); file.flush(); print("now", flush=True); time.sleep(60)
write_atomically(Path(sys.argv[1]), write)
"""

STOP_IN_A_FOLDER = """
import sys, time
from pathlib import Path
from spml_annotate.stores.folders import write_folder
def write(folder):
    (folder / "a").write_text("half"); print("now", flush=True); time.sleep(60)
write_folder(Path(sys.argv[1]), write)
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
    link = f".out.{uuid.uuid4().hex}.tmp"
    (tmp_path / link).symlink_to("out.old")

    write_text(tmp_path / "out", "whole")

    assert _names(tmp_path) == sorted([*others, link, "out"])


def test_a_folder_that_a_killed_writer_left_is_removed_and_one_being_written_stays(tmp_path: Path) -> None:
    process = _start(STOP_IN_A_FOLDER, tmp_path / "out")
    try:
        write_folder(tmp_path / "out", lambda folder: write_text(folder / "a", "whole"))
        assert len(_names(tmp_path)) == 2
        assert is_being_written(tmp_path / "out")
    finally:
        _kill(process)
    assert not is_being_written(tmp_path / "out")

    _leftovers.cache_clear()  # as in a process of its own
    write_folder(tmp_path / "out", lambda folder: write_text(folder / "a", "again"))

    assert _names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "again"


def test_a_temporary_is_made_again_if_it_was_taken_for_a_leftover(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(place: Path) -> None:
        made.append(place)
        if len(made) > 1:
            place.write_text("")

    with being_written(tmp_path / "out", make) as place:
        assert place == made[1]
    assert _names(tmp_path) == []
