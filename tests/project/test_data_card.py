"""The data card: what it states, what it keeps to itself, and that it is the same for the same project."""

from pathlib import Path

import numpy as np
import pytest

from spml_annotate.labels import POSITIVE, UNKNOWN, Observation
from spml_annotate.project import Project
from spml_annotate.project.exporting.people import people_of, plain
from spml_annotate.project.sample import checked_sample
from spml_annotate.version import __version__


def card(project, out, **options) -> str:
    return Path(project.export(out, **options).card).read_text()


def test_it_states_source_people_and_what_is_not_known(project, tmp_path):
    project.observe(
        [
            Observation(0, 3, "no", "ann@example.com", seconds=1800.0, time=1.7e9, shown=True),
            Observation(0, 3, "yes", "ben@example.com", seconds=1800.0, time=1.7e9 + 86400),
            Observation(1, 4, "unsure", "ben@example.com"),
        ]
    )
    text = card(project, tmp_path / "out")
    for line in (
        "- Pictures from: pictures",
        "- 60 images (60 train, 0 validation, 0 test) of 60 in the project",
        "- 2 annotators, 1.00 hours of their time",
        "- annotator 1: 2 answers",
        "- annotator 2: 1 answer",
        "- imported from one.csv: 60 labels",
        "- 1 cell on which they disagree; policy between them: unanimous",
        "No model has a part in these labels.",
        "1 of 62 answers (1.6 %) were given while a proposal for the class was shown",
        "Annotators could not tell (1 times)",
        f"- spml-annotate {__version__}",
        "- Newest answer: 2023-11-15",
        "## Licence\n\nNot stated.",
    ):
        assert line in text
    assert "example.com" not in text
    assert str(tmp_path) not in text
    named = card(project, tmp_path / "out", names=True, licence="CC BY 4.0", notes=["Taken in one garden."])
    assert "ben@example.com: 2 answers" in named
    assert "## Licence\n\nCC BY 4.0" in named
    assert "- Taken in one garden." in named


def test_without_a_checked_sample_it_says_that_nothing_is_known(project, tmp_path):
    project.train(epochs=2, device="cpu")
    project.propose()
    text = card(project, tmp_path / "out")
    assert "Not known: there is no checked sample large enough." in text
    assert "loss `en`" in text
    assert "- Proposer `combined`, wanted precision of expected positives 0.9" in text


def test_with_a_sample_it_has_intervals_and_counts(world, project, tmp_path):
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    project.train(epochs=25, learning_rate=0.05, weight_decay=0.01, loss="an", device="cpu")
    project.propose(precision=0.6)
    done = project.export(tmp_path / "out")
    text, share = Path(done.card).read_text(), done.quality.overall.negative_recall
    assert f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f}; {share.right} of {share.count})" in text
    assert "calibrated on the other half of the sample" in text


def test_only_cells_that_a_check_found_out_are_judged(world, project, tmp_path):
    before = project.labels.dense()
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    sample = checked_sample(project.workspace)
    known = before[sample.rows] != UNKNOWN
    assert known.sum() == 30  # one positive each, which nothing is proposed for
    assert (sample.codes[known] == POSITIVE).all()
    assert (sample.found[known] == UNKNOWN).all()
    assert (sample.found[~known] == sample.codes[~known]).all()
    project.train(epochs=25, learning_rate=0.05, weight_decay=0.01, loss="an", device="cpu")
    project.propose(precision=0.6)
    done = project.export(tmp_path / "out")
    found, text = done.quality, Path(done.card).read_text()
    assert (found.drawn, found.named, found.trained) == (30, 30, 0)
    assert found.overall.positive_recall.count == (sample.codes == POSITIVE).sum() - 30
    assert "On 30 checked images, 30 of them drawn at random" in text
    assert "had labels before their check" not in text
    assert "trained on" not in text.split("## Estimated quality")[1].split("##")[0]


def test_a_sample_drawn_after_the_training_is_told(world, project, tmp_path):
    project.train(epochs=2, device="cpu")
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    project.propose()
    assert "30 images of the sample may have been trained on" in card(project, tmp_path / "out")
    project.train(epochs=2, device="cpu")
    project.propose()
    assert "may have been trained on" not in card(project, tmp_path / "out")


def test_a_sample_without_earlier_labels_is_told_to_flatter(world, project, tmp_path):
    known = project.labels.dense()
    undo = [Observation(row, int(np.flatnonzero(known[row] == POSITIVE)[0]), "retract", "import") for row in range(60)]
    project.observe(undo)
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    rows = np.flatnonzero(project.workspace.images.splits() == 0)
    project.observe([Observation(int(row), int(np.flatnonzero(known[row] == POSITIVE)[0]), "yes") for row in rows])
    project.train(epochs=2, device="cpu")
    project.propose()
    text = card(project, tmp_path / "out")
    assert "Only 0 of these images had labels before their check." in text
    assert "expected positives are right LESS often than estimated" in text


def test_a_class_that_came_after_the_proposals_is_not_judged(world, project, tmp_path):
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    project.train(epochs=25, learning_rate=0.05, weight_decay=0.01, loss="an", device="cpu")
    project.propose(precision=0.6)
    project.add_classes(["late"])
    project.observe([Observation(int(row), 80, "no", "ann") for row in project.checked()[0]])
    late = project.export(tmp_path / "out").quality.classes[80]
    assert (late.positive_precision.count, late.negative_precision.count) == (0, 0)


def test_one_annotator_beside_a_file_did_not_give_all_answers(project, tmp_path):
    project.observe([Observation(0, 3, "no", "ann")])
    assert "One annotator gave all the answers" not in card(project, tmp_path / "out")


def test_the_same_project_gives_the_same_bytes(project, tmp_path):
    project.train(epochs=2, device="cpu")
    project.propose()
    first, second = (card(project, tmp_path / name / "out") for name in ("one", "two"))
    assert first == second


def test_only_the_exported_images_count(project):
    project.observe([Observation(0, 3, "no", "ann", seconds=3600.0), Observation(1, 3, "no", "ben", seconds=3600.0)])
    found = people_of(project.workspace, np.array([0]))
    assert (found.annotators, found.hours) == ((("ann", 1),), 1.0)


def test_images_that_nobody_saw_and_classes_named_first_are_told(world, project, tmp_path):
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    codes = project.checked()[1]
    common = int(np.argmax((codes == 1).sum(axis=0)))
    rows = [row for row in range(60) if project.workspace.images.splits()[row] == 0]
    known = project.labels
    undo = [Observation(row, int(np.flatnonzero(known.dense([row])[0] == 1)[0]), "retract", "import") for row in rows]
    project.observe(undo)
    project.observe([Observation(row, common, "yes", "ann") for row in rows[:28]])
    text = card(project, tmp_path / "out")
    assert "Nobody has looked at 2 of 60 images." in text
    assert "of 28 of 60 images only one positive is known" in text
    counts = f"(28 against {(codes == 1).sum(axis=0)[common]})"
    assert f"(of 28 such labels, against {(codes == 1).sum()} checked positives)" in text
    assert f"{project.taxonomy.names[common]} {counts}" in text


@pytest.mark.parametrize("name", ["a|b", "line\nbreak", "*star* `tick` <b>", "é 🦆, and"])
def test_names_cannot_break_the_page(world, tmp_path, name):
    with Project.create(tmp_path / "p", [name, "other"]) as project:
        project.add_images(world.pictures)
        project.observe([Observation(0, 0, "yes", name)])
        text = card(project, tmp_path / "out", names=True)
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 3
    assert all(line.replace("\\|", "").count("|") == 8 for line in table)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("# dora", r"\# dora"),
        ("- list", r"\- list"),
        ("1. first", r"1\. first"),
        ("~~gone~~", r"\~\~gone\~\~"),
        ("&lt;i&gt;", r"\&lt;i\&gt;"),
        ("$a$", r"\$a\$"),
    ],
)
def test_names_look_in_markdown_as_they_are(name, written):
    assert plain(name) == written
