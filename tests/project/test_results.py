"""Training, proposals, evaluation, export and status of a project."""

import csv
import dataclasses

import numpy as np
import pytest
from project_world import give_features

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.formats.open_images import load_open_images
from spml_annotate.formats.parquet import load_parquet
from spml_annotate.labels import POSITIVE, UNKNOWN, Observation
from spml_annotate.project.proposing import stored_proposals
from spml_annotate.training.metrics import mean_average_precision


@pytest.fixture
def checked(world, project, tmp_path):
    """A project with 30 checked images and a model."""
    project.answer(world.answers(project, [*project.ask_validation(30).new], tmp_path / "v.csv"))
    project.train(epochs=25, learning_rate=0.05, weight_decay=0.01, loss="an", device="cpu")
    return project


@pytest.fixture
def taught(world, checked, tmp_path):
    """The same with full checks of half of the training images, so that the model is good enough to propose."""
    checked.answer(world.answers(checked, [*checked.ask("random-images", budget=350).new], tmp_path / "t.csv"))
    checked.train(epochs=25, learning_rate=0.02, weight_decay=0.01, device="cpu")
    return checked


def test_training_says_how_the_epoch_was_selected(project, checked):
    metrics = project.status().metrics
    assert metrics["selected_by"] == "validation mAP"
    assert metrics["validation_images"] == 30
    rows, codes = project.checked()
    head = project.workspace.models.current().head()
    judged = mean_average_precision(head.predict(project.features()[rows]), codes)
    assert judged.value == pytest.approx(metrics["validation_map"], abs=1e-6)
    assert metrics["expected_positives"] == pytest.approx((codes == POSITIVE).sum(axis=1).mean())


def test_the_same_seed_gives_the_same_model(project):
    one, two = (project.train(epochs=2, seed=4, device="cpu") for _ in range(2))
    models = [project.workspace.models.folder / name for name in (one.version, two.version)]
    for file in ("head.safetensors", "scores.npy", "metrics.json"):
        assert (models[0] / file).read_bytes() == (models[1] / file).read_bytes()


def test_nothing_known_is_an_error_with_a_remedy(world, project):
    with (
        world.project(project.workspace.root.parent / "bare") as bare,
        pytest.raises(DataError, match="annotate embed"),
    ):
        bare.train()
    project.workspace.images.set_split(range(60), 2)
    with pytest.raises(DataError, match="import-labels FILE"):
        project.train()
    with pytest.raises(DataError, match="no trained model yet"):
        project.propose()


def test_a_loss_that_needs_the_truth_is_refused(checked):
    with pytest.raises(SettingError, match="told every true negative"):
        checked.train(loss="iun")
    assert checked.status().model == "0001"


def test_proposals_are_of_unknown_cells_outside_the_sample(taught, tmp_path):
    made = taught.propose(precision=0.6)
    assert made.sample == 30
    assert sum(made.basis().values()) == 80
    codes = taught.labels.dense()
    assert (codes[made.proposals.rows, made.proposals.labels] == UNKNOWN).all()
    assert not set(made.proposals.rows.tolist()) & set(taught.checked()[0].tolist())
    assert len(made.proposals.negatives) > 0
    model = taught.workspace.models.current()
    kept = stored_proposals(taught.workspace, model)
    assert np.array_equal(kept.proposals.scores, made.proposals.scores)
    first = made.proposals.at(0)
    taught.observe([Observation(first.row, first.label, "yes")])
    assert len(stored_proposals(taught.workspace, model).proposals) == len(made.proposals) - 1


def test_without_a_sample_the_defaults_are_stated(project):
    project.train(epochs=2, device="cpu")
    made = project.propose()
    assert (made.sample, made.basis()["default"]) == (0, 80)
    with pytest.raises(DataError, match="ask --validation 200"):
        project.evaluate()


def test_evaluation_agrees_with_the_truth(world, taught):
    found = taught.evaluate(precision=0.6)
    rows, codes = taught.checked()
    names = [world.dataset.image_ids.index(taught.image_ids[row]) for row in rows]
    assert np.array_equal(codes, world.dataset.truth[names])
    assert (found.images, found.waiting, found.left_out) == (30, 0, int((~(codes == 1).any(axis=0)).sum()))
    assert found.map == pytest.approx(taught.status().metrics["validation_map"], abs=1e-6)
    assert found.expected_positives_low < found.expected_positives < found.expected_positives_high
    assert found.epoch_chosen_here
    assert found.negative_precision > 0.9


@pytest.mark.parametrize("out", ["export", "export.csv"])
def test_an_export_comes_back_complete(taught, tmp_path, out):
    taught.propose(precision=0.6)
    row, label, value = (int(column[0]) for column in taught.labels.cells())
    against = "no" if value == POSITIVE else "yes"
    taught.observe([Observation(row, label, against, "ann", time=5.0)])
    done = taught.export(tmp_path / out)
    load = load_open_images if out.endswith(".csv") else load_parquet
    table = load(tmp_path / out)
    assert table.image_ids == taught.image_ids
    assert len(table) == done.human + done.proposals
    assert done.proposals > 0
    human = table.sources == "human"
    assert set(table.sources[~human]) == {"proposal:combined"}
    assert np.isnan(table.scores[human]).all()
    assert not np.isnan(table.scores[~human]).any()
    known = taught.labels.dense()
    assert (known[table.rows[human], table.labels[human]] == table.values[human]).all()
    assert human.sum() == taught.labels.known
    assert done.disagreements == 1
    with open(done.conflicts, newline="") as file:
        said = {(line["annotator"], line["answer"]) for line in csv.DictReader(file)}
    assert len(said) == 2
    assert ("ann", against) in said
    assert len(load(tmp_path / taught.export(tmp_path / f"people-{out}", labels="human").path)) == done.human


def test_proposals_that_are_wanted_must_be_there(taught, tmp_path):
    with pytest.raises(DataError, match="run `spml-annotate propose`"):
        taught.export(tmp_path / "out", labels="all")
    assert taught.export(tmp_path / "out", min_precision=0.6).proposals > 0


def test_status_counts_what_is_known(world, checked):
    now = checked.status()
    assert now.kinds == {"none": 0, "SPL": 30, "PPL": 0, "PAL": 0, "FAL": 30}
    assert now.splits == {"train": 30, "validation": 30, "test": 0}
    assert now.hours == pytest.approx(sum(said.seconds for said in checked.workspace.log) / 3600)
    assert (now.checked, now.open_questions, now.conflicts) == (30, 0, 0)
    assert now.next == "spml-annotate propose, then spml-annotate ask"


def test_the_next_step_follows_the_work(world, tmp_path):
    from spml_annotate.project import Project

    with Project.create(tmp_path / "p", world.classes) as project:
        assert project.status().next == "spml-annotate images add FOLDER"
        project.add_images(world.pictures)
        assert "ask --pick" in project.status().next
        project.ask_picks(budget=20)
        assert project.status().next == "spml-annotate answer"
        project.import_labels(world.one)
        assert project.status().next == "spml-annotate embed"
        give_features(world, project)
        assert project.status().next == "spml-annotate train"
        project.ask("random-pairs", budget=20)
        assert project.status().next == "spml-annotate answer, then spml-annotate train"
        project.train(epochs=1, device="cpu")
        assert project.status().next == "spml-annotate ask --validation 20"
        assert project.ask_validation(20).drawn == 20


def test_an_export_says_that_the_current_model_has_proposed_nothing(world, project, tmp_path):
    assert project.export(tmp_path / "none").unproposed == ""
    project.train(epochs=1, device="cpu")
    assert project.export(tmp_path / "before").unproposed == "0001"
    assert project.export(tmp_path / "people", labels="human").unproposed == ""
    project.propose()
    assert project.export(tmp_path / "after").unproposed == ""


@pytest.mark.parametrize("change", [{"learning_rate": -1.0}, {"learning_rate": float("nan")}, {"weight_decay": -0.1}])
def test_optimiser_settings_that_cannot_be_are_refused(project, change):
    with pytest.raises(SettingError, match="it must be"):
        project.train(epochs=1, device="cpu", **change)
    with pytest.raises(SettingError, match="lower the learning rate"):
        project.train(epochs=3, learning_rate=1e38, device="cpu")
    assert project.workspace.models.current() is None


def test_features_of_another_backbone_ask_for_a_new_training(checked):
    workspace = checked.workspace
    with workspace.writing("test"):
        workspace.update(features=dataclasses.replace(workspace.feature_settings, key="other"))
    with pytest.raises(MismatchError, match="run `spml-annotate train`"):
        checked.propose()


def test_doctor_finds_what_is_wrong(checked):
    levels = {check.name: check.level for check in checked.doctor()}
    assert levels["model"] == levels["features"] == levels["database"] == levels["images"] == "ok"
    path = checked.workspace.features.tables.path("made-up")
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)
    (checked.workspace.models.current().folder / "head.safetensors").write_bytes(b"")
    found = {check.name: check for check in checked.doctor()}
    assert found["features"].level == found["model"].level == "fail"
    assert "has changed since it was written" in found["features"].found
