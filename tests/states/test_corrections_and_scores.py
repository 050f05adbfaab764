"""States that correct labels for good, and those that decide from the last scores."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.states import STATES, tables
from spml_annotate.states.class_priors import estimate_class_priors
from spml_annotate.states.multifocus import multifocus_labels

NEW = ("corrected", "confident", "asymmetric", "drawn", "class-priors")
QUICK = {
    "corrected": {"correction_rate": 0.1},
    "confident": {"score_threshold": 0.7, "warm_up": 2},
    "asymmetric": {"warm_up": 1, "epochs": 4},
    "drawn": {"share": 0.4},
    "class-priors": {},
}


def some_labels(heads, rows, classes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    codes = torch.tensor([POSITIVE, NEGATIVE, UNKNOWN, UNKNOWN], dtype=torch.int8)
    return codes[torch.randint(4, (heads, rows, classes), generator=draw)]


def logits_of(labels, seed=1):
    return torch.randn(labels.shape, generator=torch.Generator().manual_seed(seed)) * 2.0


def train(state, labels, epochs):
    """Every epoch with other logits, in batches of four rows that the epoch's number orders."""
    for epoch in epochs:
        logits = logits_of(labels, epoch)
        order = torch.randperm(labels.shape[1], generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(4):
            state.observe(rows, {"logits": logits[:, rows]})
            state.read(rows)
            state.write(rows, {"logits": logits[:, rows]})
        state.end_epoch(epoch)


def content(state, labels):
    return state.read(torch.arange(labels.shape[1]))


@pytest.mark.parametrize("name", NEW)
def test_a_training_that_is_resumed_goes_on_as_if_it_had_not_stopped(name, tmp_path):
    labels = some_labels(2, 11, 5)
    whole = STATES[name].function(labels, seeds=[3, 4], **QUICK[name])
    train(whole, labels, range(4))
    begun = STATES[name].function(labels, seeds=[3, 4], **QUICK[name])
    train(begun, labels, range(2))
    begun.save(tmp_path / "state")
    resumed = STATES[name].function(labels, seeds=[3, 4], **QUICK[name])
    resumed.load(tmp_path / "state")
    train(resumed, labels, range(2, 4))
    for key, value in content(whole, labels).items():
        assert torch.equal(value, content(resumed, labels)[key])


@pytest.mark.parametrize("name", NEW)
def test_a_head_depends_on_its_own_labels_and_seed_only(name, monkeypatch):
    labels = some_labels(3, 11, 5)
    together = STATES[name].function(labels, seeds=[3, 4, 5], **QUICK[name])
    train(together, labels, range(3))
    monkeypatch.setattr(tables, "BLOCK_CELLS", 16)
    for head in range(3):
        alone = STATES[name].function(labels[head : head + 1], seeds=[3 + head], memory_limit=0.0, **QUICK[name])
        for epoch in range(3):
            own = logits_of(labels, epoch)[head : head + 1]
            order = torch.randperm(11, generator=torch.Generator().manual_seed(epoch))
            for rows in order.split(4):
                alone.observe(rows, {"logits": own[:, rows]})
                alone.write(rows, {"logits": own[:, rows]})
            alone.end_epoch(epoch)
        for key, value in content(together, labels).items():
            assert torch.equal(value[head : head + 1], content(alone, labels[:1])[key])


@pytest.mark.parametrize("name", ["corrected", "confident", "asymmetric", "drawn"])
@given(seed=st.integers(0, 10_000))
def test_known_cells_are_never_touched(name, seed):
    labels = some_labels(2, 9, 4, seed)
    state = STATES[name].function(labels, seeds=[1, 2], **QUICK[name])
    train(state, labels, range(3))
    found = content(state, labels)
    marked = found["expected"] if "expected" in found else found["picked"]
    assert (marked[labels != UNKNOWN] == 0).all()


def test_the_largest_losses_are_corrected_for_good_from_the_second_epoch_on():
    labels = torch.full((1, 4, 5), UNKNOWN, dtype=torch.int8)
    labels[0, 0, 0] = POSITIVE
    state = STATES["corrected"].function(labels, correction_rate=0.1)  # two cells of twenty
    rows = torch.arange(4)
    rising = torch.arange(20.0).view(1, 4, 5)
    state.observe(rows, {"logits": rising})
    assert not content(state, labels)["expected"].any()
    state.end_epoch(0)
    state.observe(rows, {"logits": rising})
    assert content(state, labels)["expected"].flatten().nonzero().flatten().tolist() == [18, 19]
    state.observe(rows, {"logits": -rising})  # the known positive would be the largest
    assert content(state, labels)["expected"].flatten().nonzero().flatten().tolist() == [1, 2, 18, 19]


def test_corrections_take_all_ties_and_rates_may_differ_between_heads():
    labels = torch.full((3, 2, 5), UNKNOWN, dtype=torch.int8)
    state = STATES["corrected"].function(labels, correction_rate=torch.tensor([0.0, 0.1, 0.4]))
    state.end_epoch(0)
    logits = torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]).view(1, 2, 5).expand(3, 2, 5)
    state.observe(torch.arange(2), {"logits": logits})
    assert state.chosen.sum(dim=(1, 2)).tolist() == [0, 1, 5]


def test_confident_cells_wait_for_the_warm_up_and_are_never_taken_back():
    labels = torch.full((1, 1, 3), UNKNOWN, dtype=torch.int8)
    state = STATES["confident"].function(labels, score_threshold=0.8, warm_up=2)
    rows = torch.arange(1)
    sure, unsure = torch.tensor([[[3.0, 1.0, -3.0]]]), torch.full((1, 1, 3), -5.0)
    state.write(rows, {"logits": sure})
    assert state.read(rows)["expected"].flatten().tolist() == [0.0, 0.0, 0.0]
    state.end_epoch(0)
    state.write(rows, {"logits": sure})
    state.end_epoch(1)
    state.write(rows, {"logits": unsure})
    assert state.read(rows)["expected"].flatten().tolist() == [1.0, 0.0, 0.0]


def test_the_lowest_scores_of_every_class_become_soft_negatives_that_stay():
    labels = torch.full((1, 10, 2), UNKNOWN, dtype=torch.int8)
    labels[0, 0, 0] = POSITIVE
    state = STATES["asymmetric"].function(labels, negative_share=0.9, warm_up=2, epochs=5, storage="float64")
    assert state.quota.tolist() == [[2, 3]]  # a third of 8.1 and of 9, rounded down
    rows = torch.arange(10)
    logits = torch.stack([torch.arange(10.0), -torch.arange(10.0)], dim=-1)[None].double()
    state.write(rows, {"logits": logits})
    state.end_epoch(0)
    assert not state.read(rows)["picked"].any()
    state.write(rows, {"logits": logits})
    state.end_epoch(1)
    found = state.read(rows)
    assert found["picked"][0, :, 0].nonzero().flatten().tolist() == [1, 2]
    assert found["picked"][0, :, 1].nonzero().flatten().tolist() == [7, 8, 9]
    state.write(rows, {"logits": -logits})
    kept = state.read(rows)["estimate"]
    assert torch.equal(kept[found["picked"] != 0], found["estimate"][found["picked"] != 0])
    state.end_epoch(2)
    assert state.read(rows)["picked"].sum().item() == 10


def test_a_run_that_is_over_before_the_warm_up_picks_nothing():
    labels = some_labels(1, 9, 4)
    state = STATES["asymmetric"].function(labels, warm_up=5, epochs=5)
    train(state, labels, range(5))
    assert not content(state, labels)["picked"].any()


def test_a_new_share_of_the_unknown_cells_takes_part_every_epoch():
    labels = torch.full((2, 200, 10), UNKNOWN, dtype=torch.int8)
    state = STATES["drawn"].function(labels, seeds=[1, 2], share=0.3)
    first = content(state, labels)
    assert (first["estimate"] == 0.5).all()
    assert (first["picked"].mean(dim=(1, 2)) - 0.3).abs().max() < 0.05
    assert not torch.equal(first["picked"][0], first["picked"][1])
    state.end_epoch(0)
    assert not torch.equal(content(state, labels)["picked"], first["picked"])
    everything = STATES["drawn"].function(labels, seeds=[1, 2])
    assert (content(everything, labels)["picked"] == 1).all()


def test_class_priors_are_found_from_a_random_part_of_the_positives():
    draw = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.05, 0.2, 0.6])
    truth = torch.rand((20_000, 3), generator=draw) < shares
    scores = torch.sigmoid(torch.randn(truth.shape, generator=draw) + torch.where(truth, 3.0, -3.0))
    named = truth & (torch.rand(truth.shape, generator=draw) < 0.3)
    labels = torch.where(named, POSITIVE, UNKNOWN).to(torch.int8)
    found = estimate_class_priors(scores, labels)
    assert ((found - shares) / shares).abs().max() < 0.1
    assert (named.float().mean(dim=0) < 0.4 * shares).all()  # which counting the known positives would have given


def plain_prior(scores, labels, confidence, slack):
    """The same by a plain loop over the distinct scores."""
    n, named = len(scores), [s for s, code in zip(scores, labels, strict=True) if code == POSITIVE]
    if not named:
        return 0.0
    best = None
    for t in sorted(set(scores)):
        passing, positive = sum(s >= t for s in scores) / n, sum(s >= t for s in named) / len(named)
        if positive == 0:
            continue
        error = math.sqrt(math.log(4 / confidence) / (2 * n)) + math.sqrt(math.log(4 / confidence) / (2 * len(named)))
        value = passing / positive + (1 + slack) / positive * error
        if best is None or value < best[0]:
            best = (value, passing / positive)
    return best[1]


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 12), levels=st.sampled_from([2, 5, 1 << 20]))
def test_class_priors_equal_a_plain_search(seed, rows, levels):
    draw = torch.Generator().manual_seed(seed)
    scores = (torch.rand((rows, 3), generator=draw, dtype=torch.float64) * levels).floor() / levels
    labels = some_labels(1, rows, 3, seed)[0]
    found = estimate_class_priors(scores, labels, confidence=0.05, slack=0.1)
    wanted = [plain_prior(scores[:, c].tolist(), labels[:, c].tolist(), 0.05, 0.1) for c in range(3)]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_priors_before_the_first_estimate_are_the_known_positives():
    labels = some_labels(1, 12, 4)
    state = STATES["class-priors"].function(labels)
    wanted = (labels == POSITIVE).float().mean(dim=1, keepdim=True).expand(1, 3, 4)
    torch.testing.assert_close(state.read(torch.arange(3))["priors"], wanted)


def test_tiles_lift_a_class_that_the_whole_image_hides():
    whole = torch.tensor([[3.0, 0.0, 0.0, 0.0]])
    tiles = torch.zeros((2, 1, 4))
    tiles[0, 0, 2] = 6.0
    labels = torch.tensor([[POSITIVE, UNKNOWN, UNKNOWN, UNKNOWN]], dtype=torch.int8)
    settings = {"temperature": 1.0, "count": 2, "threshold": 0.3}
    pseudo, scores = multifocus_labels(whole, tiles, labels, **settings)
    assert pseudo.tolist() == [[POSITIVE, UNKNOWN, POSITIVE, UNKNOWN]]
    assert scores.shape == (1, 4)
    low, _ = multifocus_labels(whole, tiles, labels, **settings, negative_share=0.5, name_negatives=True)
    assert (low == NEGATIVE).sum().item() == 2
    released, _ = multifocus_labels(whole, tiles, labels, **settings, negative_share=0.5)
    assert (released == UNKNOWN).sum().item() == 2


def test_unusable_settings():
    labels = some_labels(2, 3, 4)
    with pytest.raises(SettingError, match=r"corrected\.correction_rate"):
        STATES["corrected"].function(labels, correction_rate=1.5)
    with pytest.raises(SettingError, match=r"drawn\.share"):
        STATES["drawn"].function(labels, share=0.0)
    with pytest.raises(SettingError, match="3 seeds for 2 heads"):
        STATES["drawn"].function(labels, seeds=[1, 2, 3])
    with pytest.raises(SettingError, match=r"asymmetric\.storage"):
        STATES["asymmetric"].function(labels, storage="int8")
