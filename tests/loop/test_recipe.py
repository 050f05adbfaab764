"""Training on almost nothing: two dozen single positives and the built-in extractor."""

import numpy as np
import pytest
from simple_pictures import COLOURS_AND_TEXTURES, SHAPES, write_pictures

from spml_annotate.errors import SettingError
from spml_annotate.labels import Observation
from spml_annotate.loop.recipe import BATCH_SIZE, EPOCHS, FEW, STEPS, backbone_for, check_loss, training_plan
from spml_annotate.project import Project
from spml_annotate.studio.environment import StudioSettings


def test_the_loss_follows_what_is_known_unless_it_was_chosen():
    assert training_plan("auto", FEW - 1, 50)[0] == "an"
    assert training_plan("auto", FEW, 50)[0] == "en"
    assert training_plan("role", 3, 50)[0] == "role"
    assert StudioSettings().loss == "auto"


def test_every_training_takes_enough_steps_and_a_large_one_no_more_than_before():
    for images in (1, 24, 64, 65, 200, 384, 10_000):
        epochs = training_plan("auto", images, images)[1]
        batches = -(-images // BATCH_SIZE)
        assert epochs * batches >= STEPS
        assert epochs == EPOCHS or (epochs - 1) * batches < STEPS
    assert training_plan("auto", 384, 384)[1] == EPOCHS


@pytest.mark.parametrize(("kinds", "least"), [(COLOURS_AND_TEXTURES, 0.9), (SHAPES, 0.9)], ids=["colours", "shapes"])
def test_two_dozen_positives_tell_simple_pictures_apart(tmp_path, kinds, least):
    right = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        truth = write_pictures(folder / "pictures", kinds, seed=seed)
        with Project.create(folder / "project", list(kinds)) as project:
            project.add_images(folder / "pictures")
            project.embed(backbone=backbone_for(project.workspace.image_paths()))
            rows = np.random.default_rng(seed).permutation(40)
            labels = np.array([kinds.index(truth[name]) for name in project.image_ids])
            project.observe([Observation(int(row), int(labels[row]), "yes") for row in rows[:24]])
            loss, epochs = training_plan("auto", 24, 24)
            project.train(loss=loss, epochs=epochs)
            scores = project.scores().astype(np.float32)
        right.append((scores[rows[24:]].argmax(axis=1) == labels[rows[24:]]).mean())
        assert scores[rows[24:]].max(axis=1).mean() > 0.5  # sure enough to be proposed, not only to be ranked
    assert np.mean(right) >= least  # chance is 0.2; measured 0.96 to 1.0


@pytest.mark.parametrize(("loss", "says"), [("nonsense", "nonsense"), ("iun", "true negatives"), ("vlpl", "teacher")])
def test_a_loss_that_cannot_be_trained_is_refused_at_once(loss, says):
    with pytest.raises(SettingError, match=f"SPML_LOSS.*{says}"):
        check_loss(loss)
    check_loss("auto")
    check_loss("role")
