import numpy as np
import pytest
import torch

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.losses import LOSSES
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.inputs import resolve
from spml_annotate.training.metrics import mean_average_precision


def problem(seed=0, images=240, classes=6, dimension=16):
    """Linearly separable classes, one random positive each; the last 80 images are validation."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, dimension)).astype(np.float32)
    planes = rng.normal(size=(dimension, classes))
    truth = ((features @ planes) > 3.0).astype(np.int8)
    truth[~truth.any(axis=1), 0] = 1
    single = np.full_like(truth, UNKNOWN)
    for row, codes in enumerate(truth):
        single[row, rng.choice(np.flatnonzero(codes))] = POSITIVE
    split = images - 80
    return features[:split], truth[:split], single[:split], (features[split:], truth[split:])


def labels_for(loss, truth, single):
    facts = LOSSES[loss].facts
    if facts["oracle"] or facts["needs_negatives"]:
        return np.where(truth == NEGATIVE, NEGATIVE, single).astype(np.int8)
    return single


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not resolve(loss).unsupplied])
def test_every_loss_learns_more_than_chance(loss):
    features, truth, single, validation = problem()
    result = fit_heads(
        features,
        labels_for(loss, truth, single),
        [HeadRun(loss, learning_rate=1e-2)],
        validation=validation,
        expected_positives=float(truth.sum(1).mean()),
        epochs=30,
        device="cpu",
    )
    chance = float(validation[1].mean(axis=0).mean())
    reached = mean_average_precision(result.heads[0].predict(validation[0]), validation[1]).value
    assert reached > chance + 0.2
    assert result.selected_by == "validation mAP"
    assert reached == pytest.approx(np.nanmax(result.validation_map[0]), abs=1e-6)
    assert result.validation_map[0].argmax() == result.epochs[0]
    assert ((result.ema >= 0) & (result.ema <= 1)).all()


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if resolve(loss).unsupplied])
def test_a_loss_that_needs_more_than_features_says_so_before_training(loss):
    features, _, single, _ = problem()
    with pytest.raises(SettingError, match=f"{loss} needs .+, which stored features do not give"):
        fit_heads(features, single, [HeadRun(loss)], device="cpu")


def test_a_run_in_company_equals_the_run_alone_up_to_rounding():
    features, _, single, validation = problem()
    runs = [HeadRun(loss, seed=seed) for loss in ("an", "en", "role", "ll-r", "epr") for seed in (0, 1)]
    runs += (
        [HeadRun("wan", {"negative_weight": w}) for w in (0.1, 0.5)]
        if "negative_weight" in LOSSES["wan"].settings
        else []
    )
    both = fit_heads(features, single, runs, validation=validation, expected_positives=1.5, device="cpu")
    for place, run in enumerate(runs):
        alone = fit_heads(features, single, [run], validation=validation, expected_positives=1.5, device="cpu")
        assert alone.epochs[0] == both.epochs[place]
        np.testing.assert_allclose(alone.heads[0].weight, both.heads[place].weight, atol=1e-4)
        np.testing.assert_allclose(alone.heads[0].predict(features), both.heads[place].predict(features), atol=1e-4)


def test_the_same_call_gives_the_same_bytes_and_another_seed_another_head():
    features, _, single, _ = problem()
    first, again = (fit_heads(features, single, [HeadRun("en")], epochs=3, device="cpu") for _ in range(2))
    assert first.heads[0].weight.tobytes() == again.heads[0].weight.tobytes()
    assert first.ema.tobytes() == again.ema.tobytes()
    other = fit_heads(features, single, [HeadRun("en", seed=1)], epochs=3, device="cpu")
    assert not np.array_equal(first.heads[0].weight, other.heads[0].weight)


def test_float_settings_of_a_sweep_may_differ_within_one_group():
    features, _, single, validation = problem()
    smoothed = [HeadRun("an-ls", {"smoothing": s}) for s in (0.0, 0.2)]
    together = fit_heads(features, single, smoothed, validation=validation, device="cpu")
    apart = [fit_heads(features, single, [run], validation=validation, device="cpu") for run in smoothed]
    assert not np.allclose(together.heads[0].weight, together.heads[1].weight)
    for head, alone in zip(together.heads, apart, strict=True):
        np.testing.assert_allclose(head.weight, alone.heads[0].weight, atol=1e-4)


def test_images_about_which_nothing_is_known_do_not_train():
    features, _, single, _ = problem()
    some = single.copy()
    some[50:] = UNKNOWN
    result = fit_heads(features, some, [HeadRun("epr"), HeadRun("ll-r")], epochs=2, device="cpu")
    # The scaling is measured on all images; with it given, the rest may hold anything without changing the heads.
    shuffled = np.concatenate([features[:50], features[50:][::-1]])
    again = fit_heads(shuffled, some, [HeadRun("epr"), HeadRun("ll-r")], epochs=2, device="cpu")
    for one, other in zip(result.heads, again.heads, strict=True):
        np.testing.assert_allclose(one.weight, other.weight, atol=1e-6)
    untouched = result.heads[0].predict(features[50:])
    np.testing.assert_allclose(result.ema[0, 50:], untouched, atol=1e-3)  # predictions, where nothing trained
    assert np.abs(result.ema[0, :50] - result.heads[0].predict(features[:50])).max() > 1e-3


def test_the_last_epoch_is_taken_without_a_validation_sample():
    features, _, single, _ = problem()
    result = fit_heads(features, LabelMatrix.from_dense(single), [HeadRun("an")], epochs=4, device="cpu")
    assert (result.selected_by, result.epochs.tolist()) == ("last epoch", [3])
    assert np.isnan(result.validation_map).all()


def test_as_published_reads_known_negatives_as_unknown():
    features, truth, single, _ = problem()
    told = np.where(truth == NEGATIVE, NEGATIVE, single).astype(np.int8)
    plain = fit_heads(features, single, [HeadRun("em")], epochs=3, device="cpu")
    published = fit_heads(features, told, [HeadRun("em")], epochs=3, device="cpu", as_published=True)
    ours = fit_heads(features, told, [HeadRun("em")], epochs=3, device="cpu")
    assert plain.heads[0].weight.tobytes() == published.heads[0].weight.tobytes()
    assert not np.array_equal(plain.heads[0].weight, ours.heads[0].weight)


def test_what_cannot_be_trained_is_refused_before_training():
    features, _, single, _ = problem()
    with pytest.raises(SettingError, match="bce needs known negatives"):
        fit_heads(features, single, [HeadRun("bce")])
    with pytest.raises(SettingError, match="there is no loss 'rolle'; did you mean 'role'"):
        fit_heads(features, single, [HeadRun("rolle")])
    with pytest.raises(SettingError, match="en has no setting 'momentun'"):
        fit_heads(features, single, [HeadRun("en", {"momentun": 0.9})])
    with pytest.raises(DataError, match="nothing is known about any image"):
        fit_heads(features, np.full_like(single, UNKNOWN), [HeadRun("an")])
    with pytest.raises(MismatchError, match="do not fit features"):
        fit_heads(features[:5], single, [HeadRun("an")])
    with pytest.raises(DataError, match="not finite"):
        fit_heads(np.full_like(features, np.nan), single, [HeadRun("an")])


def test_a_head_refuses_features_of_another_backbone():
    features, _, single, _ = problem()
    head = fit_heads(features, single, [HeadRun("an")], epochs=1, device="cpu").heads[0]
    with pytest.raises(MismatchError, match="trained on 16 features, these have 3"):
        head.predict(np.zeros((2, 3), dtype=np.float32))
    blocks = dict(head.predict_blocks(features, block=50))
    np.testing.assert_array_equal(np.concatenate(list(blocks.values())), head.predict(features))


def test_training_leaves_the_random_state_and_gradient_mode_alone():
    features, _, single, _ = problem()
    before = torch.random.get_rng_state()
    fit_heads(features, single, [HeadRun("role")], epochs=1, device="cpu")
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.is_grad_enabled()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_the_gpu_learns_what_the_cpu_learns():
    features, _, single, validation = problem()
    runs = [HeadRun(loss) for loss in ("an", "en", "role", "ll-r")]
    cpu = fit_heads(features, single, runs, validation=validation, device="cpu")
    gpu = fit_heads(features, single, runs, validation=validation, device="cuda")
    for one, other in zip(cpu.heads, gpu.heads, strict=True):
        np.testing.assert_allclose(one.predict(features), other.predict(features), atol=1e-2)
