"""What is asked, of whom, and what is never asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from project_world import embedded_copy

from spml_annotate.acquire.values import VALUES
from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import UNKNOWN, Observation
from spml_annotate.project.asking import expected_seconds


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """A project with a model and a checked sample; tests of this module only add questions and answers to it."""
    with embedded_copy(world, tmp_path_factory.mktemp("asking") / "p") as project:
        folder = tmp_path_factory.mktemp("answers")
        project.answer(world.answers(project, [*project.ask_validation(12).new], folder / "v.csv"))
        project.train(epochs=2, device="cpu")
        yield project


def cells(questions) -> set[tuple[int, int]]:
    return {(question.query.row, label) for question in questions for label in question.remaining}


@pytest.mark.parametrize("strategy", sorted(VALUES))
@given(budget=st.floats(0, 300), seed=st.integers(0, 3))
def test_the_rules_of_asking(trained, strategy, budget, seed):
    known = trained.labels.dense()
    asked = trained.ask(strategy, budget=budget, seed=seed)
    questions = [*asked.again, *asked.new]
    assert asked.seconds <= budget + 1e-6
    assert asked.seconds == pytest.approx(expected_seconds(questions, trained.workspace.settings.prices))
    assert all(known[cell] == UNKNOWN for cell in cells(questions))
    assert not {row for row, _ in cells(questions)} & set(trained.checked()[0].tolist())
    assert len(cells(questions)) == sum(len(question.remaining) for question in questions)


def test_open_questions_come_again_before_new_ones(project):
    first = project.ask("random-pairs", budget=60)
    assert first.again == ()
    second = project.ask("random-pairs", budget=120)
    assert [q.query.id for q in second.again] == [q.query.id for q in first.new]
    assert not cells(second.new) & cells(first.new)
    assert second.seconds <= 120
    assert len(project.open_questions()) == len(first.new) + len(second.new)


def test_the_same_seed_asks_the_same_questions(world, tmp_path):
    found = []
    for name in ("a", "b"):
        with embedded_copy(world, tmp_path / name) as project:
            found.append([question.query for question in project.ask("random-pairs", budget=60, seed=3).new])
    assert found[0] == found[1] != []


def test_a_strategy_that_needs_a_model_names_the_next_command(project):
    with pytest.raises(DataError, match=r"needs a trained model; run `spml-annotate train`.*random-images"):
        project.ask("expected-positives")
    with pytest.raises(SettingError, match="did you mean"):
        project.ask("random-pair")


def test_picks_are_asked_of_images_about_which_nothing_is_known(world, tmp_path):
    from spml_annotate.project import Project

    with Project.create(tmp_path / "p", world.classes) as project:
        project.add_images(world.pictures)
        project.observe([Observation(row, 0, "no") for row in range(50)])
        asked = project.ask_picks(budget=30.0)
        assert len(asked.new) == 6
        assert all(question.query.row >= 50 for question in asked.new)
        file = tmp_path / "a.csv"
        one, two = (question.query.id for question in asked.new[:2])
        file.write_text(f"question,label,answer\n{one},red 3,yes\n{two},,no\n")
        project.answer(file)
        rest = project.ask_picks(budget=1000.0)
        assert [q.query.id for q in rest.again] == [q.query.id for q in asked.new[2:]]
        assert len(rest.new) == 4
        assert project.labels.dense([asked.new[1].query.row]).max() == UNKNOWN  # seeing nothing says nothing


def test_validation_images_leave_training_with_their_copies(world, project):
    asked = project.ask_validation(20, seed=1)
    assert asked.drawn == 20
    splits = project.workspace.images.splits()
    assert (splits == 1).sum() == 20
    assert {question.query.row for question in asked.new} == set(np.flatnonzero(splits == 1).tolist())
    again = project.ask_validation(20, seed=2)
    assert (again.drawn, len(again.new), len(again.again)) == (0, 0, 20)
    more = project.ask_validation(25)
    assert (more.drawn, len(more.new)) == (5, 5)
    trained = project.train(epochs=1, device="cpu")
    assert trained.images == 35
    assert trained.selected_by == "last epoch"
    with pytest.raises(DataError, match="only 60 readable images"):
        project.ask_validation(60)


def test_open_questions_do_not_keep_drawn_images_from_their_full_check(world, tmp_path):
    with embedded_copy(world, tmp_path / "p") as project:
        picks = project.ask("random-pairs", budget=3600).new
        asked = project.ask_validation(20)
        assert asked.drawn == len(asked.new) == 20
        assert {q.query.row for q in picks} & {q.query.row for q in asked.new}
        again = project.ask_validation(20)
        assert (again.drawn, again.new, len(again.again)) == (0, (), 20)
        project.answer(world.answers(project, [*asked.new], tmp_path / "v.csv"))
        assert len(project.checked()[0]) == 20
        assert not cells(project.open_questions()) & cells(asked.new)


def test_copies_are_set_aside_with_their_original(world, project, tmp_path):
    copy = tmp_path / "copies" / "again.png"
    copy.parent.mkdir()
    copy.write_bytes((world.pictures / project.image_ids[8]).read_bytes())
    assert project.add_images(copy.parent).duplicates == (("again.png", project.image_ids[8]),)
    project.ask_validation(55)
    splits = project.workspace.images.splits()
    assert splits[60] == splits[8]
    assert 60 not in {question.query.row for question in project.open_questions()}
    assert (splits[:60] == 1).sum() == 55


def test_an_interrupted_draw_is_healed(project):
    project.workspace.images.set_split([3, 4], 1)  # drawn, and killed before the questions were stored
    asked = project.ask_validation(2)
    assert asked.drawn == 0
    assert {question.query.row for question in asked.new} == {3, 4}


def test_unsure_and_skip_are_not_asked_again_of_the_same_annotator(project, tmp_path):
    [*asked] = project.ask("random-images", budget=30, annotator="ann").new
    file = tmp_path / "a.csv"
    file.write_text(f"question,label,answer\n{asked[0].query.id},,unsure\n")
    project.answer(file, annotator="ann")
    met = cells(asked[:1])
    again = project.ask("random-images", budget=1e5, annotator="ann")
    assert not cells([*again.again, *again.new]) & met
    other = project.ask("random-images", budget=1e5, annotator="bob")
    assert met <= cells([*other.again, *other.new])


def test_copies_and_unreadable_images_are_not_asked_about(project):
    project.workspace.images.flag(7, "torn")
    asked = project.ask("random-pairs", budget=1e6)
    assert 7 not in {row for row, _ in cells(asked.new)}
    assert len(cells(asked.new)) == 59 * 79


def test_undo_opens_the_question_again(world, project, tmp_path):
    asked = project.ask("random-images", budget=60).new
    file = world.answers(project, [*asked], tmp_path / "a.csv")
    done = project.answer(file)
    assert project.open_questions() == []
    known, log = project.labels, len(project.workspace.log)
    assert project.answer(file).new == 0
    undone = project.undo()
    assert undone.question == asked[-1].query.id
    assert len(undone.answers) == 79
    assert len(project.workspace.log) == log + 79
    assert [q.query.id for q in project.open_questions()] == [asked[-1].query.id]
    assert project.answer(file).new == 79  # what was undone may be answered by the same file
    assert project.labels == known
    assert done.questions == len(asked)
    assert project.undo(asked[0].query.id).question == asked[0].query.id
    with pytest.raises(DataError, match="no answer that stands"):
        project.undo(asked[0].query.id)


def test_nothing_to_undo(world, tmp_path):
    with world.project(tmp_path / "p") as project, pytest.raises(DataError, match="no answered question"):
        project.undo()
    with world.project(tmp_path / "q") as project:
        assert project.labels.known == 60
