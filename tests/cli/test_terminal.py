"""Answering in the terminal: what is typed, what is stored, and what it costs."""

import itertools

import pytest
from click.testing import CliRunner
from project_world import embedded_copy

from spml_annotate.acquire import Query
from spml_annotate.cli import main
from spml_annotate.cli.terminal import Session, Stop
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.workspace import Asked


class Typist:
    """Types given lines; each takes ``pause`` seconds on a clock of its own."""

    def __init__(self, *lines: str, pause: float = 2.0) -> None:
        self.lines = iter(lines)
        self.now, self.pause = 0.0, pause
        self.prompts: list[str] = []

    def read(self, prompt: str) -> str:
        self.prompts.append(prompt)
        self.now += self.pause
        line = next(self.lines, None)
        if line is None:
            raise Stop
        return line

    def clock(self) -> float:
        return self.now


@pytest.fixture
def project(world, tmp_path):
    with embedded_copy(world, tmp_path / "p") as made:
        yield made


def put(project, *queries: Query) -> None:
    project.workspace.questions.add([Asked(query.named("test"), "strategy") for query in queries])


def sit(project, typist: Typist, **options) -> tuple[int, int]:
    return Session(project.workspace, "ann", read=typist.read, clock=typist.clock, **options).run()


def free(project, row: int, count: int) -> list[int]:
    """Some classes of an image that are unknown."""
    return [label for label in range(80) if project.labels.dense([row])[0, label] == UNKNOWN][:count]


def said(project, row: int) -> list[tuple[int, str, float]]:
    return [(o.label, o.answer, o.seconds) for o in project.workspace.log if o.row == row and o.annotator == "ann"]


def test_verify(project):
    labels = free(project, 3, 5)
    put(project, *(Query(3, (label,), "verify") for label in labels))
    typist = Typist("y", "what?", "N", "u", "s", "q")
    assert sit(project, typist) == (4, 4)
    answers = ["yes", "no", "unsure", "skip"]
    assert said(project, 3) == [
        (label, a, s) for label, a, s in zip(labels, answers, [2.0, 4.0, 2.0, 2.0], strict=False)
    ]
    assert len(project.open_questions("ann")) == 1
    assert len(project.open_questions("bob")) == 3


def test_gaps_are_cut(project):
    [label] = free(project, 3, 1)
    put(project, Query(3, (label,), "verify"))
    sit(project, Typist("y", pause=4000.0))
    assert said(project, 3) == [(label, "yes", 60.0)]


def test_list_names_what_is_there_and_then_no_more(project, capsys):
    labels = free(project, 4, 79)
    put(project, Query(4, tuple(labels), "list"))
    names = project.taxonomy.names
    one, two = labels[10], labels[20]
    typist = Typist(names[one].upper(), str(two + 1), "gibberish", "?", "")
    assert sit(project, typist) == (1, 79)
    codes = project.labels.dense([4])[0]
    assert codes[one] == codes[two] == POSITIVE
    assert (codes == NEGATIVE).sum() == 77
    assert project.open_questions() == []
    shown = capsys.readouterr().out
    assert "'gibberish' is no class that is asked about" in shown
    assert names[labels[40]] in shown


def test_a_list_that_is_stopped_goes_on_with_the_rest(project):
    labels = free(project, 4, 79)
    put(project, Query(4, tuple(labels), "exhaust"))
    assert sit(project, Typist(project.taxonomy.names[labels[0]], "q")) == (0, 1)
    [waiting] = project.open_questions("ann")
    assert waiting.remaining == tuple(labels[1:])
    assert sit(project, Typist("")) == (1, 78)
    assert project.labels.known_per_row()[4] == 80


def test_page_is_corrected_and_accepted(project):
    labels = free(project, 5, 4)
    put(project, Query(5, tuple(labels), "page", (labels[0], labels[1])))
    assert sit(project, Typist(str(labels[1] + 1), project.taxonomy.names[labels[3]], "")) == (1, 4)
    codes = project.labels.dense([5])[0, labels]
    assert codes.tolist() == [POSITIVE, NEGATIVE, NEGATIVE, POSITIVE]
    shown = {o.label for o in project.workspace.log if o.row == 5 and o.shown}
    assert shown == set(labels[:2])


def test_pick_takes_one_class(world, tmp_path):
    from spml_annotate.project import Project

    with Project.create(tmp_path / "p", ["dog", "donkey", "u", "7"]) as project:
        project.add_images(world.pictures)
        rows = [question.query.row for question in project.ask_picks(budget=25.0).new]
        typist = Typist("dog", "do", "don", "u", "7", "")
        assert sit(project, typist) == (5, 8)
        known = [project.labels.dense([row])[0].tolist() for row in rows]
        assert known[0] == [1, -1, -1, -1]
        assert known[1] == [-1, 1, -1, -1]  # "do" may mean two classes, "don" one
        assert known[2] == [-1, -1, 1, -1]  # a class called like a key wins
        assert known[3] == [-1, -1, -1, 1]  # and so does one called like a number
        assert known[4] == [-1, -1, -1, -1]


def test_back_takes_the_last_question_up_again(project, capsys):
    labels = free(project, 3, 3)
    put(project, *(Query(3, (label,), "verify") for label in labels))
    assert sit(project, Typist("b", "y", "n", "b", "b", "n", "y", "y")) == (3, 3)
    codes = project.labels.dense([3])[0, labels]
    assert codes.tolist() == [NEGATIVE, POSITIVE, POSITIVE]
    assert "this is the first question" in capsys.readouterr().out
    assert [answer for _, answer, _ in said(project, 3)] == ["yes", "no", "retract", "retract", "no", "yes", "yes"]


def test_back_within_a_list_begins_it_again(project):
    labels = free(project, 4, 79)
    put(project, Query(4, tuple(labels), "list"))
    names = project.taxonomy.names
    assert sit(project, Typist(names[labels[0]], "b", names[labels[1]], "")) == (1, 79)
    codes = project.labels.dense([4])[0, labels]
    assert codes[:2].tolist() == [NEGATIVE, POSITIVE]


def test_back_leaves_other_annotators_and_earlier_sittings_alone(project):
    labels = free(project, 4, 79)
    put(project, Query(4, tuple(labels), "list"), Query(5, (free(project, 5, 1)[0],), "verify"))
    names = project.taxonomy.names
    sit(project, Typist(names[labels[0]], "q"))
    assert sit(project, Typist("b", names[labels[1]], "", "b", "u", "q")) == (1, 78)
    answers = {label: answer for label, answer, _ in said(project, 4) if answer != "retract"}
    assert answers[labels[0]] == "yes"
    assert project.labels.dense([4])[0, labels[0]] == POSITIVE


def test_the_end_of_the_input_stops(project):
    labels = free(project, 3, 2)
    put(project, *(Query(3, (label,), "verify") for label in labels))
    result = CliRunner().invoke(main, ["answer", "--project", str(project.workspace.root)], input="y\n")
    assert result.exit_code == 0
    assert "1 question, 1 answer stored; 1 question is open" in result.stdout
    assert "00003.png" in result.stdout


def test_every_answer_is_on_the_disk_before_the_next_prompt(project):
    labels = free(project, 3, 3)
    put(project, *(Query(3, (label,), "verify") for label in labels))
    counts = []

    def read(prompt: str) -> str:
        with embedded_log(project) as log:
            counts.append(len(log))
        return "y"

    clock = itertools.count().__next__
    Session(project.workspace, "ann", read=read, clock=lambda: float(clock())).run()
    assert counts == [60, 61, 62]


def embedded_log(project):
    from spml_annotate.stores.events import SqliteLog

    return SqliteLog(project.workspace.root / "labels.sqlite")
