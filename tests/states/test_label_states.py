"""EMA scores with their choice of expected positives, and the learned estimate."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.states import STATES, tables
from spml_annotate.states.choice import choose_largest


def single_positives(heads, rows, classes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.full((heads, rows, classes), UNKNOWN, dtype=torch.int8)
    shown = torch.randint(classes, (heads, rows, 1), generator=draw)
    return labels.scatter(2, shown, POSITIVE)


def some_labels(heads, rows, classes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    codes = torch.tensor([POSITIVE, NEGATIVE, UNKNOWN, UNKNOWN], dtype=torch.int8)
    return codes[torch.randint(4, (heads, rows, classes), generator=draw)]


def needs(name, labels):
    """What a state must be given beside labels and seeds."""
    if "features" not in STATES[name].inputs:
        return {}
    draw = torch.Generator().manual_seed(labels.shape[1])
    return {"features": torch.randn((labels.shape[1], 3), generator=draw)}


def logits_of(labels, seed=1):
    return torch.randn(labels.shape, generator=torch.Generator().manual_seed(seed)) * 2.0


def plain_choice(scores, labels, quota):
    """The same choice by sorting, one class after the other."""
    chosen = np.zeros(scores.shape, dtype=bool)
    heads, _, classes = scores.shape
    for head in range(heads):
        for label in range(classes):
            candidates = [row for row in range(scores.shape[1]) if labels[head, row, label] != NEGATIVE]
            candidates.sort(key=lambda row: (-float(scores[head, row, label]), row))
            chosen[head, candidates[: int(quota[head, label])], label] = True
    return chosen


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
@given(data=st.data())
def test_choice_equals_a_plain_sort(dtype, data):
    heads, rows, classes = (data.draw(st.integers(1, high)) for high in (3, 17, 4))
    seed = data.draw(st.integers(0, 10_000))
    draw = torch.Generator().manual_seed(seed)
    scores = torch.rand((heads, rows, classes), generator=draw, dtype=torch.float64)
    levels = data.draw(st.sampled_from([1, 2, 5, 1 << 40]))  # few levels: many ties; 0 and 1 occur
    scores = (torch.round(scores * levels) / levels).to(dtype)
    labels = some_labels(heads, rows, classes, seed)
    quota = torch.randint(0, rows + 3, (heads, classes), generator=draw)
    chosen = torch.ones(scores.shape, dtype=torch.bool)
    with pytest.MonkeyPatch.context() as patch:  # blocks of a few rows
        patch.setattr(tables, "BLOCK_CELLS", data.draw(st.integers(1, 40)))
        choose_largest(scores, labels, quota, chosen)
    np.testing.assert_array_equal(chosen.numpy(), plain_choice(scores.numpy(), labels.numpy(), quota.numpy()))
    choose_largest(scores, labels != NEGATIVE, quota, chosen, smallest=True)
    np.testing.assert_array_equal(chosen.numpy(), plain_choice(-scores.numpy(), labels.numpy(), quota.numpy()))


def test_choice_keeps_every_bit_of_the_score():
    near = 0.7 + torch.arange(40, dtype=torch.float64) * 2e-16
    scores = near[torch.randperm(40, generator=torch.Generator().manual_seed(0))].view(1, 40, 1)
    labels = torch.full(scores.shape, UNKNOWN, dtype=torch.int8)
    chosen = torch.zeros(scores.shape, dtype=torch.bool)
    choose_largest(scores, labels, torch.tensor([[5]]), chosen)
    np.testing.assert_array_equal(chosen.numpy(), plain_choice(scores.numpy(), labels.numpy(), np.array([[5]])))


def test_ema_starts_at_the_known_positives_and_follows_the_predictions():
    labels = single_positives(2, 6, 4)
    state = STATES["ema"].function(labels, momentum=0.8, storage="float64")
    rows = torch.tensor([4, 1])
    start = state.read(rows)
    assert torch.equal(start["estimate"], (labels[:, rows] == POSITIVE).double())
    assert torch.equal(start["expected"], start["estimate"])
    logits = logits_of(labels).double()
    state.write(rows, {"logits": logits[:, rows]})
    seen = state.read(rows)["estimate"]
    torch.testing.assert_close(seen, 0.8 * start["estimate"] + 0.2 * torch.sigmoid(logits[:, rows]))
    others = torch.tensor([0, 2, 3, 5])
    assert torch.equal(state.read(others)["estimate"], (labels[:, others] == POSITIVE).double())
    assert torch.equal(state.read(rows)["expected"], start["expected"])  # chosen anew at the end of the epoch only


def test_expected_positives_are_as_many_as_the_paper_says():
    labels = single_positives(1, 40, 5)
    counts = (labels[0] == POSITIVE).sum(0)
    state = STATES["ema"].function(labels, expected_positives=2.9)
    wanted = [min(math.floor(2.9 * int(count) + 0.5), 40) for count in counts]
    assert state.quota[0].tolist() == wanted
    state.write(torch.arange(40), {"logits": logits_of(labels)})
    state.end_epoch(0)
    assert state.chosen[0].sum(0).tolist() == wanted


def test_quota_with_several_positives_and_with_complete_labels():
    truth = torch.tensor([[[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]]], dtype=torch.int8)
    complete = STATES["ema"].function(truth, expected_positives=2.0)
    assert complete.quota.tolist() == [[3, 3, 2]]  # the mean is 8 positives on 4 images: as many as there are
    partial = torch.where(truth == NEGATIVE, UNKNOWN, truth).to(torch.int8)
    assert STATES["ema"].function(partial, expected_positives=2.0).quota.tolist() == [[3, 3, 2]]
    nothing = STATES["ema"].function(torch.full((1, 3, 2), UNKNOWN, dtype=torch.int8))
    nothing.end_epoch(0)
    assert not nothing.chosen.any()


@given(seed=st.integers(0, 10_000))
def test_known_cells_are_never_overruled(seed):
    labels = some_labels(2, 9, 4, seed)
    state = STATES["ema"].function(labels, expected_positives=3.0)
    rows = torch.arange(9)
    for epoch in range(3):
        state.write(rows, {"logits": logits_of(labels, seed + epoch) * 3.0})
        state.end_epoch(epoch)
        expected = state.read(rows)["expected"]
        assert (expected[labels == POSITIVE] == 1).all()
        assert (expected[labels == NEGATIVE] == 0).all()


def test_settings_may_differ_between_heads_and_heads_do_not_mix():
    labels = some_labels(2, 9, 4)
    momentum, expected = torch.tensor([0.9, 0.5]).view(2, 1, 1), torch.tensor([1.0, 4.0]).view(2, 1, 1)
    logits, rows = logits_of(labels), torch.arange(9)
    together = STATES["ema"].function(labels, momentum=momentum, expected_positives=expected)
    together.write(rows, {"logits": logits})
    together.end_epoch(0)
    for head, (mu, k) in enumerate([(0.9, 1.0), (0.5, 4.0)]):
        alone = STATES["ema"].function(labels[head : head + 1], momentum=mu, expected_positives=k)
        alone.write(rows, {"logits": logits[head : head + 1]})
        alone.end_epoch(0)
        for name, value in together.read(rows).items():
            assert torch.equal(value[head : head + 1], alone.read(rows)[name])


def test_a_table_past_the_memory_limit_lives_in_a_file_and_gives_the_same(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_CELLS", 16)
    labels = some_labels(2, 11, 3)
    rows = torch.tensor([7, 0, 3])
    states = [STATES["ema"].function(labels, memory_limit=limit) for limit in (1e9, 0.0)]
    for state in states:
        state.write(rows, {"logits": logits_of(labels)[:, rows]})
        state.end_epoch(0)
    in_memory, mapped = (state.read(torch.arange(11)) for state in states)
    assert torch.equal(in_memory["estimate"], mapped["estimate"])
    assert torch.equal(in_memory["expected"], mapped["expected"])


def test_float16_is_close_to_float64():
    labels, rows = some_labels(1, 30, 5), torch.arange(30)
    states = [STATES["ema"].function(labels, storage=storage) for storage in ("float16", "float64")]
    for epoch in range(20):
        for state in states:
            state.write(rows, {"logits": logits_of(labels, epoch)})
    short, long = (state.read(rows)["estimate"].double() for state in states)
    assert (short - long).abs().max() < 1.5e-3


@pytest.mark.parametrize("name", list(STATES))
def test_what_is_saved_is_loaded(name, tmp_path):
    labels, rows = some_labels(2, 9, 4), torch.arange(9)
    state = STATES[name].function(labels, seeds=[1, 2], **needs(name, labels))
    state.write(rows, {"logits": logits_of(labels)})
    state.end_epoch(0)
    state.save(tmp_path / "state.safetensors")
    other = STATES[name].function(labels, seeds=[3, 4], **needs(name, labels))
    other.load(tmp_path / "state.safetensors")
    for key, value in state.read(rows).items():
        assert torch.equal(value, other.read(rows)[key])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.safetensors"]
    again = tmp_path / "again.safetensors"
    other.save(again)
    assert again.read_bytes() == (tmp_path / "state.safetensors").read_bytes()


@pytest.mark.parametrize("name", list(STATES))
def test_files_that_do_not_fit_are_refused_and_change_nothing(name, tmp_path):
    labels, rows = some_labels(2, 9, 4), torch.arange(9)
    state = STATES[name].function(labels, seeds=[1, 2], **needs(name, labels))
    before = {key: value.clone() for key, value in state.read(rows).items()}
    path = tmp_path / "state"
    others = some_labels(2, 8, 5)
    STATES[name].function(others, seeds=[1, 2], **needs(name, others)).save(path)
    with pytest.raises(MismatchError, match="train again"):
        state.load(path)
    STATES["learned" if name == "ema" else "ema"].function(labels, seeds=[1, 2]).save(path)
    with pytest.raises(MismatchError, match="not"):
        state.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot read"):
        state.load(path)
    with pytest.raises(DataError, match="cannot read"):
        state.load(tmp_path / "missing")
    for key, value in state.read(rows).items():
        assert torch.equal(value, before[key])


def test_learned_estimate_starts_as_the_authors_does():
    labels = some_labels(2, 200, 10)
    state = STATES["learned"].function(labels, seeds=[5, 6])
    estimate = state.read(torch.arange(200))["estimate"].detach()
    assert torch.allclose(estimate[labels == POSITIVE], torch.tensor(0.995), atol=1e-6)
    assert torch.allclose(estimate[labels == NEGATIVE], torch.tensor(0.005), atol=1e-6)
    unknown = estimate[labels == UNKNOWN]
    assert unknown.min() >= 0.4 - 1e-6
    assert unknown.max() <= 0.6 + 1e-6
    assert abs(unknown.mean() - 0.5) < 0.01
    assert abs(unknown.std() - 0.2 / math.sqrt(12)) < 0.003  # nearly even between 0.4 and 0.6


def test_a_learned_head_depends_on_its_own_seed_only():
    labels, rows = some_labels(3, 9, 4), torch.arange(9)
    together = STATES["learned"].function(labels, seeds=[7, 8, 7]).read(rows)["estimate"]
    alone = STATES["learned"].function(labels[1:2], seeds=[8]).read(rows)["estimate"]
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])


def test_learned_estimate_is_trained_by_the_optimiser():
    labels, rows = some_labels(2, 9, 4), torch.tensor([2, 5])
    state = STATES["learned"].function(labels, seeds=[1, 2], learning_rate_multiplier=10.0)
    before = state.read(torch.arange(9))["estimate"].detach()
    (parameter,) = state.parameters()
    optimizer = torch.optim.SGD([parameter], lr=0.1 * state.learning_rate_multiplier)
    state.read(rows)["estimate"].sum().backward()
    optimizer.step()
    after = state.read(torch.arange(9))["estimate"].detach()
    assert (after[:, rows] < before[:, rows]).all()
    others = torch.tensor([0, 1, 3, 4, 6, 7, 8])
    assert torch.equal(after[:, others], before[:, others])


def test_unusable_settings_and_labels():
    labels = some_labels(2, 3, 4)
    with pytest.raises(SettingError, match=r"ema\.storage"):
        STATES["ema"].function(labels, storage="int8")
    with pytest.raises(SettingError, match="3 values for 2 heads"):
        STATES["ema"].function(labels, momentum=torch.tensor([0.1, 0.2, 0.3]))
    with pytest.raises(SettingError, match=r"learned\.precision"):
        STATES["learned"].function(labels, precision="float16")
    with pytest.raises(SettingError, match="3 seeds for 2 heads"):
        STATES["learned"].function(labels, seeds=[1, 2, 3])
    for name in STATES:
        with pytest.raises(MismatchError, match="heads, images, classes"):
            STATES[name].function(labels[0])
        with pytest.raises(DataError, match="not a code"):
            STATES[name].function(labels + 2)


def test_a_known_positive_stays_expected_when_others_score_higher():
    labels = torch.full((1, 4, 1), UNKNOWN, dtype=torch.int8)
    labels[0, 1] = POSITIVE
    state = STATES["ema"].function(labels, momentum=0.0, expected_positives=1.0)
    state.write(torch.arange(4), {"logits": torch.tensor([3.0, -3.0, 0.0, 1.0]).view(1, 4, 1)})
    state.end_epoch(0)
    assert state.chosen.flatten().tolist() == [True, False, False, False]
    assert state.read(torch.arange(4))["expected"].flatten().tolist() == [1.0, 1.0, 0.0, 0.0]
