"""Files of answers: what they may say, and how mistakes in them are named."""

import json

import pytest

from spml_annotate.errors import DataError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Observation


@pytest.fixture
def question(project):
    return project.ask("random-images", budget=30).new[0]


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["question,label,answer", "nonsense,red 0,yes"], "line 2: question 'nonsense' was never asked"),
        (["question,label,answer", "Q,mauve 0,yes"], "line 2: there is no class 'mauve 0'"),
        (["question,label,answer", "Q,CLASS,perhaps"], "line 2: answer 'perhaps' is not yes, no, unsure or skip"),
        (["question,label,answer", "Q,CLASS,yes", "Q,CLASS,no"], "line 3: class .* is on line 2 already"),
        (["question,label,answer", "Q,,no", "Q,,skip"], "line 3: line 2 answers all other classes already"),
        (["question,label,answer", "Q,,yes"], "line 2: an empty label cannot be answered yes"),
        (["question,label,answer,seconds", "Q,CLASS,yes,soon"], "line 2: 'soon' is not a number of seconds"),
        (["question,label,answer", "Q,CLASS"], "line 2: 2 columns where the header has 3"),
        (["image,label,answer", "no.png,red 0,yes"], "line 2: image 'no.png' is not in the project"),
        (["image,class,answer", "no.png,red 0,yes"], "line 1: there is no column 'class'"),
        (["label,answer", "red 0,yes"], "line 1: columns question,label,answer or image,label,answer"),
        (["question,label,answer"], "there is no answer in the file"),
        ([""], "columns question,label,answer"),
    ],
)
def test_mistakes_are_named_with_their_line_and_nothing_is_stored(project, question, tmp_path, lines, message):
    before = len(project.workspace.log)
    asked = project.taxonomy.names[question.remaining[0]]
    lines = [line.replace("Q", question.query.id).replace("CLASS", asked) for line in lines]
    file = write(tmp_path / "a.csv", *lines)
    with pytest.raises(DataError, match=message) as caught:
        project.answer(file)
    assert "\n" not in str(caught.value)
    assert len(project.workspace.log) == before


def test_a_class_that_was_not_asked_about_is_refused(project, question, tmp_path):
    known = next(label for label in range(80) if label not in question.remaining)
    file = write(tmp_path / "a.csv", "question,label,answer", f"{question.query.id},{project.taxonomy.names[known]},no")
    with pytest.raises(DataError, match="does not ask about"):
        project.answer(file)


def test_json_lines_and_short_words(project, question, tmp_path):
    first, second, third = (project.taxonomy.names[label] for label in question.remaining[:3])
    lines = [
        json.dumps({"question": question.query.id, "label": first, "answer": "Y", "seconds": 2.5}),
        "",
        json.dumps({"question": question.query.id, "label": second, "answer": 0}),
        json.dumps({"question": question.query.id, "label": third, "answer": "u"}),
    ]
    done = project.answer(write(tmp_path / "a.jsonl", *lines), annotator="ann")
    assert (done.answers, done.new, done.seconds) == (3, 3, 2.5)
    codes = project.labels.dense([question.query.row])[0]
    assert [codes[label] for label in question.remaining[:3]] == [POSITIVE, NEGATIVE, UNKNOWN]
    still = next(q for q in project.open_questions("ann") if q.query.id == question.query.id)
    assert still.remaining == question.remaining[3:]
    bad = write(tmp_path / "b.jsonl", '{"question": "x", "label": ')
    with pytest.raises(DataError, match="line 1: this is not JSON"):
        project.answer(bad)
    with pytest.raises(DataError, match="line 1: this is not an object"):
        project.answer(write(tmp_path / "c.jsonl", "[1]"))


def test_answers_by_image_complete_it(world, project, tmp_path):
    image = project.image_ids[5]
    there = sorted(world.positives(image))
    lines = [f"{image},{name},yes" for name in there]
    project.answer(write(tmp_path / "a.csv", "image,label,answer", *lines, f"{image},,no"), annotator="ann")
    assert project.labels.dense([5])[0].tolist() == world.dataset.truth[5].tolist()
    assert project.undo().image == image
    assert project.labels.known == 60


def test_disagreement_makes_a_cell_unknown_and_is_counted(project, tmp_path):
    row, label = (int(column[0]) for column in project.labels.cells()[:2])
    project.observe([Observation(row, label, "no", "ann")])
    assert project.labels.dense([row])[0, label] == UNKNOWN
    assert project.status().conflicts == 1


def test_observations_outside_the_project_are_refused(project):
    with pytest.raises(DataError, match="there is no image 60"):
        project.observe([Observation(60, 0, "yes")])
