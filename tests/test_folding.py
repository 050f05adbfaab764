"""From answers to one value per cell."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError, SettingError
from spml_annotate.folding import POLICIES, Conflict, fold, fold_matrix, last_words, retractions
from spml_annotate.folding_columns import columns_of, fold_columns
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Observation

SHAPE = (3, 2)


def says(annotator: str, answer: str, row: int = 0, label: int = 0, question: str = "") -> Observation:
    return Observation(row, label, answer, annotator, question=question)


answers = st.builds(
    says,
    st.sampled_from(["ann", "bob", "cyd"]),
    st.sampled_from(["yes", "no", "unsure", "skip", "retract"]),
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["", "q1", "q2"]),
)
logs = st.lists(answers, max_size=25)


def value(log: list[Observation], policy: str = "unanimous") -> int:
    return int(fold(log, (1, 1), policy).matrix.dense()[0, 0])


@pytest.mark.parametrize("policy", POLICIES)
def test_one_annotator_is_believed(policy: str) -> None:
    assert value([says("ann", "yes")], policy) == POSITIVE
    assert value([says("ann", "no")], policy) == NEGATIVE
    assert value([says("ann", "yes"), says("ann", "no")], policy) == NEGATIVE
    assert value([says("ann", "yes"), says("ann", "unsure")], policy) == UNKNOWN
    assert value([says("ann", "skip")], policy) == UNKNOWN
    assert value([], policy) == UNKNOWN


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("positives", [1, 3, 40])
def test_single_answers_keep_their_values_however_rare(policy: str, positives: int) -> None:
    log = [says("ann", "yes" if row < positives else "no", row) for row in range(40)]
    assert fold(log, (40, 1), policy).matrix.count(POSITIVE).tolist() == [positives]
    assert fold(log, (40, 1), policy).matrix.known == 40


@pytest.mark.parametrize(
    ("said", "unanimous", "majority", "last"),
    [
        ("yes yes", POSITIVE, POSITIVE, POSITIVE),
        ("no no no", NEGATIVE, NEGATIVE, NEGATIVE),
        ("yes no", UNKNOWN, UNKNOWN, NEGATIVE),
        ("no yes yes", UNKNOWN, POSITIVE, POSITIVE),
        ("yes no no", UNKNOWN, NEGATIVE, NEGATIVE),
        ("yes unsure", POSITIVE, POSITIVE, POSITIVE),
        ("no no yes unsure", UNKNOWN, NEGATIVE, POSITIVE),
    ],
)
def test_policies_between_annotators(said: str, unanimous: int, majority: int, last: int) -> None:
    log = [says(f"annotator {number}", answer) for number, answer in enumerate(said.split())]
    assert [value(log, policy) for policy in ("unanimous", "majority", "last")] == [unanimous, majority, last]


def test_retract_restores_the_word_before() -> None:
    log = [says("ann", "yes"), says("ann", "no"), says("ann", "retract")]
    assert value(log) == POSITIVE
    assert value([*log, says("ann", "retract")]) == UNKNOWN
    assert value([*log, says("ann", "retract"), says("ann", "retract")]) == UNKNOWN
    assert value([*log, says("bob", "retract")]) == POSITIVE


def test_retract_that_names_a_question_takes_back_that_one_and_only_once() -> None:
    log = [says("ann", "yes", question="q1"), says("ann", "no", question="q2"), says("ann", "retract", question="q1")]
    assert value(log) == NEGATIVE
    assert value([*log, says("ann", "retract", question="q1")]) == NEGATIVE
    assert value([*log, says("ann", "retract", question="q2")]) == UNKNOWN


def test_after_a_retract_the_earlier_word_keeps_its_place() -> None:
    log = [says("ann", "yes"), says("bob", "no"), says("ann", "yes"), says("ann", "retract")]
    assert value(log, "last") == NEGATIVE


def test_conflicts_are_listed_whatever_the_policy_says() -> None:
    log = [says("ann", "yes", 1), says("bob", "no", 1), says("cyd", "yes", 1), says("ann", "no"), says("bob", "skip")]
    for policy in POLICIES:
        assert fold(log, SHAPE, policy).conflicts() == [Conflict(1, 0, ("ann", "cyd"), ("bob",))]
    assert fold([*log, says("bob", "retract", 1)], SHAPE).conflicts() == []


@pytest.mark.parametrize("answer", ["yes", "skip"])
@pytest.mark.parametrize(("row", "label"), [(3, 0), (0, 2)])
def test_answers_outside_the_table_are_refused(answer: str, row: int, label: int) -> None:
    with pytest.raises(DataError, match=f"image {row}, class {label}.*another project"):
        fold([says("ann", answer, row, label)], SHAPE)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(SettingError, match="there is no policy 'vote'"):
        fold([], SHAPE, "vote")


def plain_last_words(log: list[Observation]) -> dict:
    """The definition, cell by cell: strike out what was taken back, then look at the end."""
    words = {}
    for place, said in enumerate(log):
        key = (said.row, said.label, said.annotator)
        standing = words.setdefault(key, [])
        if said.answer != "retract":
            standing.append((place, said))
            continue
        named = [entry for entry in standing if said.question in ("", entry[1].question)]
        if named:
            standing.remove(named[-1])
    cells = defaultdict(list)
    for (row, label, _), standing in words.items():
        if standing:
            cells[row, label].append(standing[-1])
    return {cell: sorted(said) for cell, said in cells.items()}


@given(logs)
def test_last_words_follow_their_definition(log: list[Observation]) -> None:
    ours = {cell: [tuple(word) for word in said] for cell, said in last_words(log).items()}
    assert ours == plain_last_words(log)


@given(logs, st.sampled_from(POLICIES))
def test_cells_do_not_depend_on_each_other_but_for_the_rates(log: list[Observation], policy: str) -> None:
    whole = fold(log, SHAPE, policy).matrix.dense()
    if policy == "dawid-skene":  # its rates come from all cells; unanimous cells do not depend on them
        agreed = fold(log, SHAPE, "unanimous").matrix.dense()
        assert np.array_equal(whole[agreed != UNKNOWN], agreed[agreed != UNKNOWN])
        return
    for row in range(SHAPE[0]):
        part = fold([said for said in log if said.row == row], SHAPE, policy).matrix.dense()
        assert np.array_equal(part[row], whole[row])


@given(logs, st.sampled_from(["q1", "q2"]))
def test_undo_leaves_what_would_have_been_without_the_question(log: list[Observation], question: str) -> None:
    log = [said._replace(event=str(place)) for place, said in enumerate(log) if said.answer != "retract"]
    undone = [*log, *retractions(log, question)]
    without = [said for said in log if said.question != question]
    for policy in POLICIES:
        assert fold(undone, SHAPE, policy).matrix == fold(without, SHAPE, policy).matrix
    assert retractions(undone, question) == []


def plain_dawid_skene(votes: list[tuple[str, str, bool]], rounds: int = 30) -> dict[str, float]:
    """The published EM, written out with loops: votes are (cell, annotator, yes)."""
    cells = sorted({cell for cell, _, _ in votes})
    people = sorted({person for _, person, _ in votes})
    belief = {}
    for cell in cells:
        said = [yes for other, _, yes in votes if other == cell]
        belief[cell] = sum(said) / len(said)
    for _ in range(rounds):
        prior = (sum(belief.values()) + 1) / (len(cells) + 2)
        hit, false = {}, {}
        for person in people:
            mine = [(belief[cell], yes) for cell, other, yes in votes if other == person]
            hit[person] = (sum(p for p, yes in mine if yes) + 4) / (sum(p for p, _ in mine) + 5)
            false[person] = (sum(1 - p for p, yes in mine if yes) + 1) / (sum(1 - p for p, _ in mine) + 5)
        new = {}
        for cell in cells:
            positive, negative = math.log(prior), math.log(1 - prior)
            for other, person, yes in votes:
                if other == cell:
                    positive += math.log(hit[person] if yes else 1 - hit[person])
                    negative += math.log(false[person] if yes else 1 - false[person])
            top = max(positive, negative)
            weight = math.exp(positive - top)
            new[cell] = weight / (weight + math.exp(negative - top))
        belief = new
    return belief


def crowd(seed: int, cells: int = 60, people: int = 5) -> tuple[list[Observation], np.ndarray]:
    """Annotators of different skill who answer some of the cells each."""
    random = np.random.default_rng(seed)
    truth = (random.random(cells) < 0.4).astype(int)
    skill = np.linspace(0.55, 0.95, people)
    log = [
        says(f"p{person}", "yes" if (random.random() < skill[person]) == bool(truth[cell]) else "no", cell)
        for cell in range(cells)
        for person in range(people)
        if random.random() < 0.7
    ]
    return log, truth


@pytest.mark.parametrize("seed", range(5))
def test_dawid_skene_is_the_published_procedure(seed: int) -> None:
    log, _ = crowd(seed)
    matrix = fold(log, (60, 1), "dawid-skene").matrix.dense()[:, 0]
    by_cell = defaultdict(list)
    for said in log:
        by_cell[said.row].append(said)
    votes = [(str(said.row), said.annotator, said.answer == "yes") for said in log if len(by_cell[said.row]) > 1]
    belief = plain_dawid_skene(votes)
    compared = 0
    for cell, said in by_cell.items():
        views = {one.answer for one in said}
        if len(views) == 1:
            assert matrix[cell] == (POSITIVE if views == {"yes"} else NEGATIVE)
            continue
        p = belief[str(cell)]
        if min(abs(p - 0.4), abs(p - 0.6)) < 1e-6:
            continue
        assert matrix[cell] == (POSITIVE if p > 0.6 else NEGATIVE if p < 0.4 else UNKNOWN)
        compared += 1
    assert compared > 20


def test_dawid_skene_is_nearer_the_truth_than_a_majority() -> None:
    right = {"majority": 0, "dawid-skene": 0}
    for seed in range(8):
        log, truth = crowd(seed, cells=200, people=5)
        for policy in right:
            right[policy] += int((fold(log, (200, 1), policy).matrix.dense()[:, 0] == truth).sum())
    assert right["dawid-skene"] > right["majority"]


def test_dawid_skene_follows_whoever_proved_reliable() -> None:
    log = []
    for cell in range(30):
        truth = "yes" if cell % 3 == 0 else "no"
        log += [says("good", truth, cell), says("better", truth, cell)]
        log.append(says("coin", "yes" if cell % 2 else "no", cell))
    log += [says("good", "yes", 30), says("coin", "no", 30)]
    assert fold(log, (31, 1), "dawid-skene").matrix.dense()[30, 0] == POSITIVE
    assert fold(log, (31, 1), "majority").matrix.dense()[30, 0] == UNKNOWN


@given(logs, st.sampled_from(POLICIES))
def test_the_matrix_alone_is_the_matrix_of_the_fold(log: list[Observation], policy: str) -> None:
    shape = (5, 5)
    assert fold_matrix(log, shape, policy) == fold(log, shape, policy).matrix


def test_the_matrix_alone_refuses_what_the_fold_refuses() -> None:
    for row, label in ((3, 0), (0, 2)):
        with pytest.raises(DataError, match="outside the table"):
            fold_matrix([says("ann", "yes", row, label)], (3, 2))
    assert fold_matrix([], (3, 2)).known == 0


def same_fold(log: list[Observation], shape: tuple[int, int], policy: str) -> None:
    """The columns give what the objects give."""
    found, expected = fold_columns(columns_of(log), shape, policy), fold(log, shape, policy)
    assert found.matrix == expected.matrix
    assert found.conflicts() == expected.conflicts()
    words = [word.position for _, said in sorted(expected.words.items()) for word in said]
    assert found.standing.tolist() == words


@pytest.mark.parametrize("policy", POLICIES)
@given(log=logs)
def test_columns_fold_like_objects(policy: str, log: list[Observation]) -> None:
    same_fold(log, SHAPE, policy)


@given(log=st.lists(answers, min_size=30, max_size=60), policy=st.sampled_from(POLICIES))
def test_long_columns_fold_like_objects(log: list[Observation], policy: str) -> None:
    same_fold(log, SHAPE, policy)


def test_columns_keep_all_but_the_events() -> None:
    said = Observation(2, 1, "no", "ann", "label-studio", 1.5, 7.0, "q", True, "e")
    log = columns_of([says("bob", "skip"), said])
    assert (log.rows.tolist(), log.labels.tolist(), log.answers.tolist()) == ([0, 2], [0, 1], [3, 1])
    assert [log.annotator_names[i] for i in log.annotators] == ["bob", "ann"]
    assert [log.source_names[i] for i in log.sources] == ["human", "label-studio"]
    assert [log.question_names[i] for i in log.questions] == ["", "q"]
    assert (log.seconds.tolist(), log.times.tolist(), log.shown.tolist()) == ([0.0, 1.5], [0.0, 7.0], [False, True])
    assert len(columns_of([])) == 0


@pytest.mark.parametrize(("row", "label"), [(3, 0), (0, 2)])
def test_columns_outside_the_table_are_refused(row: int, label: int) -> None:
    with pytest.raises(DataError, match=f"image {row}, class {label}.*another project"):
        fold_columns(columns_of([says("ann", "skip", row, label)]), SHAPE)
    with pytest.raises(SettingError, match="there is no policy 'vote'"):
        fold_columns(columns_of([]), SHAPE, "vote")
