"""Sources of k in a project, and which of them training, proposals and questions use."""

import dataclasses

import numpy as np
import pytest

from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.project import Project
from spml_annotate.project.estimating import held_out_scores
from spml_annotate.project.evidence import evidence_of
from spml_annotate.project.sample import checked_sample

FAST = {"epochs": 8, "learning_rate": 0.02, "weight_decay": 0.01, "device": "cpu"}


def by_name(found):
    return {source.name: source for source in found.sources}


@pytest.fixture
def checked(world, project, tmp_path):
    """A project with 20 checked images, and no model."""
    project.answer(world.answers(project, [*project.ask_validation(20).new], tmp_path / "v.csv"))
    return project


def test_before_anything_is_known_every_source_says_what_it_lacks(world, tmp_path):
    with Project.create(tmp_path / "bare", world.classes) as bare:
        found = by_name(bare.estimate_expected_positives())
        assert all(source.estimate is None for source in found.values())
        assert "ask --validation" in found["validation"].note
        assert "train" in found["crisp"].note
        assert bare.status().expected_positives == 1.5


def test_sources_side_by_side(checked):
    checked.train(loss="an", **FAST)
    found = by_name(checked.estimate_expected_positives(expected_positives=2.5, held_out=True, device="cpu"))
    _, codes = checked.checked()
    sample = found["validation"].estimate
    assert sample.expected_positives == pytest.approx((codes == POSITIVE).sum(axis=1).mean())
    assert sample.low < sample.expected_positives < sample.high
    assert (sample.prior_low <= sample.priors).all()
    assert (sample.priors <= sample.prior_high).all()
    for name in ("crisp", "crisp-held-out"):
        said = found[name].estimate
        assert said.images == 40
        assert said.expected_positives >= 1.0  # every image has a known positive
    assert found["given"].estimate.priors.sum() == pytest.approx(2.5)


def test_a_saved_k_goes_before_the_sample_and_after_an_option(checked):
    workspace = checked.workspace
    before = checked.status()
    assert before.expected_positives_from == "20 checked images"
    checked.estimate_expected_positives(save="2.25")
    assert checked.status().expected_positives == 2.25
    assert Project(workspace.root).workspace.settings.expected_positives == 2.25
    trained = checked.train(**FAST)
    assert (trained.expected_positives, trained.expected_positives_from) == (2.25, "set for the project: given")
    evidence = evidence_of(workspace, workspace.models.current(), checked_sample(workspace))
    assert evidence.expected_positives == pytest.approx(2.25)  # what propose and ask go by
    assert evidence_of(workspace, None, checked_sample(workspace)).expected_positives == pytest.approx(2.25)
    assert checked.train(**FAST, expected_positives=4.0).expected_positives == 4.0
    evidence = evidence_of(workspace, workspace.models.current(), checked_sample(workspace))
    assert evidence.expected_positives == pytest.approx(4.0)
    found = checked.estimate_expected_positives(save="crisp")
    assert found.used.expected_positives == by_name(found)["crisp"].estimate.expected_positives
    assert found.used.source == "set for the project: crisp, 40 images"
    assert checked.estimate_expected_positives(save="automatic").used.source == "20 checked images"
    assert checked.status().expected_positives == before.expected_positives


def test_the_setting_survives_other_changes_of_the_settings(checked):
    checked.estimate_expected_positives(save="validation")
    saved = checked.workspace.settings
    checked.add_classes(["unicorn"])
    again = Project(checked.workspace.root).workspace.settings
    assert again.expected_positives == saved.expected_positives
    assert again.expected_positives_from == "validation, 20 images"


@pytest.mark.parametrize(
    ("save", "error", "says"),
    [
        ("0", SettingError, "above 0 and at most 80"),
        ("81", SettingError, "above 0 and at most 80"),
        ("nan", SettingError, "above 0"),
        ("crips", SettingError, "give a number, or one of validation, crisp"),
        ("crisp", DataError, "there is no such estimate .no model yet"),
        ("given", DataError, "add --expected-positives K"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_changes_nothing(project, save, error, says):
    before = (project.workspace.root / "spml.toml").read_bytes()
    with pytest.raises(error, match=says):
        project.estimate_expected_positives(save=save)
    assert (project.workspace.root / "spml.toml").read_bytes() == before


def test_a_k_in_the_file_that_cannot_be_is_refused(project):
    path = project.workspace.root / "spml.toml"
    path.write_text(path.read_text() + "\n[training]\nexpected_positives = -1\n")
    with pytest.raises(SettingError, match="estimate-k --save"):
        Project(project.workspace.root)


def test_classes_that_came_after_the_model_count_as_nothing(checked):
    checked.train(**FAST)
    before = by_name(checked.estimate_expected_positives())["crisp"].estimate
    checked.add_classes(["unicorn", "phoenix"])
    after = by_name(checked.estimate_expected_positives())["crisp"].estimate
    assert after.expected_positives == pytest.approx(before.expected_positives)
    assert (len(after.priors), after.unseen) == (82, before.unseen + 2)
    assert after.priors[-2:].tolist() == [0.0, 0.0]


def test_a_model_of_other_features_is_named_and_the_sample_still_counts(checked):
    checked.train(**FAST)
    features = dataclasses.replace(checked.workspace.settings.features, key="other")
    with checked.workspace.writing("test"):
        checked.workspace.update(features=features)
    found = by_name(checked.estimate_expected_positives(held_out=True))
    assert found["validation"].estimate is not None
    for name in ("crisp", "crisp-held-out"):
        assert found[name].estimate is None
        assert "was trained on the features made-up" in found[name].note


def test_held_out_scores_come_from_heads_that_did_not_see_the_image():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 200)).astype(np.float32)  # noise: only memory can tell a known positive
    codes = np.full((60, 3), UNKNOWN, dtype=np.int8)
    codes[np.arange(50), rng.integers(0, 3, 50)] = POSITIVE
    trained = {
        **{"loss": "an", "settings": {}, "seed": 0, "learning_rate": 0.02},
        **{"weight_decay": 0.0, "epochs": 40, "batch_size": 16},
    }
    scores = held_out_scores(features, codes, trained, None, 0, "cpu")
    positive = codes == POSITIVE
    assert scores.shape == (60, 3)
    assert abs(float(scores[positive].mean()) - float(scores[:50][~positive[:50]].mean())) < 0.15
    np.testing.assert_array_equal(scores, held_out_scores(features, codes, trained, None, 0, "cpu"))
    with pytest.raises(DataError, match="only one image"):
        held_out_scores(features, np.where(np.arange(60)[:, None] == 0, codes, UNKNOWN), trained, None, 0, "cpu")


def test_training_gives_class_priors_to_a_loss_that_asks(checked):
    """A threshold just below the largest prior leaves the unknown cells of those classes out, and no others."""
    priors = evidence_of(checked.workspace, None, checked_sample(checked.workspace)).priors
    common = priors == priors.max()
    assert 0 < common.sum() < 80
    heads = []
    for threshold in (float(priors.max()) - 1e-4, 0.999):
        settings = {"mode": "selective", "ignored_per_image": 0, "prior_threshold": threshold}
        checked.train(loss="csl", settings=settings, **FAST)
        heads.append(checked.workspace.models.current().head())
    changed = ~np.isclose(heads[0].bias, heads[1].bias, atol=1e-5)
    assert changed.tolist() == common.tolist()


def test_what_is_reported_is_plain_data(checked):
    found = checked.estimate_expected_positives()
    sample = by_name(found)["validation"].estimate
    assert {field.name for field in dataclasses.fields(sample)} >= {"low", "high", "priors", "images"}
    assert len(found.classes) == 80
    assert not found.saved
