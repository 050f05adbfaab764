"""The list of images: append-only, copies found and kept in one split."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError
from spml_annotate.stores.database import connect
from spml_annotate.stores.events import SqliteLog
from spml_annotate.stores.images import TEST, TRAIN, VALIDATION, ImageEntry, ImageList, describe_file


@pytest.fixture
def images(tmp_path: Path):
    with ImageList(tmp_path / "labels.sqlite") as opened:
        yield opened


def picture(name: str, content: str = "", split: int = TRAIN) -> ImageEntry:
    return ImageEntry(name, f"/photos/{name}", content, split)


def test_images_keep_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with ImageList(path) as images:
        assert images.add([picture("b.png", "1"), picture("a.png", "2", TEST)]).tolist() == [0, 1]
    with ImageList(path) as images:
        assert images.add([picture("c.png", "3"), picture("a.png", "2")]).tolist() == [2, 1]
        assert len(images) == 3
        assert images.ids() == ("b.png", "a.png", "c.png")
        assert images.paths()[0] == "/photos/b.png"
        assert images.splits().tolist() == [TRAIN, TEST, TRAIN]
        assert images.splits().dtype == np.int8


def test_an_empty_list_is_a_list(images: ImageList) -> None:
    assert images.add([]).tolist() == []
    assert len(images) == len(images.ids()) == len(images.splits()) == 0
    assert images.fingerprint() == images.fingerprint(0)


def test_equal_file_names_in_different_folders_are_different_images(images: ImageList, tmp_path: Path) -> None:
    for folder, content in (("x", b"one"), ("y", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "IMG_1.jpg").write_bytes(content)
    rows = images.add(describe_file(tmp_path / folder / "IMG_1.jpg", tmp_path) for folder in "xy")
    assert rows.tolist() == [0, 1]
    assert images.ids() == ("x/IMG_1.jpg", "y/IMG_1.jpg")
    assert images.duplicates() == {}


def test_copies_are_found_by_content_and_join_the_first_ones_split(images: ImageList) -> None:
    images.add([picture("a", "same", VALIDATION), picture("b", "other"), picture("copy", "same", TRAIN)])
    images.add([picture("another copy", "same", TEST)])
    assert images.duplicates() == {2: 0, 3: 0}
    assert images.originals().tolist() == [0, 1, 0, 0]
    assert images.splits().tolist() == [VALIDATION, TRAIN, VALIDATION, VALIDATION]
    assert images.set_split([3], TEST).tolist() == [0, 2, 3]
    assert images.splits().tolist() == [TEST, TRAIN, TEST, TEST]


def test_images_without_a_file_are_no_copies_of_each_other(images: ImageList) -> None:
    images.add([picture("a"), picture("b")])
    assert images.duplicates() == {}


@given(
    contents=st.lists(st.sampled_from("abcd"), min_size=1, max_size=12),
    cut=st.integers(0, 12),
    moves=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), max_size=6),
)
def test_copies_are_in_one_split_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str], cut: int, moves: list[tuple[int, int]]
) -> None:
    entries = [picture(f"{row}.png", content, row % 3) for row, content in enumerate(contents)]
    with ImageList(tmp_path_factory.mktemp("images") / "labels.sqlite") as images:
        images.add(entries[:cut])
        images.add(entries[cut:])
        for row, split in moves:
            images.set_split([row % len(contents)], split)
        splits = images.splits()
        for content in set(contents):
            rows = [row for row, other in enumerate(contents) if other == content]
            assert len({int(splits[row]) for row in rows}) == 1
            assert all(images.originals()[row] == rows[0] for row in rows)


def test_an_image_is_never_replaced(images: ImageList) -> None:
    images.add([picture("a.png", "1")])
    with pytest.raises(DataError, match=r"'a\.png' is in the project with other content"):
        images.add([picture("new.png", "9"), picture("a.png", "2")])
    assert images.ids() == ("a.png",)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM images", "UPDATE images SET row = 9", "UPDATE images SET id = 'x'", "UPDATE images SET sha256 = 'x'"],
)
def test_the_database_refuses_to_reorder(images: ImageList, tmp_path: Path, statement: str) -> None:
    images.add([picture("a.png", "1")])
    connection = connect(tmp_path / "labels.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_the_fingerprint_covers_a_prefix(images: ImageList, tmp_path: Path) -> None:
    images.add([picture("a"), picture("b")])
    before = images.fingerprint()
    images.add([picture("c")])
    assert images.fingerprint(2) == before != images.fingerprint()
    images.set_split([0], TEST)
    images.flag(1, "broken")
    images.move(0, "/elsewhere/a")
    assert images.fingerprint(2) == before
    with ImageList(tmp_path / "other.sqlite") as other:
        other.add([picture("ab"), picture("")._replace(id="-")])
        assert other.fingerprint() != before
    with pytest.raises(DataError, match="3 images, not 4"):
        images.fingerprint(4)


def test_unreadable_files_are_flagged_not_fatal(images: ImageList, tmp_path: Path) -> None:
    images.add([describe_file(tmp_path / "gone.png", tmp_path), picture("a.png", "1")])
    assert images.errors() == {0: "No such file or directory"}
    images.flag(1, "not a picture")
    images.flag(0, None)
    assert images.errors() == {1: "not a picture"}
    assert images.duplicates() == {}


def test_wrong_requests_change_nothing(images: ImageList, tmp_path: Path) -> None:
    images.add([picture("a.png")])
    for rows in ([0, 1], [-1]):
        with pytest.raises(DataError, match="there is no image"):
            images.set_split(rows, TEST)
        with pytest.raises(DataError, match="there is no image"):
            images.flag(rows[-1], "x")
    with pytest.raises(DataError, match="split 3"):
        images.set_split([0], 3)
    with pytest.raises(DataError, match="split 7"):
        images.add([picture("b.png", split=7)])
    with pytest.raises(DataError, match="needs an id"):
        images.add([picture("b.png")._replace(id="")])
    with pytest.raises(DataError, match="does not lie below"):
        describe_file("/etc/hosts", tmp_path)
    assert images.splits().tolist() == [TRAIN]


def test_images_and_answers_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with SqliteLog(path) as log, ImageList(path) as images:
        images.add([picture("a.png")])
        log.append_many([0], [0], [1])
        assert (len(images), len(log)) == (1, 1)
    connection = connect(path)
    with ImageList(connection) as images:
        assert len(images) == 1
    assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
    connection.close()
