"""What the conformance suite cannot know: each loss by its own formula, and the registry of losses."""

import math
import subprocess
import sys

import pytest
import torch

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES, LossRegistry
from spml_annotate.losses.module import as_module

LOGITS = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
LABELS = torch.tensor([[POSITIVE, UNKNOWN, NEGATIVE]], dtype=torch.int8)


def loss(name, *inputs, **settings):
    return LOSSES[name].function(LOGITS, LABELS, *inputs, **settings)[0].tolist()


def yes(x):
    return math.log1p(math.exp(-x))


def no(x):
    return math.log1p(math.exp(x))


def test_the_formulas_cell_by_cell():
    assert loss("bce") == pytest.approx([yes(2.0), 0.0, no(0.5)])
    assert loss("iu") == loss("iun") == loss("bce")
    assert loss("an") == pytest.approx([yes(2.0), no(-1.0), no(0.5)])
    assert loss("wan") == pytest.approx([yes(2.0), no(-1.0) / 2, no(0.5)])
    assert loss("wan", negative_weight=0.1) == pytest.approx([yes(2.0), no(-1.0) / 10, no(0.5)])
    smoothed = [0.9 * yes(2.0) + 0.1 * no(2.0), 0.9 * no(-1.0) + 0.1 * yes(-1.0), 0.9 * no(0.5) + 0.1 * yes(0.5)]
    assert loss("an-ls") == pytest.approx(smoothed)
    assert loss("bce-ls") == pytest.approx([smoothed[0], 0.0, smoothed[2]])
    p = 1.0 / (1.0 + math.e)
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert loss("em", entropy_weight=0.2) == pytest.approx([yes(2.0), -0.2 * entropy, no(0.5)])


def test_expected_negatives_leave_expected_positives_out():
    scores = torch.full((1, 3), 0.25, dtype=torch.float64)
    believed = torch.ones((1, 3), dtype=torch.float64)
    assert loss("en", believed) == pytest.approx([yes(2.0), 0.0, no(0.5)])
    assert loss("en", 0 * believed) == pytest.approx(loss("an"))
    distance = (LOGITS.sigmoid() - 0.25).abs()[0].tolist()
    with_consistency = loss("en-cl", believed, scores, consistency_weight=0.5)
    assert with_consistency == pytest.approx([yes(2.0) + distance[0] / 2, distance[1] / 2, no(0.5) + distance[2] / 2])


def test_the_mean_number_of_positives_is_held_once_per_batch():
    logits = torch.zeros((4, 10), dtype=torch.float64)
    labels = torch.full((4, 10), UNKNOWN, dtype=torch.int8)
    found = LOSSES["epr"].function(logits, labels, expected_positives=2.0)
    assert found.mean().item() == pytest.approx(((5.0 - 2.0) / 10) ** 2)


def rejected(labels, progress, rate, logits=None):
    logits = torch.arange(labels.numel(), dtype=torch.float64).view(labels.shape) if logits is None else logits
    return (LOSSES["ll-r"].function(logits, labels, progress, rejection_rate=rate) == 0).flatten().nonzero().flatten()


def test_rejection_grows_by_the_epoch_and_takes_the_largest_losses():
    labels = torch.full((16, 20), UNKNOWN, dtype=torch.int8)
    for epoch in range(8):
        count = 16 * epoch  # five percent of 320 every epoch, whatever rounding says
        wanted = list(range(320 - count, 320))
        assert rejected(labels, (epoch, 8), 0.05).tolist() == wanted
        rates = torch.tensor([0.05], dtype=torch.float32).view(1, 1, 1)
        assert rejected(labels[None], (epoch, 8), rates).tolist() == wanted


def test_rejection_rounds_up_and_takes_all_ties():
    labels = torch.full((1, 10), UNKNOWN, dtype=torch.int8)
    assert len(rejected(labels, (1, 2), 0.01)) == 1
    tied = torch.tensor([[1.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert rejected(labels, (1, 2), 0.1, tied).tolist() == [1, 2, 3]


def test_known_cells_are_never_rejected():
    labels = torch.tensor([[POSITIVE, NEGATIVE, UNKNOWN, UNKNOWN]], dtype=torch.int8)
    for rate in (1.0, torch.full((1, 1, 1), 1.0)):
        found = LOSSES["ll-r"].function(torch.full((1, 1, 4), 2.0), labels, (3, 4), rejection_rate=rate)
        assert (found[0, 0, :2] > 0).all()
        assert (found[0, 0, 2:] == 0).all()


def test_gradient_of_the_estimate_survives_far_out():
    """An estimate that has gone far wrong can still come back."""
    far = torch.tensor([[-40.0, 40.0, -80.0]], requires_grad=True)
    LOSSES["role"].function(LOGITS.float(), LABELS, far.sigmoid()).mean().backward()
    assert torch.isfinite(far.grad).all()
    assert far.grad[0, 0] < -0.1
    assert far.grad[0, 2] < 0


def test_module_names_what_is_missing():
    module = as_module("en-cl", consistency_weight="0.5")
    with pytest.raises(SettingError, match="needs the input 'expected'"):
        module(LOGITS, LABELS)
    with pytest.raises(SettingError, match="has no input 'progress'"):
        as_module("an")(LOGITS, LABELS, progress=(0, 1))
    with pytest.raises(SettingError, match="did you mean 'consistency_weight'"):
        as_module("en-cl", consistency=1.0)
    with pytest.raises(SettingError, match="did you mean 'an-ls'"):
        as_module("an-l")


def test_a_module_trains():
    module = as_module("an")
    layer = torch.nn.Linear(3, 3)
    with torch.no_grad():
        before = module(layer(LOGITS.float()), LABELS).item()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        module(layer(LOGITS.float()), LABELS).backward()
        optimizer.step()
    assert module(layer(LOGITS.float()), LABELS).item() < before


def test_registration_is_checked():
    registry = LossRegistry("loss", inputs=frozenset({"logits", "labels"}))
    with pytest.raises(TypeError, match="paper and family"):
        registry.register("x", family="assume")
    with pytest.raises(TypeError, match="'papre' is not a fact"):
        registry.register("x", paper="here", family="assume", papre="there")

    def asks_for_more(logits, labels, weather):
        return logits

    with pytest.raises(TypeError, match="'weather' is not an input"):
        registry.register("x", paper="here", family="assume")(asks_for_more)

    def plain(logits, labels):
        return logits

    assert registry.register("x", paper="here", family="assume")(plain) is plain
    assert registry["x"].facts["oracle"] is False


def test_registries_import_no_torch():
    code = "import sys, spml_annotate.losses, spml_annotate.states; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
