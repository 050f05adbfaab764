"""Folders are written whole or not at all, and replace only what was written the same way."""

from __future__ import annotations

import pytest

from spml_annotate.errors import DataError
from spml_annotate.stores.folders import check_folder, note_files, write_folder


def put(*names):
    def write(folder):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)

    return write


def content(folder):
    return sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    )


def test_a_folder_is_replaced_by_the_next_export(tmp_path):
    write_folder(tmp_path / "out", put("a/1.txt", "line\nbreak.txt", "é.txt"))
    write_folder(tmp_path / "out", put("b.txt"))
    assert content(tmp_path / "out") == ["b.txt"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", put("b.txt"))
    assert content(tmp_path / "out") == ["b.txt"]


def test_files_of_others_are_never_replaced(tmp_path):
    write_folder(tmp_path / "out", put("a.txt"))
    (tmp_path / "out" / "mine.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"holds 'mine\.txt', which no export wrote; choose another name"):
        write_folder(tmp_path / "out", put("b.txt"))
    assert content(tmp_path / "out") == ["a.txt", "mine.txt"]
    note_files(tmp_path / "out", ["mine.txt"])
    write_folder(tmp_path / "out", put("b.txt"))
    assert content(tmp_path / "out") == ["b.txt"]


def test_a_link_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    for name, target in (("link", "disk"), ("nowhere", "missing")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(DataError, match=f"{name}: this is a link to {target}; name the folder itself"):
            write_folder(tmp_path / name, put("a.txt"))
        assert (tmp_path / name).is_symlink()
    assert content(tmp_path) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(DataError, match="this is a file, and the export is a folder"):
        check_folder(tmp_path / "out")


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    write_folder(tmp_path / "out", put("a.txt"))

    def fail(folder):
        put("b.txt")(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "out", fail)
    assert content(tmp_path / "out") == ["a.txt"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(DataError, match="check that its folder exists"):
        write_folder(tmp_path / "missing" / "out", put("a.txt"))


def test_an_export_from_before_there_were_lists_is_replaced(tmp_path):
    old = tmp_path / "out"
    old.mkdir()
    (old / "labels.parquet").write_bytes(b"PAR1")
    (old / "manifest.json").write_text('{"format": "something else"}')
    with pytest.raises(DataError, match="which no export wrote"):
        check_folder(old)
    (old / "manifest.json").write_text('{"format": "spml-annotate labels", "format_version": 1}')
    check_folder(old)
    (old / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="which no export wrote"):
        check_folder(old)
    (old / "mine.txt").unlink()
    write_folder(old, lambda folder: (folder / "new").write_text("1"))
    assert sorted(file.name for file in old.iterdir()) == [".spml-annotate-files", "new"]
