"""A loss with its memory in a loop of one's own is the loss that `fit_heads` trains."""

import numpy as np
import pytest
import torch

from spml_annotate.errors import MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.training import HeadRun, RememberingLoss, fit_heads
from spml_annotate.training.heads import Scaling, first_share
from spml_annotate.training.inputs import resolve

EPOCHS, RATE, DECAY, K = 3, 5e-3, 0.2, 1.6


def world(images=60, width=10, classes=6):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(images, width)).astype(np.float32)
    truth = (features @ rng.normal(size=(width, classes)) > 2).astype(np.int8)
    truth[~truth.any(axis=1), 0] = POSITIVE
    codes = np.where(rng.random(truth.shape) < 0.5, truth, UNKNOWN).astype(np.int8)
    codes[np.arange(images), truth.argmax(axis=1)] = POSITIVE
    return features, codes


def own_loop(name, features, codes):
    scaled = torch.from_numpy(Scaling.of(features).apply(features))
    model = torch.nn.Linear(features.shape[1], codes.shape[1])
    share = first_share(LOSSES[name].facts["start"], K, codes.shape[1])
    with torch.no_grad():
        drawn = torch.randn((features.shape[1], codes.shape[1]), generator=torch.Generator().manual_seed(4))
        model.weight.copy_(drawn.t() * 0.01 / features.shape[1] ** 0.5)
        model.bias.fill_(np.log(share / (1 - share)))
    loss = RememberingLoss(name, torch.from_numpy(codes), seed=4, expected_positives=K, epochs=EPOCHS, features=scaled)
    groups = [{"params": model.parameters(), "weight_decay": DECAY}, *loss.parameter_groups(RATE)]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    order = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(codes), generator=order).split(16):
            value = loss(model(scaled[rows]), rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss.after_step()
        loss.end_epoch()
    return model


@pytest.mark.parametrize("name", [name for name in LOSSES if not resolve(name).unsupplied])
def test_the_loop_trains_what_fit_heads_trains(name):
    features, codes = world()
    model = own_loop(name, features, codes)
    run = HeadRun(name, seed=4, learning_rate=RATE, weight_decay=DECAY)
    options = {"epochs": EPOCHS, "batch_size": 16, "device": "cpu", "expected_positives": K}
    head = fit_heads(features, codes, [run], **options).heads[0]
    np.testing.assert_allclose(model.weight.detach().numpy().T, head.weight, atol=5e-6)
    np.testing.assert_allclose(model.bias.detach().numpy(), head.bias, atol=5e-6)


def test_what_cannot_be_is_refused_before_the_loop():
    single = torch.full((4, 3), UNKNOWN, dtype=torch.int8)
    single[:, 0] = POSITIVE
    with pytest.raises(SettingError, match="bce needs known negatives"):
        RememberingLoss("bce", single)
    with pytest.raises(SettingError, match="no setting 'x'"):
        RememberingLoss("en", single, settings={"x": 1})
    with pytest.raises(MismatchError, match="must be a table"):
        RememberingLoss("an", single[0])


def test_a_step_is_remembered_once():
    single = torch.full((4, 3), UNKNOWN, dtype=torch.int8)
    single[:, 0] = POSITIVE
    single[0, 1] = NEGATIVE
    loss = RememberingLoss("en", single, expected_positives=1.0)
    with pytest.raises(SettingError, match="call the loss first"):
        loss.after_step()
    loss(torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 1])).backward()
    loss.after_step()
    with pytest.raises(SettingError, match="call the loss first"):
        loss.after_step()


VIEWS = {"strong", "masked", "background", "teacher"}


@pytest.mark.parametrize("name", [name for name in LOSSES if resolve(name).unsupplied])
def test_further_views_are_given_by_the_loop(name):
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(-1, 2, (8, 3), generator=draw).to(torch.int8)
    views = {what: torch.randn((4, 3), generator=draw, requires_grad=True) for what in resolve(name).unsupplied}
    assert set(views) <= VIEWS
    if "teacher" in views:
        views["teacher"] = labels[4:]
    loss, logits = RememberingLoss(name, labels, epochs=9), torch.randn((4, 3), generator=draw, requires_grad=True)
    with pytest.raises(SettingError, match=f"{name} needs the input '{next(iter(views))}'"):
        loss(logits, torch.arange(4))
    with pytest.raises(SettingError, match="has no input 'stronger'"):
        loss(logits, torch.arange(4), **views, stronger=logits)
    for _ in range(5):
        value = loss(logits, torch.arange(4), **views)
        value.backward()
        loss.after_step()
        loss.end_epoch()
    assert torch.isfinite(value)
    assert logits.grad.abs().sum() > 0
    given = [view for what, view in views.items() if what in ("strong", "background")]
    assert all(view.grad.abs().sum() > 0 for view in given)


def steps_of(name, codes, features, folder, *, stop):
    """Losses of every step of three epochs; after step ``stop`` everything goes to disk and is made anew."""
    labels, inputs = torch.from_numpy(codes), torch.from_numpy(features)

    def anew():
        torch.manual_seed(1)
        model = torch.nn.Linear(features.shape[1], codes.shape[1])
        loss = RememberingLoss(name, labels, seed=4, expected_positives=K, epochs=EPOCHS, features=inputs)
        return model, loss, torch.optim.Adam([{"params": model.parameters()}, *loss.parameter_groups(0.1)], lr=0.1)

    model, loss, optimizer = anew()
    order = torch.Generator().manual_seed(0)
    values = []
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(codes), generator=order).split(16):
            value = loss(model(inputs[rows]), rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss.after_step()
            values.append(value.item())
            if len(values) == stop:
                torch.save([model.state_dict(), optimizer.state_dict(), loss.epoch], folder / "kept.pt")
                if loss.state is not None:
                    loss.state.save(folder / "state")
                model, loss, optimizer = anew()
                kept = torch.load(folder / "kept.pt")
                model.load_state_dict(kept[0])
                optimizer.load_state_dict(kept[1])
                loss.epoch = kept[2]
                if loss.state is not None:
                    loss.state.load(folder / "state")
        loss.end_epoch()
    return values


@pytest.mark.parametrize("stop", [6, 8])  # in the middle of the second epoch, and before its end is told
@pytest.mark.parametrize("name", [name for name in LOSSES if not resolve(name).unsupplied and not resolve(name).oracle])
def test_a_loop_goes_on_exactly(name, stop, tmp_path):
    features, codes = world()
    assert steps_of(name, codes, features, tmp_path, stop=stop) == steps_of(name, codes, features, tmp_path, stop=None)


def test_as_published_reads_known_negatives_as_unknown_unless_they_are_needed():
    labels = torch.from_numpy(world()[1])
    assert NEGATIVE in labels
    assert NEGATIVE not in RememberingLoss("an", labels, as_published=True).labels
    assert torch.equal(RememberingLoss("bce", labels, as_published=True).labels, labels)
    assert torch.equal(RememberingLoss("an", labels).labels, labels)
