"""A training that begins with the heads and states of another one (LinearInit)."""

import dataclasses

import numpy as np
import pytest
import torch
from test_frozen import labels_for, problem

from spml_annotate.errors import MismatchError
from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.states.neighbours import ImageFeatures
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.groups import HeadGroup, make_groups
from spml_annotate.training.inputs import resolve

REMEMBERING = [loss for loss in LOSSES if LOSSES[loss].facts["state"] and not resolve(loss).unsupplied]
EAGER = {"em-apl": {"warm_up": 1, "epochs": 4}, "mime": {"warm_up": 1, "score_threshold": 0.3}}

# Nothing moves at this rate: what is found after an epoch is what it began with.
STILL = 1e-30


def first_phase(losses, seeds=(0, 1), rate=1e-2, **options):
    features, truth, single, validation = problem()
    sets = [labels_for(loss, truth, single) for loss in losses]
    runs = [
        HeadRun(loss, EAGER.get(loss, {}), label_set=place, seed=seed, learning_rate=rate)
        for seed in seeds
        for place, loss in enumerate(losses)
    ]
    given = {"expected_positives": 1.5, "epochs": 4, "device": "cpu", **options}
    if given.pop("judged", False):
        given["validation"] = validation
    return features, sets, runs, fit_heads(features, sets, runs, keep_states=True, **given)


def groups_begun_with(result, features, sets, runs):
    """Groups as a training makes them, begun with a result, and their weight matrix."""
    groups, matrix = fresh_groups(result, features, sets, runs)
    for group in groups:
        group.begin_with(result.heads, result.states, matrix)
    return groups, matrix


def fresh_groups(result, features, sets, runs):
    methods = [resolve(run.loss, run.settings, expected_positives=1.5, epochs=4) for run in runs]
    codes = {place: sets[run.label_set] for place, run in enumerate(runs)}
    images = ImageFeatures(torch.from_numpy(result.heads[0].scaling.apply(features)))
    members = list(range(len(runs)))
    return make_groups(members, runs, methods, codes, images, 1.5, None, torch.device("cpu"))


def test_every_run_begins_with_its_own_head_and_state():
    """Every table of every state, and every head, is back in its place, in company in which the order is another."""
    features, sets, runs, first = first_phase(REMEMBERING)
    groups, matrix = groups_begun_with(first, features, sets, runs)
    found = 0
    for group in groups:
        for place, member in enumerate(group.members):
            weight, bias, _ = group.selected(place, matrix)
            np.testing.assert_array_equal(weight, first.heads[member].weight)
            np.testing.assert_array_equal(bias, first.heads[member].bias)
            kept, begun = first.states[member], group.state.kept(place)
            assert kept.keys() == begun.keys()
            for name in kept:
                assert kept[name].tobytes() == begun[name].tobytes()
            found += 1
    assert found == len(runs) == len(first.states)
    for group in fresh_groups(first, features, sets, runs)[0]:
        for place, member in enumerate(group.members):  # every state had learnt something that could have been lost
            fresh, kept = group.state.kept(place), first.states[member]
            assert any(not np.array_equal(fresh[name], kept[name]) for name in kept), runs[member].loss


def test_what_role_estimated_is_what_the_second_phase_first_reads(monkeypatch):
    features, sets, runs, first = first_phase(["role"])
    read = []
    loss = HeadGroup.loss

    def noting(group, logits, batch, epochs):
        read.append((batch, group.state.read(batch)["estimate"].detach().clone(), logits.detach().clone()))
        return loss(group, logits, batch, epochs)

    monkeypatch.setattr(HeadGroup, "loss", noting)
    fit_heads(features, sets, runs, start=first, expected_positives=1.5, epochs=1, device="cpu", seed=7)
    batch, estimate, logits = read[0]
    for place in range(2):
        kept = torch.from_numpy(first.states[place]["logits"]).sigmoid()
        assert torch.equal(estimate[place], kept[batch])
        head = first.heads[place]
        wanted = head.scaling.apply(features[batch.numpy()]) @ head.weight + head.bias
        np.testing.assert_allclose(logits[place].numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("loss", REMEMBERING)
def test_a_run_goes_on_as_it_does_alone(loss):
    """Were the states of two runs exchanged, or a table of one left out, the second phase would end elsewhere."""
    features, sets, runs, first = first_phase([loss], seeds=(0, 1, 2))
    options = {"expected_positives": 1.5, "epochs": 3, "device": "cpu", "seed": 5}
    together = fit_heads(features, sets, runs, start=first, keep_states=True, **options)
    for place in range(3):
        own = dataclasses.replace(
            first, heads=(first.heads[place],), states=(first.states[place],), origins=(first.origins[place],)
        )
        alone = fit_heads(features, sets, [runs[place]], start=own, keep_states=True, **options)
        np.testing.assert_allclose(alone.heads[0].predict(features), together.heads[place].predict(features), atol=1e-4)
    forgotten = fit_heads(features, sets, runs, **options)
    assert not np.allclose(forgotten.heads[0].weight, together.heads[0].weight, atol=1e-3)


def test_the_state_is_that_of_the_epoch_selected():
    """The second phase at a rate at which nothing moves gives back the heads and the estimates of the best epoch."""
    features, sets, runs, first = first_phase(["role", "an"], judged=True, epochs=12, rate=0.3)
    assert first.epochs.min() < 11, "some run must have had its best epoch before the last"
    still = [dataclasses.replace(run, learning_rate=STILL) for run in runs]
    second = fit_heads(features, sets, still, start=first, keep_states=True, epochs=2, device="cpu")
    for one, other, kept, begun in zip(first.heads, second.heads, first.states, second.states, strict=True):
        np.testing.assert_allclose(one.weight, other.weight, atol=1e-20)
        np.testing.assert_array_equal(one.bias, other.bias)
        assert kept.keys() == begun.keys()
        for name in kept:
            np.testing.assert_array_equal(kept[name], begun[name])
    whole = fit_heads(features, sets, runs, keep_states=True, expected_positives=1.5, epochs=12, device="cpu")
    moved = [
        not np.array_equal(kept["logits"], last["logits"])
        for kept, last in zip(first.states, whole.states, strict=True)
        if kept
    ]
    assert any(moved)


def test_a_start_of_another_training_is_refused():
    features, sets, runs, first = first_phase(["role"])
    with pytest.raises(MismatchError, match="train it with keep_states=True"):
        fit_heads(features, sets, runs, start=fit_heads(features, sets, runs, epochs=1, device="cpu"))
    with pytest.raises(MismatchError, match="other losses or labels"):
        fit_heads(features, sets, runs[:1], start=first)
    with pytest.raises(MismatchError, match="other losses or labels"):
        fit_heads(features, sets, [HeadRun("en")] * 2, start=first)
    relabelled = sets[0].copy()
    relabelled[0] = UNKNOWN
    with pytest.raises(MismatchError, match="other losses or labels"):
        fit_heads(features, [relabelled], runs, start=first)
    with pytest.raises(MismatchError, match="other features"):
        fit_heads(features * np.linspace(1.0, 2.0, features.shape[1], dtype=np.float32), sets, runs, start=first)
    precise = [dataclasses.replace(run, settings={"precision": "float64"}) for run in runs]
    with pytest.raises(MismatchError, match="the state learned was kept as"):
        fit_heads(features, sets, precise, start=first, device="cpu")
