"""Jobs survive whatever happens, and the same wish is there once."""

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.server.jobs import FIRST_REST, LONGEST_REST, MOST_ATTEMPTS, JobStore, server_line


@pytest.fixture
def jobs(tmp_path):
    store = JobStore(tmp_path)
    yield store
    store.close()


def test_a_thousand_wishes_of_many_threads_are_one_job(jobs):
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(jobs.request(1, "train", "again").id for _ in range(100)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1000
    assert set(found) == {1}
    assert [job.state for job in jobs.jobs()] == ["queued"]


def test_a_wish_while_one_runs_is_another_job(jobs):
    first = jobs.request(1, "train", "first")
    assert jobs.claim().id == first.id
    second = jobs.request(1, "train", "second")
    assert second.id != first.id
    assert jobs.request(1, "train", "third").id == second.id
    assert jobs.request(2, "train", "of another link").id not in (first.id, second.id)


def test_trainings_go_first_and_a_refresh_that_waited_is_done_with_them(jobs):
    jobs.request(1, "refresh", "new tasks")
    jobs.request(1, "train", "pressed")
    training = jobs.claim()
    assert training.kind == "train"
    late = jobs.request(1, "refresh", "new tasks")
    jobs.done(training.id, "spml-0001-abcd")
    assert jobs.get(late.id).state == "done"
    assert jobs.claim() is None
    assert jobs.latest(1, "train").version == "spml-0001-abcd"


def test_a_training_right_after_another_waits_a_little(jobs, monkeypatch):
    jobs.request(1, "train", "pressed")
    first = jobs.claim()
    jobs.request(1, "train", "pressed again")
    jobs.done(first.id, "v")
    assert jobs.claim() is None
    jobs.request(2, "train", "another project")
    assert jobs.claim().link == 2
    monkeypatch.setattr("spml_annotate.server.jobs.REST", 0.0)
    assert jobs.claim().reason == "pressed again"


def test_what_ran_when_the_server_died_runs_again_after_a_rest_at_last(tmp_path, monkeypatch):
    for attempt in range(MOST_ATTEMPTS):
        store = JobStore(tmp_path)  # as a new server finds it
        store.recover()
        if not attempt:
            store.request(1, "train", "pressed")
        assert store.claim().attempts == attempt + 1
        store.close()
    store = JobStore(tmp_path)
    store.recover()
    assert store.claim() is None  # it may be what kills the server: predictions go on meanwhile
    last = store.latest(1, "train")
    assert last.state == "queued"
    assert last.due > time.time() + FIRST_REST / 2
    ahead = time.time() + FIRST_REST
    monkeypatch.setattr("spml_annotate.server.jobs.time.time", lambda: ahead)
    for _ in range(10):
        assert store.claim().id == last.id
        store.recover()
        ahead += LONGEST_REST
    assert store.get(last.id).due == ahead
    store.close()


def test_a_clock_that_was_put_back_delays_no_job(jobs, monkeypatch):
    jobs.request(1, "train", "pressed")
    done = jobs.claim()
    jobs.done(done.id, "v")
    waiting = jobs.request(1, "train", "pressed again")
    refresh = jobs.request(1, "refresh", "new tasks")
    now = time.time()
    monkeypatch.setattr("spml_annotate.server.jobs.time.time", lambda: now - 86_400.0)
    assert jobs.claim().id == waiting.id
    assert jobs.claim().id == refresh.id


def test_a_process_that_dies_again_and_again_has_failed(jobs):
    job = jobs.request(1, "train", "pressed")
    for _ in range(MOST_ATTEMPTS):
        assert jobs.claim().id == job.id
        jobs.died(job.id, "its process was killed by signal 9")
    assert jobs.claim() is None
    assert jobs.get(job.id).state == "failed"
    assert f"after {MOST_ATTEMPTS} attempts" in jobs.get(job.id).error


def test_a_server_that_is_stopped_on_purpose_costs_no_attempt(jobs):
    jobs.request(1, "train", "pressed")
    for _ in range(2 * MOST_ATTEMPTS):
        assert jobs.claim().attempts == 1
        jobs.recover(counted=False)


def test_waiting_for_label_studio_costs_no_attempt_and_takes_its_time(jobs):
    job = jobs.request(1, "train", "pressed")
    jobs.claim()
    jobs.delay(job.id, "Label Studio does not answer", 60.0)
    assert jobs.claim() is None
    after = jobs.get(job.id)
    assert (after.state, after.attempts, after.delays) == ("queued", 0, 1)
    assert after.due > after.requested + 50


def test_status_says_what_the_server_does(tmp_path):
    assert server_line(tmp_path) is None
    store = JobStore(tmp_path)
    assert server_line(tmp_path) == "nothing was trained yet"
    job = store.request(1, "train", "pressed")
    assert "a training waits" in server_line(tmp_path)
    store.claim()
    store.note(job.id, "embedding", pid=1)
    assert "a training runs since" in server_line(tmp_path)
    assert "(embedding)" in server_line(tmp_path)
    store.failed(job.id, "the disk is full; make room")
    assert server_line(tmp_path).endswith("FAILED: the disk is full; make room")
    store.close()


STEPS = st.lists(st.sampled_from(["train", "refresh", "claim", "done", "fail", "died", "delay", "crash"]), max_size=30)


@given(STEPS)
def test_whatever_happens_no_wish_is_lost_and_none_waits_twice(tmp_path_factory, steps):
    folder = Path(tmp_path_factory.mktemp("jobs"))
    store, running = JobStore(folder), []
    for step in steps:
        if step in ("train", "refresh"):
            job = store.request(1, step, step)
            assert job.state == "queued"
        elif step == "claim":
            job = store.claim()
            running += [] if job is None else [job.id]
        elif step == "crash":
            store.close()
            store, running = JobStore(folder), []
            store.recover()
            assert not [job for job in store.jobs() if job.state == "running"]
        elif running:
            job = running.pop()
            if step == "done":
                store.done(job, "v")
            elif step == "fail":
                store.failed(job, "why")
            elif step == "died":
                store.died(job, "why")
            else:
                store.delay(job, "why", 0.0)
        waiting = [(job.link, job.kind) for job in store.jobs() if job.state == "queued"]
        assert len(waiting) == len(set(waiting))
        assert sorted(job.id for job in store.jobs() if job.state == "running") == sorted(running)
    store.close()
