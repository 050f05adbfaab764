"""Files are the old one or the new one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from spml_annotate.errors import DataError
from spml_annotate.stores.atomic import write_atomically, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replaces_the_content(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write_text(path, "old\n")
    write_text(path, "čau\r\n🦊\n")
    assert path.read_bytes() == "čau\r\n🦊\n".encode()
    write_atomically(path, lambda file: file.write(b"\0\xff") and None)
    assert path.read_bytes() == b"\0\xff"
    assert names(tmp_path) == ["settings.toml"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write_text(path, "old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half of the new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["settings.toml"]


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write_text(path, "old")
    child = (
        "import os, signal, sys\n"
        "from spml_annotate.stores.atomic import write_atomically\n"
        "def write(file):\n"
        "    file.write(b'half of the new'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], write)\n"
    )
    assert subprocess.run([sys.executable, "-c", child, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"


def test_new_files_are_as_readable_as_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "shared.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "shared.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*nowhere.*check that its folder exists"):
        write_text(tmp_path / "nowhere" / "file", "x")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        write_text(tmp_path / "folder", "x")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(DataError, match=r"locked.*Permission denied"):
        write_text(folder / "file", "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")
    for path in (pipe, link):
        with pytest.raises(DataError, match="it is a device or a pipe, not a file; name an ordinary file"):
            write_text(path, "new")
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert names(tmp_path) == ["link", "pipe"]
