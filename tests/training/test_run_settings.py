"""What distinguishes the runs of one call: optimiser settings, published reading of labels, ties between epochs."""

import numpy as np
import pytest

from spml_annotate.labels import NEGATIVE, UNKNOWN
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.heads import ROW_LENGTH, Scaling
from spml_annotate.training.inputs import resolve

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(90, 10)).astype(np.float32)
TRUTH = (RNG.random((90, 4)) < 0.4).astype(np.int8)
PARTLY = np.where(RNG.random(TRUTH.shape) < 0.5, TRUTH, UNKNOWN).astype(np.int8)


def heads(runs, **options):
    return fit_heads(FEATURES, PARTLY, runs, epochs=6, device="cpu", **options).heads


def test_runs_of_different_optimiser_settings_do_not_mix():
    runs = [HeadRun("an", learning_rate=r, weight_decay=d) for r in (1e-3, 1e-2) for d in (0.0, 0.1, 3.0)]
    together = heads(runs)
    for run, head in zip(runs, together, strict=True):
        (alone,) = heads([run])
        np.testing.assert_allclose(head.weight, alone.weight, atol=1e-6)
        np.testing.assert_allclose(head.bias, alone.bias, atol=1e-6)
    lengths = [float(np.linalg.norm(head.weight)) for head in together]
    assert lengths[0] > lengths[1] > lengths[2]
    assert lengths[3] > lengths[4] > lengths[5]


@pytest.mark.parametrize("loss", ["bce", "iu", "iun"])
def test_a_loss_that_needs_negatives_keeps_them_when_read_as_published(loss):
    (published,), (ours,) = heads([HeadRun(loss)], as_published=True), heads([HeadRun(loss)])
    assert published.weight.tobytes() == ours.weight.tobytes()
    assert (PARTLY == NEGATIVE).any()


def test_of_equally_good_epochs_the_first_is_taken():
    same = np.ones((90, 3), dtype=np.float32)  # nothing can be ranked
    result = fit_heads(same, PARTLY, [HeadRun("an")], validation=(same, TRUTH), epochs=4, device="cpu")
    assert len(set(result.validation_map[0].tolist())) == 1
    assert result.epochs.tolist() == [0]


def test_every_row_is_scaled_to_the_same_length_however_near_the_middle():
    scaling = Scaling.of(FEATURES)
    near = scaling.mean + 1e-3 * scaling.scale * RNG.normal(size=(5, 10)).astype(np.float32)
    for features in (FEATURES, near, 1e3 * FEATURES):
        np.testing.assert_allclose(np.linalg.norm(scaling.apply(features), axis=1), ROW_LENGTH, rtol=1e-4)
    plain = (FEATURES - FEATURES.mean(axis=0)) / FEATURES.std(axis=0)
    plain *= ROW_LENGTH / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(scaling.apply(FEATURES), plain, atol=1e-4)
    np.testing.assert_allclose(Scaling.of(FEATURES, block=7).scale, scaling.scale, rtol=1e-6)


def test_a_state_with_a_schedule_is_told_how_long_the_training_is():
    assert resolve("em-apl", epochs=25).state_settings["epochs"] == 25
    assert resolve("em-apl", {"epochs": 7}, epochs=25).state_settings["epochs"] == 7
    assert "epochs" not in resolve("em", epochs=25).settings
