"""What every registered loss must pass: a new loss is born tested."""

import inspect
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import example, float_settings, gradient, over_tensors, tables

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelKind
from spml_annotate.losses import INPUTS, LOSSES
from spml_annotate.losses.module import as_module
from spml_annotate.states import STATES
from spml_annotate.training.heads import first_share

NAMES = list(LOSSES)
SHAPES = [(5, 4), (3, 5, 4), (2, 3, 5, 4), (1, 4), (5, 1), (1, 1), (3, 1, 1)]
KINDS = list(tables((1, 1), torch.Generator()))

# A loss that pulls known cells only with certain settings obeys the rule of signs without them.
PULLS_ONLY_WITH = {
    "en-cl": {"consistency_weight": 3.0},
    "gpr": {"count_weight": 3.0},
}

# A loss that is bounded cannot tell right from wrong by more than this (priors of one half, so that they do not lean).
BOUNDED = {"crisp": 0.4}

pytestmark = pytest.mark.parametrize("name", NAMES)


def call(name, inputs, **settings):
    return LOSSES[name].function(**inputs, **settings)


def test_facts_are_complete(name):
    entry = LOSSES[name]
    facts = entry.facts
    assert facts["paper"]
    assert facts["title"]
    assert facts["authors"]
    assert facts["year"] > 2000
    assert facts["family"] == inspect.getmodule(entry.function).__name__.rsplit(".", 1)[1]
    assert facts["certainty"] in ("A", "B", "C")
    assert 0 < first_share(facts["start"], 1.5, 20) <= 0.5
    assert facts["differs"]
    assert set(facts["label_kinds"]) <= set(LabelKind)
    assert facts["state"] is None or facts["state"] in STATES
    assert set(entry.inputs) <= INPUTS
    assert entry.inputs[:2] == ("logits", "labels")
    assert entry.summary.endswith((".", "]"))
    filled = STATES[facts["state"]].facts["fills"] if facts["state"] else ()
    beliefs = {"estimate", "expected", "picked", "thresholds"} & set(entry.inputs)
    assert beliefs <= set(filled), "some input of the loss is filled by no state"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_shape_type_and_finiteness(name, shape, kind):
    inputs = example(name, shape, labels=kind)
    matrix = call(name, inputs)
    assert matrix.shape == shape
    assert matrix.dtype == torch.float64
    assert torch.isfinite(matrix).all()
    assert torch.isfinite(gradient(name, inputs)).all()
    single = over_tensors(inputs, lambda t: t.float() if t.is_floating_point() else t)
    assert call(name, single).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_swept_setting_may_have_another_precision(name, dtype):
    inputs = over_tensors(example(name, (2, 6, 4)), lambda t: t.to(dtype) if t.is_floating_point() else t)
    for setting, value in float_settings(name).items():
        swept = {setting: torch.tensor([value, 0.4 * value], dtype=torch.float64).view(2, 1, 1)}
        assert torch.isfinite(call(name, inputs, **swept)).all()
        assert gradient(name, inputs, **swept).dtype == dtype


def test_one_table_of_labels_serves_all_heads(name):
    inputs = example(name, (3, 5, 4))
    shared = inputs["labels"][0]
    repeated = {**inputs, "labels": shared.expand(3, 5, 4)}
    assert torch.equal(call(name, {**inputs, "labels": shared}), call(name, repeated))


def test_leading_axes_are_independent_runs(name):
    inputs = example(name, (2, 3, 6, 4))
    together, slopes = call(name, inputs), gradient(name, inputs)
    for i in range(2):
        for j in range(3):
            alone = over_tensors(inputs, lambda t, i=i, j=j: t[i, j])
            torch.testing.assert_close(together[i, j], call(name, alone), rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(slopes[i, j], gradient(name, alone), rtol=1e-12, atol=1e-14)


def test_a_setting_may_differ_between_runs(name):
    inputs = example(name, (3, 6, 4))
    for setting, value in float_settings(name).items():
        values = [value, 0.4 * value, 0.0]
        swept = {setting: torch.tensor(values, dtype=torch.float64).view(3, 1, 1)}
        together, slopes = call(name, inputs, **swept), gradient(name, inputs, **swept)
        for head, own in enumerate(values):
            alone = over_tensors(inputs, lambda t, head=head: t[head])
            torch.testing.assert_close(together[head], call(name, alone, **{setting: own}), rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(slopes[head], gradient(name, alone, **{setting: own}), rtol=1e-12, atol=1e-14)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 7), classes=st.integers(1, 7))
def test_order_of_rows_and_classes_does_not_matter(name, seed, rows, classes):
    inputs = example(name, (2, rows, classes), seed)
    draw = torch.Generator().manual_seed(seed)
    row, label = torch.randperm(rows, generator=draw), torch.randperm(classes, generator=draw)

    def shuffle(table):
        return table[:, row][:, :, label]

    shuffled = call(name, over_tensors(inputs, shuffle))
    torch.testing.assert_close(shuffled, shuffle(call(name, inputs)), rtol=1e-11, atol=1e-13)


def pushed_against(name, inputs, **settings):
    """Known cells whose gradient points away from their value, in any view of the images."""
    labels = inputs["labels"]
    pushed = torch.zeros_like(labels, dtype=torch.bool)
    for view in {"logits", "strong", "masked"} & set(inputs):
        slope = gradient(name, inputs, view, **settings)
        pushed |= ((labels == POSITIVE) & (slope > 0)) | ((labels == NEGATIVE) & (slope < 0))
    return pushed


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_no_known_cell_is_pushed_against_its_value(name, seed, kind):
    if LOSSES[name].facts["pulls_known"] and name not in PULLS_ONLY_WITH:
        return  # the next test holds it to its word
    assert not pushed_against(name, example(name, (2, 6, 5), seed, kind)).any()


def test_a_claim_to_pull_known_cells_is_true(name):
    settings = PULLS_ONLY_WITH.get(name, {})
    pulls = False
    for seed in range(30):
        inputs = example(name, (8, 6), seed)
        inputs["logits"] += 4.0 * (seed % 3 - 1)  # from few predicted positives to many
        pulls |= bool(pushed_against(name, inputs, **settings).any())
    assert pulls == bool(LOSSES[name].facts["pulls_known"])


def test_a_known_cell_is_never_relabelled(name):
    """The loss of a confident, right answer is small and that of a wrong one is large, whatever is believed."""
    inputs = example(name, (4, 3), labels="known")
    if name in BOUNDED:
        inputs["priors"] = torch.full_like(inputs["priors"], 0.5)
    sign = torch.where(inputs["labels"] == POSITIVE, 1.0, -1.0).double()
    views = {"logits", "strong", "masked"} & set(inputs)
    right = call(name, {**inputs, **dict.fromkeys(views, 9.0 * sign)})
    wrong = call(name, {**inputs, **dict.fromkeys(views, -9.0 * sign)})
    assert (wrong - right > BOUNDED.get(name, 1.0)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_extreme_logits(name, kind, dtype):
    inputs = example(name, (2, 6, 4), labels=kind)
    extreme = torch.tensor([1e4, -1e4, 0.0, 80.0, -80.0, 17.0], dtype=torch.float64).view(1, 6, 1)
    inputs = over_tensors(
        {**inputs, "logits": extreme.expand(2, 6, 4)}, lambda t: t.to(dtype) if t.is_floating_point() else t
    )
    if "estimate" in inputs:
        inputs["estimate"] = inputs["estimate"].round()  # beliefs of exactly 0 and 1
    assert torch.isfinite(call(name, inputs)).all()
    assert torch.isfinite(gradient(name, inputs)).all()
    if not LOSSES[name].facts["pulls_known"] or name in PULLS_ONLY_WITH:  # nor does rounding push the wrong way
        assert not pushed_against(name, inputs).any()


def test_no_side_effects_and_no_memory(name):
    inputs = example(name, (2, 6, 4))
    before = over_tensors(inputs, torch.clone)
    random = torch.random.get_rng_state()
    with torch.no_grad():
        first = call(name, inputs)
        assert not torch.is_grad_enabled()
    call(name, example(name, (2, 6, 4), seed=9))
    call(name, example(name, (3, 2), seed=8))
    second = call(name, inputs)
    assert torch.is_grad_enabled()
    assert torch.equal(first, second)
    assert torch.equal(random, torch.random.get_rng_state())
    assert torch.get_default_dtype() == torch.float32
    for key, value in before.items():
        assert torch.equal(value, inputs[key]) if isinstance(value, torch.Tensor) else value == inputs[key]


def test_half_precision(name):
    """bfloat16 agrees with float64 on the same rounded inputs, but for cells that a small change decides otherwise."""
    rounded = over_tensors(example(name, (2, 16, 8)), lambda t: t.bfloat16() if t.is_floating_point() else t)
    exact = over_tensors(rounded, lambda t: t.double() if t.is_floating_point() else t)
    found, wanted = call(name, rounded), call(name, exact)
    assert found.dtype == torch.bfloat16
    allowed = 0.02 + 0.02 * torch.maximum(exact["logits"].abs() + 1.0, wanted.abs())
    shaken = [call(name, {**exact, "logits": exact["logits"] * factor}) for factor in (0.99, 1.01)]
    steady = torch.stack([(s - wanted).abs() <= allowed for s in shaken]).all(dim=0)
    assert steady.float().mean() > 0.9
    assert ((found.double() - wanted).abs() <= allowed)[steady].all()


def test_vmap(name):
    inputs = example(name, (3, 6, 4))
    tensors = {key: value for key, value in inputs.items() if isinstance(value, torch.Tensor)}
    others = {key: value for key, value in inputs.items() if key not in tensors}
    mapped = torch.vmap(lambda given: call(name, {**given, **others}))(tensors)
    torch.testing.assert_close(mapped, call(name, inputs), rtol=1e-12, atol=1e-14)
    shared = {**tensors, "labels": inputs["labels"][0]}
    axes = ({key: None if key == "labels" else 0 for key in shared},)
    mapped = torch.vmap(lambda given: call(name, {**given, **others}), in_dims=axes)(shared)
    torch.testing.assert_close(mapped, call(name, {**others, **shared}), rtol=1e-12, atol=1e-14)


def test_compile(name):
    """One graph without breaks, forward and backward; the tracing backend, since a compiler would take minutes."""
    inputs = example(name, (2, 6, 4))
    torch._dynamo.reset()
    compiled = torch.compile(LOSSES[name].function, fullgraph=True, backend="aot_eager")
    logits = inputs["logits"].clone().requires_grad_()
    matrix = compiled(**{**inputs, "logits": logits})
    torch.testing.assert_close(matrix, call(name, inputs), rtol=1e-10, atol=1e-12)
    (slope,) = torch.autograd.grad(matrix.mean(dim=(-2, -1)).sum(), logits)
    torch.testing.assert_close(slope, gradient(name, inputs), rtol=1e-10, atol=1e-12)


def test_module_returns_the_mean(name):
    inputs = example(name, (6, 4))
    settings = float_settings(name)
    module = as_module(name, **settings)
    assert not list(module.parameters())
    assert not list(module.buffers())
    torch.testing.assert_close(module(**inputs), call(name, inputs, **settings).mean())
    assert name in repr(module)


def test_unknown_cells_are_what_the_loss_is_about(name):
    """Known cells always count; a loss for labels that hold unknown cells says so by learning from them (a ranking,
    where something is known) or leaving them out, never by failing."""
    matrix = call(name, example(name, (6, 4), labels="unknown"))
    leaves_out = {LabelKind.SPL, LabelKind.PPL}.isdisjoint(LOSSES[name].facts["label_kinds"])
    if leaves_out:
        assert (matrix == 0).all()
    else:
        inputs = example(name, (6, 4), labels="positives")
        if "background" in inputs:  # what is unknown may be learnt there only
            return
        assert (gradient(name, inputs)[inputs["labels"] == UNKNOWN] != 0).any()
    assert UNKNOWN not in example(name, (6, 4), labels="known")["labels"]


def test_the_ends_of_every_range_can_be_used_and_what_is_beyond_is_refused(name):
    entry = LOSSES[name]
    numbers = {key for key, value in entry.settings.items() if value is None or type(value) in (int, float)}
    assert numbers == set(entry.ranges), "every number says what it may be"
    for key, allowed in entry.ranges.items():
        low = max(allowed.low, -10.0) + (0.01 if allowed.above else 0.0)
        for value in (low, min(allowed.high, 10.0)):
            settings = entry.checked({key: int(value) if isinstance(entry.settings[key], int) else value})
            inputs = example(name, (6, 5))
            assert torch.isfinite(call(name, inputs, **settings)).all(), (key, value)
            assert torch.isfinite(gradient(name, inputs, **settings)).all(), (key, value)
        beyond = [allowed.low - 1] * (allowed.low > -math.inf) + [allowed.high + 1] * (allowed.high < math.inf)
        for value in (*beyond, math.inf, -math.inf, *([allowed.low] * allowed.above)):
            with pytest.raises(SettingError, match=re.escape(f"{name}.{key}")):
                entry.checked({key: value})
