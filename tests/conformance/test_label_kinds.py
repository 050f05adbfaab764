"""Every loss on every kind of labels: it learns from them, or refuses in one line before training starts."""

import numpy as np
import pytest

from spml_annotate.datasets.single import single_positives
from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelKind, LabelMatrix
from spml_annotate.losses import LOSSES
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.inputs import resolve
from spml_annotate.training.metrics import mean_average_precision

IMAGES, CLASSES, WIDTH, K = 300, 6, 12, 1.8
KINDS = {kind.value: kind for kind in LabelKind}


def drawn(seed):
    """Features from which the truth can be told, and the truth: int8 [N, L], each image with a positive."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((IMAGES, CLASSES)) < 0.25).astype(np.int8)
    truth[~truth.any(axis=1), 0] = POSITIVE
    shapes = np.random.default_rng(99).normal(size=(CLASSES, WIDTH))
    features = truth @ shapes + rng.normal(size=(IMAGES, WIDTH)) * 0.7
    return features.astype(np.float32), truth


FEATURES, TRUTH = drawn(0)
TEST = drawn(1)
CHANCE = float((TEST[1] == POSITIVE).mean())


def labels(kind):
    """The truth as far as each kind of labels knows it."""
    rng = np.random.default_rng(5)
    codes = np.full_like(TRUTH, UNKNOWN)
    codes[np.arange(IMAGES), single_positives(TRUTH, np.arange(IMAGES), seed=0)] = POSITIVE
    if kind is LabelKind.PPL:
        codes[(TRUTH == POSITIVE) & (rng.random(TRUTH.shape) < 0.5)] = POSITIVE
    if kind is LabelKind.PAL:
        codes = np.where(rng.random(TRUTH.shape) < 0.5, TRUTH, codes)
    codes = TRUTH if kind is LabelKind.FAL else codes
    assert LabelMatrix.from_dense(codes).kind() is kind
    return codes


def train(name, codes, **options):
    return fit_heads(
        FEATURES, codes, [HeadRun(name)], expected_positives=K, epochs=20, batch_size=32, device="cpu", **options
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_learns_or_refuses(name, kind):
    method, codes = resolve(name), labels(KINDS[kind])
    facts = method.loss.facts
    if method.unsupplied or KINDS[kind] not in facts["label_kinds"]:
        with pytest.raises(SettingError) as refused:
            train(name, codes)
        assert "\n" not in str(refused.value)
        assert str(refused.value).startswith(f"{name} ")
        assert "spml-annotate losses" in str(refused.value)
        return
    result = train(name, codes)
    scores = result.heads[0].predict(TEST[0])
    assert np.isfinite(scores).all()
    assert np.isfinite(result.ema.astype(np.float32)).all()
    assert mean_average_precision(scores, TEST[1]).value > 1.6 * CHANCE
    assert (scores.std(axis=0) > 1e-3).all(), "a class has the same score on all images"


@pytest.mark.parametrize("name", LOSSES)
def test_what_needs_negatives_says_so(name):
    """Nothing else keeps a class from being predicted everywhere: such a loss must not take positives alone."""
    facts = LOSSES[name].facts
    if facts["needs_negatives"] or facts["oracle"]:
        assert not {LabelKind.SPL, LabelKind.PPL} & set(facts["label_kinds"])
        return
    if resolve(name).unsupplied:
        return
    codes = labels(LabelKind.SPL)
    mean = train(name, codes).heads[0].predict(TEST[0])[TEST[1] == NEGATIVE].mean()
    assert mean < 0.9


def test_an_oracle_refuses_negatives_that_are_not_all():
    codes = labels(LabelKind.SPL)
    codes[0, np.flatnonzero(TRUTH[0] == NEGATIVE)[0]] = NEGATIVE
    with pytest.raises(SettingError, match=r"iun must be told every true negative, and \d+ of these images have none"):
        train("iun", codes)
    told = np.where(TRUTH == NEGATIVE, np.int8(NEGATIVE), labels(LabelKind.SPL))
    assert np.isfinite(train("iun", told).heads[0].weight).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if not resolve(name).unsupplied])
def test_as_published_reads_known_negatives_as_unknown(name):
    """Except for methods that need them; any other is then trained as if nobody had said no."""
    codes = labels(LabelKind.PAL)
    forgotten = np.where(codes == NEGATIVE, np.int8(UNKNOWN), codes)
    touched = (forgotten != UNKNOWN).any(axis=1)
    assert touched.all()
    published, honoured = train(name, codes, as_published=True), train(name, codes)
    if LOSSES[name].facts["needs_negatives"]:
        np.testing.assert_array_equal(published.heads[0].weight, honoured.heads[0].weight)
        return
    np.testing.assert_array_equal(published.heads[0].weight, train(name, forgotten).heads[0].weight)
