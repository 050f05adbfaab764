"""Bias by proposals: planted in made-up sessions and found again, and what is said when it cannot be known."""

from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.acquire import Query
from spml_annotate.labels import Observation
from spml_annotate.loop.bias import HIDE, report_bias
from spml_annotate.loop.comparing import Group, compare, needed, newcombe, ratio_of_times, wilson
from spml_annotate.loop.links import MAIN, Exposure, LinkStore, Said
from spml_annotate.project import Project
from spml_annotate.workspace import Asked

CLASSES = ("cat", "dog", "cow", "pig")


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p", CLASSES) as made:
        yield made


@pytest.fixture
def links(project):
    with closing(LinkStore(project.workspace.root)) as store:
        yield store


def session(links, answers, kind=MAIN):
    """Note answers as a reading of Label Studio does: (annotator, hidden, proposed, named, seconds), a task each."""
    link = links.add("http://here", 1 + len(links.links()), "now", kind, "<View/>")
    said, exposures = [], []
    for task, (who, hidden, proposed, named, seconds) in enumerate(answers, start=1):
        said.append(Said(task, who, task, "t", {label: ("yes", f"e{task}-{label}") for label in named}, seconds))
        untouched = not hidden and set(named) == set(proposed)
        exposures.append(
            Exposure(task, who, "v", hidden, tuple(proposed), tuple(named), untouched, seconds, float(task), "chosen")
        )
    links.note(link.id, said)
    links.expose(link.id, exposures)
    return link


def made_answers(seed, *, count=600, follow=0.5, share=0.3, who=("ann", "bob"), speed=0.5):
    """Proposals are right in 6 of 10; a wrong one that is shown is followed with chance ``follow``."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        truth, hidden = int(random.integers(4)), bool(random.random() < share)
        proposed = truth if random.random() < 0.6 else (truth + 1) % 4
        given = proposed if not hidden and random.random() < follow else truth
        seconds = float((4.0 if hidden else 4.0 * speed) * np.exp(0.4 * random.normal()))
        found.append((who[random.integers(len(who))], hidden, [proposed], [given], seconds))
    return found


def test_planted_bias_is_found(project, links):
    session(links, made_answers(0))
    found = report_bias(project.workspace, links)
    [line] = found.kinds
    assert line.kind == "pick"
    assert line.shown + line.hidden == 600
    assert line.low < 0.2 < line.high  # 0.4 wrong proposals, half of them followed
    assert line.low > 0.1
    assert line.accepted_hidden == pytest.approx(0.6, abs=0.1)
    assert line.ratio == pytest.approx(0.5, rel=0.15)
    assert line.ratio_low < 0.5 < line.ratio_high
    assert line.untouched == line.accepted_shown
    assert [who.name for who in found.annotators] == ["ann", "bob"]
    assert all(who.difference > 0 for who in found.annotators)
    assert {line.name for line in found.classes} <= set(CLASSES)
    assert "pick: showing a proposal makes people accept it more often" in found.conclusions[0]
    assert "times as long when the proposal is shown" in found.conclusions[1]


def test_an_unmoved_annotator_shows_no_bias(project, links):
    session(links, made_answers(1, follow=0.0, speed=1.0))
    found = report_bias(project.workspace, links)
    assert "no effect of showing is seen" in found.conclusions[0]
    assert "which may be chance" in found.conclusions[1]


def test_the_class_that_people_are_talked_into_comes_first(project, links):
    random = np.random.default_rng(2)
    answers = []
    for _ in range(400):
        proposed, hidden = int(random.integers(4)), bool(random.random() < 0.4)
        accept = 0.95 if proposed == 2 and not hidden else 0.5
        given = proposed if random.random() < accept else (proposed + 1) % 4
        answers.append(("ann", hidden, [proposed], [given], 3.0))
    session(links, answers)
    assert report_bias(project.workspace, links).classes[0].name == "cow"


def test_kinds_are_not_mixed(project, links):
    """Pages whose proposals are always right and always shown must not make picks look biased."""
    session(links, [("ann", False, [0, 1], [0, 1], 5.0)] * 200, kind="page")
    session(links, made_answers(3, follow=0.0))
    found = {line.kind: line for line in report_bias(project.workspace, links).kinds}
    assert found["page"].accepted_shown == 1.0
    assert found["page"].difference is None
    assert found["pick"].low < 0 < found["pick"].high


def test_a_page_counts_the_share_of_its_proposals(project, links):
    session(links, [("ann", False, [0, 1, 2], [0, 3], 5.0), ("ann", True, [0, 1], [0, 1], 5.0)], kind="page")
    [line] = report_bias(project.workspace, links).kinds
    assert line.accepted_shown == pytest.approx(1 / 3)
    assert line.accepted_hidden == 1.0
    assert line.untouched == 0.0


def test_without_hidden_tasks_it_says_how_to_get_some(project, links):
    session(links, [("ann", False, [0], [0], 2.0)] * 50)
    found = report_bias(project.workspace, links)
    assert found.kinds[0].difference is None
    assert "100 % of the proposed classes were answered yes" in found.conclusions[0]
    assert "cannot be told" in found.conclusions[0]
    assert any(HIDE in line for line in found.conclusions)


def test_few_hidden_tasks_are_called_few(project, links):
    session(links, [*[("ann", False, [0], [0], 2.0)] * 50, *[("ann", True, [0], [1], 2.0)] * 4])
    text = " ".join(report_bias(project.workspace, links).conclusions)
    assert "4 hidden answers are few" in text


def test_nothing_shown_is_nothing_to_compare(project, links):
    assert "there is nothing to compare" in report_bias(project.workspace, None).conclusions[0]
    session(links, [("ann", False, [], [1], 2.0)] * 5)
    found = report_bias(project.workspace, links)
    assert (found.kinds, found.without) == ((), 5)
    assert "there is nothing to compare" in found.conclusions[0]


def test_skipped_and_deleted_answers_are_left_out(project, links):
    link = session(links, [("ann", False, [0], [0], 2.0), ("ann", False, [0], [], 2.0), ("ann", True, [0], [1], 2.0)])
    links.note(link.id, [Said(2, "ann", 2, "t", {0: ("skip", "s0"), 1: ("skip", "s1")}, 2.0)], gone=[(3, "ann")])
    [line] = report_bias(project.workspace, links).kinds
    assert (line.shown, line.hidden) == (1, 0)


def word(row, label, answer, who, *, shown=False, question="q", number=[0]):  # noqa: B006  (a counter)
    number[0] += 1
    return Observation(row, label, answer, who, "human", 1.0, float(number[0]), question, shown, f"w{number[0]}")


def test_accepted_proposals_are_judged_by_blind_words_of_others(project):
    check = Query(5, (0, 1, 2, 3), "exhaust").named("v")
    project.workspace.questions.add([Asked(check, "validation")])
    project.workspace.log.append(
        [
            word(0, 0, "yes", "ann", shown=True), word(0, 0, "no", "bob"),
            word(1, 0, "yes", "ann", shown=True), word(1, 0, "yes", "bob"),
            word(2, 0, "yes", "ann", shown=True), word(2, 0, "no", "bob", shown=True),  # nobody blind
            word(3, 1, "yes", "ann", shown=True), word(3, 1, "no", "bob"), word(3, 1, "yes", "eve"),  # even
            word(4, 1, "yes", "ann"), word(4, 1, "yes", "bob"),
            word(5, 2, "yes", "ann", shown=True), word(5, 2, "no", "ann", question=check.id),  # checked by himself
            word(6, 2, "yes", "ann", shown=True), word(6, 2, "no", "ann", question="other"),  # no check
        ]
    )  # fmt: skip
    found = report_bias(project.workspace, None)
    assert (found.checked.shown, found.checked.wrong_shown) == (3, 2)
    # both blind words of image 4, eve's on image 3 (bob's counts against ann's, even for her), bob's on image 1
    assert found.checked.blind == 3
    assert found.checked.wrong_blind == 1
    assert any("of 3 proposals accepted that others judged blind, 2 were wrong" in line for line in found.conclusions)


def test_a_taken_back_answer_is_not_judged(project):
    said = word(0, 0, "yes", "ann", shown=True)
    project.workspace.log.append([said, word(0, 0, "no", "bob"), said._replace(answer="retract", event="r")])
    assert report_bias(project.workspace, None).checked.shown == 0


def test_newcombe_is_the_published_example():
    # Newcombe 1998, table II, contrast (a): 56/70 - 48/80
    found = newcombe(56, 70, 48, 80)
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998a, table I


def test_intervals_of_differences_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        found = newcombe(random.binomial(200, 0.8), 200, random.binomial(25, 0.6), 25)
        held += found.low <= 0.2 <= found.high
    assert held >= 930
    ratios = 0
    for _ in range(1000):
        one, other = (np.exp(0.5 * random.normal(size=count)) for count in (100, 30))
        found = ratio_of_times(one, other)
        ratios += found.low <= 1.0 <= found.high
    assert ratios >= 920


@given(
    groups=st.lists(
        st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e4), st.booleans()), max_size=30), min_size=2, max_size=2
    )
)
def test_any_two_groups_can_be_compared(groups):
    one, other = (Group(*map(list, zip(*group, strict=True))) if group else Group([], [], []) for group in groups)
    found = compare("pick", "", one, other)
    assert (found.difference is None) == (not groups[0] or not groups[1])
    if found.difference is not None:
        assert -1 <= found.low <= found.difference + 1e-9
        assert found.difference - 1e-9 <= found.high <= 1
    if found.ratio is not None:
        assert found.ratio_low <= found.ratio <= found.ratio_high


def test_needed_is_what_books_say():
    assert needed(0.5) == 393  # 2 * 0.25 * (1.96 + 0.84)^2 / 0.1^2
    assert needed(0.9) < needed(0.5)
