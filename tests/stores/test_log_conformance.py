"""What every label log must do, and what a fold makes of it: one suite for the log in memory and the log on disk."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError
from spml_annotate.folding import POLICIES, fold
from spml_annotate.labels import ANSWERS, LabelLog, MemoryLog, Observation
from spml_annotate.stores.events import SqliteLog

SHAPE = (3, 2)


@contextmanager
def in_memory() -> Iterator[LabelLog]:
    yield MemoryLog()


@contextmanager
def on_disk() -> Iterator[LabelLog]:
    with tempfile.TemporaryDirectory() as folder, SqliteLog(Path(folder) / "labels.sqlite") as log:
        yield log


LOGS = [pytest.param(in_memory, id="memory"), pytest.param(on_disk, id="sqlite")]
every_log = pytest.mark.parametrize("make", LOGS)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
observations = st.builds(
    Observation,
    row=st.integers(0, SHAPE[0] - 1),
    label=st.integers(0, SHAPE[1] - 1),
    answer=st.sampled_from(ANSWERS),
    annotator=st.sampled_from(["ann", "bob", "čeněk"]),
    source=words,
    seconds=st.floats(0, 1e6),
    time=st.floats(-1e12, 1e12),
    question=st.sampled_from(["", "q1", "q2"]),
    shown=st.booleans(),
    event=st.text("abcdef", min_size=1, max_size=2),
)
sequences = st.lists(observations, max_size=12)


def first_of_each(events: list[Observation]) -> list[Observation]:
    seen: dict[str, Observation] = {}
    for event in events:
        seen.setdefault(event.event, event)
    return list(seen.values())


@every_log
@given(events=sequences)
def test_keeps_every_event_once_in_order_and_unchanged(make: Callable, events: list[Observation]) -> None:
    with make() as log:
        assert log.append(events) == len(first_of_each(events)) == len(log)
        assert list(log) == first_of_each(events)


@every_log
@given(events=sequences, cut=st.integers(0, 12), policy=st.sampled_from(POLICIES))
def test_fold_does_not_depend_on_how_the_events_were_split(
    make: Callable, events: list[Observation], cut: int, policy: str
) -> None:
    with make() as whole, make() as split:
        whole.append(events)
        split.append(events[:cut])
        split.append(events[cut:])
        assert list(split) == list(whole)
        assert fold(split, SHAPE, policy) == fold(whole, SHAPE, policy)


@every_log
@given(events=sequences, again=st.lists(st.integers(0, 11), max_size=12))
def test_redelivery_changes_nothing(make: Callable, events: list[Observation], again: list[int]) -> None:
    with make() as log:
        log.append(events)
        before, folded = list(log), fold(log, SHAPE)
        redelivered = [before[place % len(before)] for place in again] if before else []
        assert log.append(redelivered) == 0
        assert list(log) == before
        assert fold(log, SHAPE) == folded


@every_log
@given(events=sequences, row=st.integers(0, 2), label=st.integers(0, 1), answer=st.sampled_from(["yes", "no", "skip"]))
def test_retract_restores_the_previous_word(
    make: Callable, events: list[Observation], row: int, label: int, answer: str
) -> None:
    with make() as log:
        log.append(events)
        before = {policy: fold(log, SHAPE, policy).matrix for policy in POLICIES if policy != "last"}
        said = Observation(row, label, answer, "ann", question="new", event="new answer")
        log.append([said])
        log.append([said._replace(answer="retract", event="new retract")])
        assert {policy: fold(log, SHAPE, policy).matrix for policy in before} == before
        # The order of the words that stand is restored, too, so the latest word is the earlier one again.
        assert fold(log, SHAPE, "last") == fold(list(log)[:-2], SHAPE, "last")


@every_log
def test_an_event_without_id_gets_a_fresh_one(make: Callable) -> None:
    with make() as log:
        same = Observation(0, 0, "yes")
        assert log.append([same, same]) == 2
        assert len({observation.event for observation in log}) == 2
        assert all(observation.event for observation in log)


@every_log
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"answer": "maybe"}, "maybe"),
        ({"row": -1}, "row -1"),
        ({"label": -1}, "label -1"),
        ({"row": 1.5}, r"row 1\.5"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": float("inf")}, "seconds"),
        ({"time": float("nan")}, "time"),
    ],
)
def test_a_wrong_observation_keeps_its_whole_batch_out(make: Callable, wrong: dict, message: str) -> None:
    good = Observation(0, 0, "yes", event="good")
    with make() as log:
        with pytest.raises(DataError, match=message):
            log.append([good, Observation(0, 1, "yes", event="bad")._replace(**wrong)])
        assert len(log) == 0
        assert log.append([good]) == 1


@every_log
def test_a_source_that_breaks_off_adds_nothing(make: Callable) -> None:
    def source() -> Iterator[Observation]:
        yield Observation(0, 0, "yes")
        raise ConnectionError("gone")

    with make() as log:
        with pytest.raises(ConnectionError):
            log.append(source())
        assert list(log) == []
