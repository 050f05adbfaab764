"""Whatever annotators do, and whenever it is read, the log ends where one reading at the end would have ended."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.folding import fold
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.loop.links import MAIN, LinkStore, TaskRow
from spml_annotate.loop.reconciling import Heard, counting, reconcile
from spml_annotate.stores.events import SqliteLog

ROWS, CLASSES = 2, 3
TASKS = {1: 0, 2: 1, 3: 0}  # two tasks show the same image
PEOPLE = ("ls:ann@example.com", "ls:bob@example.com")


@dataclass
class Server:
    """What Label Studio keeps: annotation id → (task, annotator, moment of the last change, words)."""

    annotations: dict[int, tuple[int, str, int, dict[int, str]]] = field(default_factory=dict)
    removed: dict[int, tuple[int, str, int, dict[int, str]]] = field(default_factory=dict)
    tasks: set[int] = field(default_factory=lambda: set(TASKS))
    clock: count = field(default_factory=lambda: count(1))
    ids: count = field(default_factory=lambda: count(1))

    def heard(self, task: int) -> list[Heard]:
        return [
            Heard(task, who, number, f"2026-01-01T00:00:{moment:02d}Z", float(moment), dict(words), seconds=moment)
            for number, (where, who, moment, words) in self.annotations.items()
            if where == task and task in self.tasks
        ]


class KilledError(Exception):
    pass


class Dying(LinkStore):
    """A store whose process dies at the n-th note."""

    left = 10**9

    def note(self, link, said, gone=()):
        self.left -= 1
        if self.left == 0:
            raise KilledError
        super().note(link, said, gone)


answers = st.dictionaries(st.integers(0, CLASSES - 1), st.sampled_from(["yes", "no", "unsure", "skip"]), max_size=3)
operations = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(sorted(TASKS)), st.sampled_from(PEOPLE), answers),
    st.tuples(st.just("update"), st.integers(0, 5), answers),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("restore"), st.integers(0, 5)),
    st.tuples(st.just("pull"), st.sets(st.sampled_from(sorted(TASKS)), min_size=1)),
    st.tuples(st.just("pull"), st.just(set(TASKS))),
    st.tuples(st.just("kill"), st.integers(1, 2), st.just(set(TASKS))),
    st.tuples(st.just("drop"), st.sampled_from(sorted(TASKS))),
)


def perform(server: Server, operation) -> None:
    kind, *rest = operation
    if kind == "create":
        task, who, words = rest
        server.annotations[next(server.ids)] = (task, who, next(server.clock), words)
    elif kind == "update" and server.annotations:
        number = sorted(server.annotations)[rest[0] % len(server.annotations)]
        task, who, _, _ = server.annotations[number]
        server.annotations[number] = (task, who, next(server.clock), rest[1])
    elif kind == "delete" and server.annotations:
        number = sorted(server.annotations)[rest[0] % len(server.annotations)]
        server.removed[number] = server.annotations.pop(number)
    elif kind == "restore" and server.removed:
        number = sorted(server.removed)[rest[0] % len(server.removed)]
        server.annotations[number] = server.removed.pop(number)
    elif kind == "drop":
        server.tasks.discard(rest[0])


def read(log, links, link, server, tasks):
    return reconcile(
        log, links, link, [(TaskRow(task, TASKS[task], "", {}), server.heard(task)) for task in sorted(tasks)]
    )


def open_all(folder, store=LinkStore):
    folder.mkdir()
    links = store(folder)
    return SqliteLog(folder / "labels.sqlite"), links, links.add("http://ls", 1, "2026", MAIN, "<View/>")


@given(st.lists(operations, max_size=14))
def test_any_history_ends_as_one_reading_at_the_end(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("histories")
    log, links, link = open_all(folder / "often", Dying)
    server, seen = Server(), []
    for operation in history:
        if operation[0] == "pull":
            read(log, links, link, server, operation[1])
        elif operation[0] == "kill":
            links.left = operation[1]
            with suppress(KilledError):
                read(log, links, link, server, operation[2])
            links.left = 10**9
        else:
            perform(server, operation)
        now = list(log)
        assert now[: len(seen)] == seen, "the log only grows"
        seen = now
    read(log, links, link, server, TASKS)
    size = len(log)
    assert read(log, links, link, server, TASKS).answers == 0
    assert len(log) == size
    once, others, another = open_all(folder / "once")
    read(once, others, another, server, TASKS)
    for policy in ("unanimous", "majority", "last"):
        assert fold(log, (ROWS, CLASSES), policy).matrix == fold(once, (ROWS, CLASSES), policy).matrix
    for store in (log, once, links, others):
        store.close()


@pytest.fixture
def world(tmp_path):
    log, links, link = open_all(tmp_path / "project")
    yield log, links, link
    log.close()
    links.close()


def heard(number, words, *, moment=1, who=PEOPLE[0], task=1, seconds=0.0, shown=()):
    return Heard(task, who, number, f"u{moment}", float(moment), words, frozenset(shown), seconds)


TASK = TaskRow(1, 0, "", {})


def test_an_update_takes_the_old_word_back_and_pays_only_the_increase(world):
    log, links, link = world
    reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"}, seconds=10.0, shown=[0])])])
    done = reconcile(log, links, link, [(TASK, [heard(5, {1: "yes"}, moment=2, seconds=14.0)])])
    assert done.answers == 2
    assert [(said.label, said.answer, said.seconds, said.shown) for said in log] == [
        (0, "yes", 10.0, True),
        (0, "retract", 0.0, True),
        (1, "yes", 4.0, False),
    ]
    assert {said.source for said in log} == {"label-studio"}
    assert {said.question for said in log} == {f"ls:{link.tag}:1"}
    assert [said.event for said in log] == [
        f"ls:{link.tag}:5:u1:0:yes",
        f"retract:ls:{link.tag}:5:u1:0:yes",
        f"ls:{link.tag}:5:u2:1:yes",
    ]


def test_an_annotation_that_was_emptied_still_costs_what_it_took(world):
    log, links, link = world
    reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"}, seconds=10.0)])])
    reconcile(log, links, link, [(TASK, [heard(5, {}, moment=2, seconds=16.0)])])
    assert [(said.answer, said.seconds) for said in log] == [("yes", 10.0), ("retract", 6.0)]


def test_the_same_word_can_be_said_again_after_it_was_taken_back(world):
    log, links, link = world
    first = heard(5, {0: "yes"})
    reconcile(log, links, link, [(TASK, [first])])
    reconcile(log, links, link, [(TASK, [])])
    assert fold(log, (1, 3)).matrix.dense()[0, 0] == UNKNOWN
    reconcile(log, links, link, [(TASK, [first])])
    assert fold(log, (1, 3)).matrix.dense()[0, 0] == POSITIVE
    assert [said.event for said in log][-1] == f"ls:{link.tag}:5:u1:0:yes#2"


def test_what_was_undone_by_hand_stays_undone_until_the_annotator_changes_it(world):
    log, links, link = world
    reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"})])])
    log.append(log.retractions(f"ls:{link.tag}:1"))
    assert reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"})])]).answers == 0
    # a class that became known since, on the same annotation, does not bring the undone one back
    assert reconcile(log, links, link, [(TASK, [heard(5, {0: "yes", 1: "yes"})])]).answers == 1
    assert fold(log, (1, 3)).matrix.dense()[0].tolist() == [UNKNOWN, POSITIVE, UNKNOWN]
    reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"}, moment=2)])])
    assert fold(log, (1, 3)).matrix.dense()[0].tolist() == [POSITIVE, UNKNOWN, UNKNOWN]


def test_a_config_that_lost_a_class_takes_no_word_back(world):
    log, links, link = world
    reconcile(log, links, link, [(TASK, [heard(5, {0: "yes", 1: "no"})])])
    assert reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"})])]).answers == 0


def test_people_are_kept_apart_and_the_annotation_changed_last_counts(world):
    log, links, link = world
    mine, later, hers = (
        heard(5, {0: "yes"}),
        heard(6, {1: "yes"}, moment=2),
        heard(7, {0: "no"}, moment=0, who=PEOPLE[1]),
    )
    assert counting([mine, later, hers]) == {PEOPLE[0]: later, PEOPLE[1]: hers}
    done = reconcile(log, links, link, [(TASK, [mine, later, hers])])
    assert (done.answers, len(done.changed)) == (2, 2)
    back = reconcile(log, links, link, [(TASK, [mine, hers])])  # the later one was deleted
    assert back.answers == 2
    assert [conflict.label for conflict in fold(log, (1, 3)).conflicts()] == [0]


def test_a_lost_store_of_links_is_read_again(world, tmp_path):
    log, links, link = world
    reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"})])])
    links.note(link.id, [], [(1, PEOPLE[0])])  # as if it had never been noted
    assert reconcile(log, links, link, [(TASK, [heard(5, {0: "yes"})])]).answers == 0
    assert len(log) == 1
