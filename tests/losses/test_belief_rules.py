"""Losses that correct, weigh or believe: each by its own formula, cell by cell."""

import math

import pytest
import torch

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.dynamic import pseudo_label_weight

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([[POSITIVE, UNKNOWN, NEGATIVE, UNKNOWN]], dtype=torch.int8)


def loss(name, *inputs, **settings):
    return LOSSES[name].function(LOGITS, LABELS, *inputs, **settings)[0].tolist()


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def p(x):
    return 1.0 / (1.0 + math.exp(-x))


def yes(x):
    return math.log1p(math.exp(-x))


def no(x):
    return math.log1p(math.exp(x))


def test_corrected_cells_get_the_loss_of_the_other_label():
    assert loss("ll-ct", (1, 2), correction_rate=0.25) == pytest.approx([yes(2.0), no(-1.0), no(0.5), yes(1.0)])
    assert loss("ll-ct", (0, 2), correction_rate=0.25) == pytest.approx([yes(2.0), no(-1.0), no(0.5), no(1.0)])
    assert loss("ll-ct", (3, 4), correction_rate=0.25) == pytest.approx([yes(2.0), yes(-1.0), no(0.5), yes(1.0)])
    for name in ("ll-cp", "ep", "mime"):  # whatever is believed of known cells
        assert loss(name, row(0.0, 1.0, 1.0, 0.0)) == pytest.approx([yes(2.0), yes(-1.0), no(0.5), no(1.0)])


def test_smoothing_in_the_style_of_one_of_many():
    s, classes = 0.1, 4
    high, low = 1 - s + s / classes, s / classes
    smoothed = [high * yes(2.0) + (1 - high) * no(2.0), low * yes(-1.0) + (1 - low) * no(-1.0)]
    assert loss("an-ls-multiclass")[:2] == pytest.approx(smoothed)
    assert loss("an-nls")[:3] == pytest.approx([yes(2.0), smoothed[1], no(0.5)])


def test_soft_negatives_are_held_at_their_score():
    found = loss("em-apl", row(0.9, 0.2, 0.9, 0.9), row(1.0, 1.0, 1.0, 0.0), entropy_weight=0.3, pseudo_weight=0.5)
    entropy = p(1.0) * yes(1.0) + (1 - p(1.0)) * no(1.0)
    held = 0.5 * (0.2 * yes(-1.0) + 0.8 * no(-1.0))
    assert found == pytest.approx([yes(2.0), held, no(0.5), -0.3 * entropy])


def robust(x, w, b, mu, sigma, q2, q3):
    k, v = p(w * p(x) + b), math.exp(-((p(x) - mu) ** 2) / (2 * sigma**2))
    return v * (k * (1 - p(x) ** q2) / q2 + (1 - k) * (1 - (1 - p(x)) ** q3) / q3)


def test_the_robust_loss_and_its_schedule():
    for epoch, w, mu, sigma in ((0, 0.0, 0.5 + 0.3 / 8, 2 - 1.5 / 8), (3, 0.75, 0.65, 1.25), (7, 1.75, 0.8, 0.5)):
        unsure = [robust(x, w, -2.0, mu, sigma, 0.01, 1.0) for x in (-1.0, 1.0)]
        assert loss("gr", (epoch, 8)) == pytest.approx([yes(2.0), unsure[0], no(0.5), unsure[1]])
    waiting = loss("gr", (1, 8), warm_up=4)
    assert waiting == pytest.approx(loss("gr", (0, 8), warm_up=4))
    assert waiting[1] == pytest.approx(robust(-1.0, 0.0, -2.0, 0.5, 2.0, 0.01, 1.0))


def test_pseudo_labels_of_the_teacher_touch_unknown_cells_only():
    teacher = torch.tensor([[NEGATIVE, POSITIVE, POSITIVE, NEGATIVE]], dtype=torch.int8)
    found = loss("gpr", teacher, (3, 8), heaviest=0.7, lightest=0.4, count_weight=0.0)
    v = [math.exp(-((p(x) - 0.65) ** 2) / (2 * 1.25**2)) for x in (-1.0, 1.0)]
    named = min(max(1 - v[0], 0.4), 0.7) * (0.9 * yes(-1.0) + 0.1 * no(-1.0))
    assert found == pytest.approx([yes(2.0), named, no(0.5), v[1] * no(1.0)])
    counted = loss("gpr", teacher, (3, 8), heaviest=0.7, lightest=0.4, count_weight=2.0, expected_positives=1.0)
    gap = (sum(p(x) for x in LOGITS[0].tolist()) - 1.0) / 4
    assert counted == pytest.approx([value + 2.0 * gap**2 for value in found])


def test_presence_only():
    background = row(0.3, -0.2, 0.1, 1.5)
    elsewhere = [no(x) for x in background[0].tolist()]
    full = [10 * yes(2.0), no(-1.0), no(0.5), no(1.0)]
    wanted = [a + b for a, b in zip(full, elsewhere, strict=True)]
    assert loss("sinr-full", background, positive_weight=10.0) == pytest.approx(wanted)
    assert loss("sinr-ssdl", background) == pytest.approx([4 * (yes(2.0) + no(0.3)), 0.0, 4 * no(0.5), 0.0])
    assert loss("sinr-slds") == pytest.approx([4 * yes(2.0), 2 * no(-1.0), 4 * no(0.5), 2 * no(1.0)])
    shy = loss("sinr-slds", maximise_entropy=True)
    assert shy[1] == pytest.approx(-2 * (p(-1.0) * yes(-1.0) + p(1.0) * no(-1.0)))


def test_the_epsilon_of_the_authors_bounds_the_loss():
    far = torch.tensor([[-50.0, 50.0]], dtype=torch.float64)
    labels = torch.tensor([[POSITIVE, UNKNOWN]], dtype=torch.int8)
    bounded = LOSSES["sinr-full"].function(far, labels, torch.zeros_like(far), positive_weight=1.0, epsilon=1e-5)
    assert bounded.max().item() == pytest.approx(-math.log(1e-5) - math.log(0.5 + 1e-5))


def test_terms_of_the_dynamic_loss_are_averaged_per_image():
    estimate, picked = row(0.5, 0.3, 0.5, 0.5), row(1.0, 1.0, 1.0, 0.0)
    beta, d = 0.25, math.exp((2 + 1 + 3) / 10 - 1)
    known = [4 / 2 * (1 - beta) * yes(2.0), 4 / 2 * beta * no(0.5)]
    pseudo = 4 * d * ((1 - beta) * 0.3 * yes(-1.0) + beta * 0.7 * no(-1.0))
    found = loss("dynamic-partial", estimate, picked, (2, 10))
    assert found == pytest.approx([known[0], pseudo, known[1], 0.0])
    assert pseudo_label_weight((6, 10), 3.0, printed=False) == pytest.approx(1.0)  # three epochs before the end
    printed = loss("dynamic-partial", estimate, picked, (2, 10), printed=True)
    assert printed == pytest.approx([2 * known[0], 2 * math.e * pseudo, 2 * known[1], 0.0])


def test_an_image_without_any_sure_class_counts_twice():
    low = torch.full((1, 4), -4.0, dtype=torch.float64)
    inputs = (LABELS, row(0.5, 0.5, 0.5, 0.5), row(0.0, 0.0, 0.0, 0.0), (0, 10))
    once = LOSSES["dynamic-partial"].function(low, *inputs, printed=True)
    torch.testing.assert_close(LOSSES["dynamic-partial"].function(low, *inputs), 2.0 * once)


def test_priors_hold_the_mean_of_a_class():
    logits = torch.tensor([[1.0], [-1.0], [0.0]], dtype=torch.float64)
    labels = torch.tensor([[POSITIVE], [UNKNOWN], [NEGATIVE]], dtype=torch.int8)
    found = LOSSES["crisp"].function(logits, labels, torch.full((3, 1), 0.2, dtype=torch.float64)).mean().item()
    assert found == pytest.approx(0.4 * p(-1.0) + 0.8 * 0.5 + abs(0.5 - 0.2))


def test_the_strong_view_learns_what_the_weak_one_is_sure_of():
    strong = row(-2.0, 0.7, 0.3, 0.1)
    found = loss("lac", strong, score_threshold=0.7, consistency_weight=0.5)
    # p of the four weak cells: known, 0.27 (sure of 0), known, 0.73 (sure of 1)
    views = [yes(-2.0), no(0.7), no(0.3), yes(0.1)]
    weak = [yes(2.0), no(-1.0), no(0.5), no(1.0)]
    assert found == pytest.approx([a + 0.5 * b for a, b in zip(weak, views, strict=True)])
    unsure = loss("lac", strong, score_threshold=0.9, consistency_weight=0.5)
    assert unsure == pytest.approx([weak[0] + views[0], weak[1], weak[2] + views[2], weak[3]])


def test_the_bottleneck_adds_its_divergence():
    latent = torch.stack([torch.zeros(1, 4, 3), torch.ones(1, 4, 3)], dim=-2).double()
    plain = loss("mime", row(0.0, 0.0, 0.0, 0.0))
    assert loss("mime", row(0.0, 0.0, 0.0, 0.0), latent) == pytest.approx(plain)  # it is the standard normal
    latent[..., 0, 0] = 3.0
    moved = loss("mime", row(0.0, 0.0, 0.0, 0.0), latent, divergence_weight=0.1)
    assert moved == pytest.approx([value + 0.1 * 4.5 / 3 for value in plain])
