"""The label log on disk: undo, import of arrays, reading on, and files that are not ours."""

import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.folding import fold, retractions
from spml_annotate.folding_columns import LogColumns, columns_of
from spml_annotate.labels import MemoryLog, Observation
from spml_annotate.stores.events import SqliteLog


@pytest.fixture
def log(tmp_path: Path):
    with SqliteLog(tmp_path / "labels.sqlite") as opened:
        yield opened


def answer(row: int, question: str, said: str = "yes", **more) -> Observation:
    return Observation(row, 0, said, question=question, **more)


def test_what_was_appended_is_there_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    told = [
        Observation(0, 1, "yes", "ann", "studio", 2.5, 1e9, "q", True, "e1"),
        Observation(np.int64(7), np.int32(0), "no", "čeněk 'x'; --", event="e2"),
    ]
    with SqliteLog(path) as log:
        log.append(told)
    with SqliteLog(path) as log:
        assert list(log) == told
        assert type(next(iter(log)).shown) is bool


def test_an_acknowledged_append_is_forced_to_the_disk(log: SqliteLog) -> None:
    assert log._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert log._connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET answer = 'no'",
        "DELETE FROM events",
        "REPLACE INTO events SELECT 1, event, row, label, 'no', annotator, source, seconds, time, question, shown "
        "FROM events",
    ],
)
def test_the_database_refuses_to_change_what_was_said(log: SqliteLog, statement: str) -> None:
    log.append([answer(0, "q")])
    before = list(log)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        log._connection.execute(statement)
    assert list(log) == before


def test_since_yields_what_is_new(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spml_annotate.stores.events._PAGE", 3)
    log.append([answer(row, "q") for row in range(7)])
    positions, seen = zip(*log.since(0), strict=True)
    assert positions == tuple(range(1, 8))
    assert [observation.row for observation in seen] == list(range(7))
    assert list(log.since(7)) == []
    log.append([answer(7, "q")])
    assert [observation.row for _, observation in log.since(7)] == [7]


def test_reading_is_not_disturbed_by_appending_meanwhile(log: SqliteLog) -> None:
    log.append([answer(row, "q") for row in range(3)])
    for observation in log:
        log.append([observation._replace(row=100, event="")])
    assert [observation.row for observation in log] == [0, 1, 2, 100, 100, 100]


def test_undo_takes_back_a_question_and_restores_what_was_said_before(log: SqliteLog) -> None:
    log.append([answer(0, "q1", "no"), answer(1, "q1"), answer(0, "q2"), answer(2, "q2", "unsure")])
    before = fold(list(log)[:2], (3, 1)).matrix
    assert log.questions() == ["q1", "q2"]
    assert log.last_question() == "q2"

    undo = log.retractions("q2", time=5.0)
    assert [(o.row, o.answer, o.question, o.seconds, o.time) for o in undo] == [
        (0, "retract", "q2", 0.0, 5.0),
        (2, "retract", "q2", 0.0, 5.0),
    ]
    assert log.append(undo) == 2
    assert fold(log, (3, 1)).matrix == before
    assert log.retractions("q2") == []
    assert log.last_question() == "q1"
    log.append(log.retractions("q1"))
    assert log.last_question() is None
    assert log.questions() == []
    assert fold(log, (3, 1)).matrix.known == 0


def test_undo_of_an_earlier_question_leaves_later_answers_alone(log: SqliteLog) -> None:
    log.append([answer(0, "q1", "no"), answer(0, "q2", "yes")])
    log.append(log.retractions("q1"))
    assert fold(log, (1, 1)).matrix.dense().tolist() == [[1]]
    log.append(log.retractions("q2"))
    assert fold(log, (1, 1)).matrix.known == 0


def test_undone_twice_is_undone_once(log: SqliteLog) -> None:
    log.append([answer(0, "q1", "no"), answer(0, "q2", "yes")])
    undo = log.retractions("q2")
    assert log.append(undo) == 1
    assert log.append(undo) == 0
    log.append([retract._replace(event="from elsewhere") for retract in undo])
    assert fold(log, (1, 1)).matrix.dense().tolist() == [[0]]


def test_a_question_answered_again_after_undo_can_be_undone_again(log: SqliteLog) -> None:
    for _ in range(2):
        log.append([answer(0, "q1")])
        assert log.append(log.retractions("q1")) == 1
    assert log.last_question() is None


def test_undo_needs_a_question_id(log: SqliteLog) -> None:
    log.append([answer(0, "")])
    assert log.last_question() is None
    with pytest.raises(DataError, match="question id"):
        log.retractions("")


cells = st.tuples(
    st.integers(0, 1),
    st.just(0),
    st.sampled_from(["yes", "no", "skip", "retract"]),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(["", "q1", "q2", "q3"]),
).map(lambda said: Observation(*said[:4], question=said[4]))


@given(said=st.lists(cells, max_size=12))
def test_undo_on_disk_is_the_undo_of_the_plain_log(said: list[Observation]) -> None:
    with tempfile.TemporaryDirectory() as folder, SqliteLog(Path(folder) / "labels.sqlite") as log:
        log.append(said)
        plain = MemoryLog(log)
        standing = {question for question in ("q1", "q2", "q3") if retractions(plain, question)}
        assert set(log.questions()) == standing
        assert log.last_question() == (log.questions() or [None])[-1]
        for question in ("q1", "q2", "q3"):
            assert log.retractions(question) == retractions(plain, question)
            log.append(log.retractions(question))
            assert log.retractions(question) == []


def test_import_of_arrays_is_one_append_of_answers(log: SqliteLog) -> None:
    rows, labels, values = np.array([3, 0, 0]), np.array([1, 1, 0]), np.array([1, 0, -1], dtype=np.int8)
    assert log.append_many(rows, labels, values, annotator="voc", source="csv", time=9.0, batch="file") == 2
    assert [observation[:7] for observation in log] == [
        (3, 1, "yes", "voc", "csv", 0.0, 9.0),
        (0, 1, "no", "voc", "csv", 0.0, 9.0),
    ]
    assert log.append_many(rows, labels, values, batch="file") == 0
    assert log.append_many(rows, labels, values) == 2
    assert log.append_many([], [], []) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0], [0, 1], [1, 1]), "one length"),
        (([[0]], [[0]], [[1]]), "one length"),
        (([0], [0], [2]), "values are"),
        (([0], [0], [0.5]), "whole"),
        (([0, -1], [0, 0], [1, 1]), "CHECK"),
        ((np.array([0, 2**63], dtype=np.uint64), [0, 0], [1, 1]), "large"),
    ],
)
def test_a_wrong_import_adds_nothing(log: SqliteLog, columns: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        log.append_many(*columns)
    assert len(log) == 0


def test_text_that_no_file_can_hold_is_refused(log: SqliteLog) -> None:
    with pytest.raises(DataError, match="surrogates"):
        log.append([answer(0, "q"), answer(1, "q", annotator="\ud800")])
    assert len(log) == 0


def test_other_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    text = tmp_path / "notes.sqlite"
    text.write_text("these are my notes, not a database at all " * 50)
    with pytest.raises(DataError, match=r"notes\.sqlite.*not a database"):
        SqliteLog(text)

    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE pets (name TEXT)")
    connection.close()
    content = foreign.read_bytes()
    with pytest.raises(DataError, match="another program's"):
        SqliteLog(foreign)
    assert foreign.read_bytes() == content

    with pytest.raises(DataError, match="folder exists"):
        SqliteLog(tmp_path / "nowhere" / "labels.sqlite")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with SqliteLog(path) as log:
        log.append([answer(0, "q")])
        log._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(MismatchError, match=r"format 99.*upgrade"):
        SqliteLog(path)


def test_closing_twice_is_allowed_and_using_it_afterwards_is_an_error(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "labels.sqlite")
    log.close()
    log.close()
    with pytest.raises(DataError, match="closed"):
        len(log)


def test_columns_are_what_the_log_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("spml_annotate.stores.events._PAGE", 3)
    answers = ("yes", "no", "unsure", "skip", "retract")
    said = [
        Observation(n, n % 3, answers[n % 5], f"ann{n % 2}", "é", n / 2, float(n), "q" * (n % 2), bool(n % 2))
        for n in range(10)
    ]
    with SqliteLog(tmp_path / "labels.sqlite") as log:
        assert len(log.columns()) == 0
        log.append(said)
        found, expected = log.columns(), columns_of(said)
    for name in LogColumns._fields:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def cells(*told, event="import:abc", names=("ann", "bob: é")):
    """Arguments of `append_cells` for (row, label, value, place of the annotator)."""
    rows, labels, values, who = (np.array(column) for column in zip(*told, strict=True))
    columns = rows, labels, values.astype(np.int8), who.astype(np.int32), np.arange(len(rows), dtype=np.float64)
    return columns, {"names": names, "source": "import:x.csv", "event": event}


def test_cells_of_a_file_are_added_once(log, monkeypatch):
    monkeypatch.setattr("spml_annotate.stores.events._PAGE", 2)
    columns, more = cells((0, 1, 1, 0), (0, 1, 0, 1), (3, 2, 0, 0), (5, 0, 1, 1), (5, 0, 1, 1))
    assert log.append_cells(*columns, **more) == 4
    assert log.append_cells(*columns, **more) == 0
    assert [(o.row, o.label, o.answer, o.annotator, o.time, o.event) for o in log][:2] == [
        (0, 1, "yes", "ann", 0.0, "import:abc:0:1:yes:ann"),
        (0, 1, "no", "bob: é", 1.0, "import:abc:0:1:no:bob: é"),
    ]
    further, more = cells((5, 0, 1, 1), (5, 0, 0, 1), (5, 1, 1, 1), names=("x", "bob: é"))
    assert log.append_cells(*further, **more) == 2  # another answer, another cell
    assert log.append_cells(*columns, **{**more, "event": "import:ab"}) == 4  # another file


def test_cells_that_are_no_codes_add_nothing(log):
    columns, more = cells((0, 1, 1, 0), (0, 2, 7, 0))
    with pytest.raises(DataError, match="values are 1"):
        log.append_cells(*columns, **more)
    assert len(log) == 0


@pytest.mark.parametrize(("transaction", "stored"), [(100, 0), (4, 4), (6, 0)])
def test_an_interrupted_import_leaves_whole_transactions_and_is_taken_up(log, monkeypatch, transaction, stored):
    def interrupted(items, what):
        for number, item in enumerate(items):
            if number == 2 and what == "storing answers":
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr("spml_annotate.stores.events._PAGE", 2)
    monkeypatch.setattr("spml_annotate.stores.events._TRANSACTION", transaction)
    columns, more = cells(*((row, 0, 1, 0) for row in range(10)))
    with monkeypatch.context() as patch:
        patch.setattr("spml_annotate.stores.events.progress", interrupted)
        with pytest.raises(KeyboardInterrupt):
            log.append_cells(*columns, **more)
    assert len(log) == stored
    assert log.append_cells(*columns, **more) == 10 - stored
    assert [observation.row for observation in log] == list(range(10))
