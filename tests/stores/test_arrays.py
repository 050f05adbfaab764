"""Tables on disk: whole, ours, and of the right things, or an error."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.stores.arrayfile import (
    partial_path,
    progress_path,
    read_info,
    read_progress,
    verify_array,
)
from spml_annotate.stores.arrays import ArrayStore, open_array

MADE_FROM = {"images": "abc", "backbone": "small"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.npy"


def table(rows: int = 10, columns: int = 3) -> np.ndarray:
    return np.arange(rows * columns).reshape(rows, columns).astype(np.float16)


def committed(path: Path, content: np.ndarray, made_from: dict[str, str] = MADE_FROM) -> None:
    with ArrayStore.create(path, content.shape, content.dtype, made_from) as store:
        store.write(0, content)
        store.commit()


@given(
    content=arrays(
        st.sampled_from([np.float16, np.float32, np.int8]),
        st.tuples(st.integers(0, 9), st.integers(0, 4)),
        elements=st.integers(-100, 100),
    ),
    blocks=st.lists(st.integers(0, 4), max_size=12),
)
def test_what_is_written_in_blocks_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, content: np.ndarray, blocks: list[int]
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "table.npy"
    store = ArrayStore.create(path, content.shape, content.dtype, MADE_FROM)
    for size in [*blocks, len(content)]:
        store.write(store.done, content[store.done : store.done + size])
    store.commit()
    opened = open_array(path, MADE_FROM)
    assert opened.dtype == content.dtype
    assert np.array_equal(opened, content)
    assert not opened.flags.writeable
    assert np.array_equal(np.load(path), content)  # an ordinary file for everybody else
    verify_array(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["table.npy"]


def test_the_bytes_do_not_depend_on_the_blocks_or_interruptions(tmp_path: Path) -> None:
    content = table(100, 7)
    committed(tmp_path / "once.npy", content)
    for start in range(0, 100, 10):
        path = tmp_path / "often.npy"
        store = ArrayStore.resume(path, MADE_FROM) if start else ArrayStore.create(path, (100, 7), "f2", MADE_FROM)
        store.write(start, content[start : start + 10])
        store.close()
    with ArrayStore.resume(tmp_path / "often.npy", MADE_FROM) as store:
        store.commit()
    assert (tmp_path / "once.npy").read_bytes() == (tmp_path / "often.npy").read_bytes()


def test_nothing_is_there_before_the_commit_and_the_old_one_stays(path: Path) -> None:
    committed(path, table())
    with ArrayStore.create(path, (10, 3), np.float16, {"images": "new"}) as store:
        store.write(0, table() + 1)
        assert np.array_equal(open_array(path, MADE_FROM), table())
        store.commit()
    assert np.array_equal(open_array(path, {"images": "new"}), table() + 1)


def test_a_commit_needs_all_rows(path: Path) -> None:
    with ArrayStore.create(path, (10, 3), np.float16, MADE_FROM) as store:
        store.write(0, table()[:4])
        with pytest.raises(MismatchError, match="4 of 10 rows"):
            store.commit()
    with pytest.raises(DataError, match="cannot read"):
        open_array(path, MADE_FROM)


@pytest.mark.parametrize(("start", "shape"), [(1, (2, 3)), (0, (2, 4)), (0, (11, 3)), (0, (3,)), (-1, (1, 3))], ids=str)
def test_a_block_must_go_on_where_the_table_ends(path: Path, start: int, shape: tuple[int, ...]) -> None:
    with (
        ArrayStore.create(path, (10, 3), np.float16, MADE_FROM) as store,
        pytest.raises(MismatchError, match=r"does not go on at row 0 of a table \[10, 3\]"),
    ):
        store.write(start, np.zeros(shape))
    assert store.done == 0


@pytest.mark.parametrize("value", [1e6, np.inf, np.nan])
def test_a_value_that_the_table_cannot_keep_is_an_error(path: Path, value: float) -> None:
    block = np.zeros((4, 3), dtype=np.float32)
    block[2, 1] = value
    with ArrayStore.create(path, (10, 3), np.float16, MADE_FROM) as store:
        store.write(0, table()[:1])
        with pytest.raises(DataError, match="row 3 holds a value"):
            store.write(1, block)


def test_a_truncated_file_is_refused_wherever_it_was_cut(path: Path) -> None:
    committed(path, table())
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut off or no table.*embed` again"):
            open_array(path, MADE_FROM)
    path.write_bytes(whole)
    assert np.array_equal(open_array(path, MADE_FROM), table())


def test_a_piece_missing_in_the_middle_is_refused(path: Path) -> None:
    committed(path, table())
    whole = path.read_bytes()
    path.write_bytes(whole[:130] + whole[132:])
    with pytest.raises(DataError, match="cut off"):
        open_array(path, MADE_FROM)


def test_a_plain_numpy_file_is_refused(path: Path) -> None:
    np.save(path, table())
    with pytest.raises(DataError, match="no table of this program"):
        open_array(path, MADE_FROM)


@pytest.mark.parametrize(
    "asked", [{"images": "other", "backbone": "small"}, {"images": "abc"}, {**MADE_FROM, "classes": "x"}], ids=str
)
def test_a_table_of_other_things_is_refused(path: Path, asked: dict[str, str]) -> None:
    committed(path, table())
    with pytest.raises(MismatchError, match=r"was made from other (images|backbone|classes).*embed` again"):
        open_array(path, asked)


def test_changed_data_is_found_by_a_full_check(path: Path) -> None:
    committed(path, table())
    content = bytearray(path.read_bytes())
    content[140] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="has changed since it was written"):
        verify_array(path)


def test_a_table_is_extended_without_touching_the_old_one_before_the_commit(path: Path) -> None:
    content = table(10)
    committed(path, content[:6])
    longer = {**MADE_FROM, "images": "more"}
    with ArrayStore.extend(path, 10, longer, before=MADE_FROM) as store:
        assert store.done == 6
        store.write(6, content[6:8])
    assert np.array_equal(open_array(path, MADE_FROM), content[:6])
    with ArrayStore.resume(path, longer) as store:
        assert store.done == 8
        store.write(8, content[8:])
        store.commit()
    assert np.array_equal(open_array(path, longer), content)
    verify_array(path)
    with pytest.raises(MismatchError, match="images"):
        ArrayStore.extend(path, 12, longer, before=MADE_FROM)
    with pytest.raises(MismatchError, match="10 rows already"):
        ArrayStore.extend(path, 9, longer, before=longer)


def test_an_unfinished_table_may_grow(path: Path) -> None:
    content = table(10)
    with ArrayStore.create(path, (6, 3), np.float16, MADE_FROM) as store:
        store.write(0, content[:4])
    longer = {**MADE_FROM, "images": "more"}
    with ArrayStore.resume(path, longer, rows=10, before=MADE_FROM) as store:
        assert (store.done, store.shape) == (4, (10, 3))
        store.write(4, content[4:])
        store.commit()
    assert np.array_equal(open_array(path, longer), content)


def test_resuming_needs_the_right_unfinished_table(path: Path) -> None:
    with pytest.raises(DataError, match=r"no unfinished table\.npy"):
        ArrayStore.resume(path, MADE_FROM)
    with ArrayStore.create(path, (10, 3), np.float16, MADE_FROM) as store:
        store.write(0, table()[:4])
    with pytest.raises(MismatchError, match="other images"):
        ArrayStore.resume(path, {**MADE_FROM, "images": "other"})
    with pytest.raises(MismatchError, match="4 rows already"):
        ArrayStore.resume(path, MADE_FROM, rows=3)
    os.truncate(partial_path(path), 130)
    with pytest.raises(DataError, match="shorter than its progress"):
        ArrayStore.resume(path, MADE_FROM)
    for nonsense in ("{", "[]", '{"done": 1}', '{"done": 1, "shape": [1], "dtype": "f2", "fingerprint": {}}'):
        progress_path(path).write_text(nonsense)
        with pytest.raises(DataError, match="is damaged"):
            ArrayStore.resume(path, MADE_FROM)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write"):
        ArrayStore.create(tmp_path / "nowhere" / "table.npy", (1, 1), np.float16, MADE_FROM)


WRITER = """
import os, signal, sys
import numpy as np
from spml_annotate.stores.arrays import ArrayStore

path, kill_after = sys.argv[1], int(sys.argv[2])
made_from = {"images": "abc", "backbone": "small"}
content = np.arange(600).reshape(100, 6).astype(np.float16)
new = not os.path.exists(path + ".partial")
how = {"checkpoint_bytes": int(sys.argv[3]), "checkpoint_seconds": 1e9}
if new:
    store = ArrayStore.create(path, content.shape, "f2", made_from, **how)
else:
    store = ArrayStore.resume(path, made_from, **how)
for _ in range(kill_after):
    if store.done == len(content):
        store.commit()
        print("committed")
        sys.exit()
    store.write(store.done, content[store.done : store.done + 7])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("checkpoint_bytes", [0, 100])
def test_killed_between_blocks_it_goes_on(path: Path, checkpoint_bytes: int) -> None:
    noted = []
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, str(path), "4", str(checkpoint_bytes)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, ended.stderr
        assert not path.exists()
        noted.append(read_progress(path)[0])
    assert ended.stdout == "committed\n"
    assert noted == sorted(set(noted)), "every life must get further"
    assert len(noted) >= 3
    content = np.arange(600).reshape(100, 6).astype(np.float16)
    assert np.array_equal(open_array(path, MADE_FROM), content)
    verify_array(path)


def test_the_note_says_what_the_table_is(path: Path) -> None:
    committed(path, table())
    info = read_info(path)
    assert (info.shape, info.dtype, info.fingerprint) == ((10, 3), "<f2", MADE_FROM)
    assert b'"images": "abc"' in path.read_bytes()
