"""One head of `fit_heads` against a plain loop: torch.nn.Linear, autograd, AdamW, one batch after the other."""

import math

import numpy as np
import pytest
import torch

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.states import STATES
from spml_annotate.training import HeadRun, fit_heads
from spml_annotate.training.heads import Scaling, first_share
from spml_annotate.training.inputs import resolve
from spml_annotate.training.metrics import average_precision

EPOCHS, BATCH, POSITIVES, RATE, DECAY, SEED, ORDER = 5, 32, 1.7, 5e-3, 0.2, 5, 9


def problem():
    """Positives and negatives known, rows of which nothing is known, and a sample that peaks before the last epoch."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(110, 12)).astype(np.float32) * 3 + 1
    truth = ((features - 1) @ rng.normal(size=(12, 5)) > 6).astype(np.int8)
    truth[~truth.any(axis=1), 0] = POSITIVE
    codes = np.where(rng.random(truth.shape) < 0.4, truth, UNKNOWN).astype(np.int8)
    codes[20:30] = UNKNOWN
    sample = rng.normal(size=(40, 12)).astype(np.float32) * 3 + 1, (rng.random((40, 5)) < 0.4).astype(np.int8)
    return features, codes, sample


def state_of(entry, codes, scaled):
    if not entry.facts.get("state"):
        return None
    state = STATES[entry.facts["state"]]
    given = {"expected_positives": POSITIVES} if "expected_positives" in state.settings else {}
    if "features" in state.inputs:
        given["features"] = scaled
    return state.function(codes[None], seeds=[SEED], **given)


def plain(loss, features, codes, sample):
    """(weight, bias, moving average, epoch) that the loop selects."""
    entry, rows = LOSSES[loss], np.flatnonzero((codes != UNKNOWN).any(axis=1))
    scaling = Scaling.of(features)
    scaled, labels = torch.from_numpy(scaling.apply(features[rows])), torch.from_numpy(codes[rows])
    head = torch.nn.Linear(12, 5)
    share = first_share(entry.facts["start"], POSITIVES, 5)
    with torch.no_grad():
        head.weight.copy_(torch.randn((12, 5), generator=torch.Generator().manual_seed(SEED)).t() * 0.01 / 12**0.5)
        head.bias.fill_(math.log(share / (1 - share)))
    state = state_of(entry, labels, scaled)
    groups = [{"params": list(head.parameters())}]
    if state is not None and state.parameters():
        rate = RATE * state.learning_rate_multiplier
        groups.append({"params": state.parameters(), "lr": rate, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY)
    order = torch.Generator().manual_seed(ORDER)
    settings = {"expected_positives": POSITIVES} if "expected_positives" in entry.settings else {}
    ema, kept, best = torch.zeros(len(rows), 5), None, -1.0
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(rows), generator=order).split(BATCH):
            logits = head(scaled[batch])[None]
            inputs = {"logits": logits, "labels": labels[batch][None], "progress": (epoch, EPOCHS)}
            if state is not None:
                state.observe(batch, {"logits": logits.detach()})
                inputs |= state.read(batch)
            optimizer.zero_grad()
            entry.function(**{n: inputs[n] for n in entry.inputs if n in inputs}, **settings).mean().backward()
            optimizer.step()
            if state is not None:
                state.write(batch, {"logits": logits.detach()})
            scores = logits.detach()[0].sigmoid()
            ema[batch] = scores if epoch == 0 else 0.8 * ema[batch] + 0.2 * scores
        if state is not None:
            state.end_epoch(epoch)
        judged = 0.0
        if sample is not None:
            with torch.no_grad():
                logits = head(torch.from_numpy(scaling.apply(sample[0])))
            judged = float(np.nanmean(average_precision(logits.numpy(), sample[1])))
        if sample is None or judged > best:
            best = judged
            kept = head.weight.detach().clone().t(), head.bias.detach().clone(), ema.clone(), epoch
    return rows, kept


@pytest.mark.parametrize("with_sample", [True, False])
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not resolve(loss).unsupplied])
def test_a_head_is_that_of_a_plain_loop(loss, with_sample):
    features, codes, sample = problem()
    sample = sample if with_sample else None
    rows, (weight, bias, ema, epoch) = plain(loss, features, codes, sample)
    runs = [
        HeadRun(loss, seed=SEED, learning_rate=RATE, weight_decay=DECAY),
        HeadRun("an", seed=1),  # company
        HeadRun(loss, seed=SEED + 1, learning_rate=RATE, weight_decay=DECAY),
    ]
    options = {"expected_positives": POSITIVES, "epochs": EPOCHS, "batch_size": BATCH, "seed": ORDER, "device": "cpu"}
    result = fit_heads(features, codes, runs, validation=sample, **options)
    assert result.epochs[0] == epoch
    np.testing.assert_allclose(result.heads[0].weight, weight, atol=2e-6)
    np.testing.assert_allclose(result.heads[0].bias, bias, atol=2e-6)
    np.testing.assert_allclose(result.ema[0, rows], ema, atol=2e-3)  # kept in half precision


def test_the_sample_makes_a_difference():
    features, codes, sample = problem()
    assert any(plain(loss, features, codes, sample)[1][3] < EPOCHS - 1 for loss in ("an", "wan", "em"))
    assert (codes == NEGATIVE).any()
