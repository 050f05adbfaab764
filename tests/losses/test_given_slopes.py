"""Gradients that a loss brings along are those of automatic differentiation of the formula as it is printed."""

import itertools

import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import power, surprise, with_slope
from spml_annotate.losses.entropy import known_and_entropy
from spml_annotate.losses.focused import focused
from spml_annotate.losses.robust import _between

SHAPE = (2, 6, 5)


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(3)


@pytest.fixture
def logits(draw):
    return (3.0 * torch.randn(SHAPE, generator=draw, dtype=torch.float64)).requires_grad_()


def agree(logits, found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    outer = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    slopes = [torch.autograd.grad((outer * matrix).sum(), logits)[0] for matrix in (found, wanted)]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3, torch.tensor([0.0, 0.2]).double().view(2, 1, 1)], ids=str)
@pytest.mark.parametrize("positive_focus", [0.0, 0.5, 1.0, 2.0, 4.0, 2.5])
def test_focused_cells(logits, draw, detach, shift, positive_focus):
    positive = (torch.rand(SHAPE, generator=draw) < 0.3).double()
    for negative_focus in (0.0, 1.0, 3.0, torch.tensor([0.0, 1.7]).double().view(2, 1, 1)):
        present = logits.sigmoid()
        shifted = (present - shift).clamp(min=0.0)
        wrong = torch.where(positive == 1, 1.0 - present, shifted)
        focus = torch.where(positive == 1, positive_focus, torch.as_tensor(negative_focus).double())
        weight = (wrong.detach() if detach else wrong.clamp(min=1e-300)).pow(focus)
        wanted = -weight * torch.where(positive == 1, logsigmoid(logits), torch.log(1.0 - shifted))
        parts = ((positive, positive_focus), (1.0 - positive, negative_focus))
        agree(logits, focused(logits, positive, parts, shift=shift, detach_focus=detach), wanted)


def test_known_cells_and_entropy(logits, draw):
    weight, entropy_weight, target = (torch.rand(SHAPE, generator=draw, dtype=torch.float64) for _ in range(3))
    p = logits.sigmoid()
    fit = -(target * logsigmoid(logits) + (1.0 - target) * logsigmoid(-logits))
    entropy = -(p * logsigmoid(logits) + (1.0 - p) * logsigmoid(-logits))
    agree(
        logits,
        known_and_entropy(logits, weight * target, weight, entropy_weight),
        weight * fit - entropy_weight * entropy,
    )


@pytest.mark.parametrize("exponents", list(itertools.product([0.0, 0.01, 0.7, 1.0], [0.0, 0.5, 1.0, 1.5])), ids=str)
def test_between_a_positive_and_a_negative(logits, draw, exponents):
    share, weight = (torch.rand(SHAPE, generator=draw, dtype=torch.float64) for _ in range(2))
    terms = []
    for against, exponent in zip((-logits, logits), exponents, strict=True):
        log_right = logsigmoid(-against)
        terms.append((1.0 - torch.exp(exponent * log_right)) / exponent if exponent else -log_right)
    wanted = weight * (share * terms[0] + (1.0 - share) * terms[1])
    agree(logits, _between(logits, share, weight, *exponents), wanted)


def test_a_given_slope_adds_nothing_to_the_value(logits):
    value = softplus(logits.detach())
    found = with_slope(logits, value, logits.detach().sigmoid())
    assert torch.equal(found, value)
    agree(logits, found, softplus(logits, threshold=50.0))


def test_a_surprise_is_exact_in_double_precision_and_finite():
    against = torch.tensor([-700.0, -30.0, 0.0, 21.0, 39.0, 41.0, 1e4], dtype=torch.float64)
    torch.testing.assert_close(surprise(against), -logsigmoid(-against), rtol=1e-15, atol=0.0)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 2.5])
def test_a_power_is_that_of_a_tensor_exponent(exponent):
    base = torch.tensor([0.0, 1e-3, 0.4, 1.0], dtype=torch.float64)
    torch.testing.assert_close(power(base, exponent), base.pow(exponent), rtol=1e-14, atol=1e-150)


@pytest.mark.parametrize("name", ["asl", "csl", "dualcoop"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shift", [0.01, 0.025, 0.2, 0.9])
def test_rounding_does_not_push_a_certain_negative_up(name, dtype, shift):
    logits = torch.tensor([[5.0, 8.3, 17.0, 40.0, 1e4]], dtype=dtype).requires_grad_()
    labels = torch.full(logits.shape, NEGATIVE, dtype=torch.int8)
    LOSSES[name].function(logits, labels, shift=shift).sum().backward()
    assert (logits.grad >= 0).all()


@pytest.mark.parametrize("name", ["gr", "gpr"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("setting", ["slope_end", "offset_end", "width_end", "positive_exponent", "negative_exponent"])
def test_a_sweep_may_be_more_precise_than_the_logits(logits, name, dtype, setting):
    labels = torch.tensor([POSITIVE, UNKNOWN, UNKNOWN, NEGATIVE, UNKNOWN], dtype=torch.int8).expand(SHAPE)
    inputs = {"progress": (3, 10), **({"teacher": labels.roll(1, dims=-1)} if name == "gpr" else {})}
    values = torch.tensor([0.5, 1.0], dtype=torch.float64).view(2, 1, 1)
    rough = logits.detach().to(dtype)
    found = LOSSES[name].function(rough, labels, **inputs, **{setting: values})
    wanted = LOSSES[name].function(rough.double(), labels, **inputs, **{setting: values})
    torch.testing.assert_close(found.double(), wanted, rtol=0.03, atol=0.03)
