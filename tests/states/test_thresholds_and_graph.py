"""The moving thresholds of IGNORE, and SMILE's neighbour graph and inferred labels."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import MismatchError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.states import STATES, neighbours
from spml_annotate.states.neighbours import ImageFeatures, NeighbourGraph


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_labels(heads, rows, classes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    codes = torch.tensor([POSITIVE, NEGATIVE, UNKNOWN, UNKNOWN], dtype=torch.int8)
    return codes[torch.randint(4, (heads, rows, classes), generator=draw)]


def test_thresholds_follow_the_gap_at_positives_and_the_average_of_a_class():
    labels = torch.tensor([[[POSITIVE, UNKNOWN], [UNKNOWN, NEGATIVE], [UNKNOWN, UNKNOWN]]], dtype=torch.int8)
    state = STATES["thresholds"].function(labels, gap_momentum=0.9, average_momentum=0.5)
    weak = torch.tensor([[[3.0, 1.0], [1.0, -5.0], [2.0, 1.0]]])
    masked = torch.tensor([[[1.0, 9.0], [9.0, 9.0], [9.0, 9.0]]])
    state.observe(torch.arange(3), {"logits": weak, "masked": masked})
    found = state.read(torch.arange(3))["thresholds"]
    assert found.shape == (1, 3, 2, 2)
    assert torch.allclose(found[0, :, :, 0], torch.tensor(0.1 * 2.0))
    assert torch.allclose(found[0, :, :, 1], 0.5 * torch.tensor([2.0, -1.0]).expand(3, 2))
    rest = torch.tensor([1, 2])  # nothing is known to be positive: the gap stays, the averages move
    state.observe(rest, {"logits": weak[:, rest], "masked": masked[:, rest]})
    found = state.read(rest)["thresholds"][0, 0]
    assert torch.allclose(found[:, 0], torch.tensor(0.2))
    assert torch.allclose(found[:, 1], torch.tensor([0.5 * 1.0 + 0.5 * 1.5, -0.5 * 0.5 - 0.5 * 2.0]))
    state.observe(rest[:0], {"logits": weak[:, :0], "masked": masked[:, :0]})
    assert torch.equal(state.read(rest)["thresholds"][0, 0], found)


def test_thresholds_of_a_head_are_its_own_and_survive_the_disk(tmp_path):
    labels, rows = some_labels(2, 9, 4), torch.arange(9)
    momentum = torch.tensor([0.9, 0.6])
    state = STATES["thresholds"].function(labels, gap_momentum=momentum)
    outputs = {"logits": drawn(2, 9, 4), "masked": drawn(2, 9, 4, seed=1)}
    state.observe(rows, outputs)
    for head in range(2):
        alone = STATES["thresholds"].function(labels[head : head + 1], gap_momentum=float(momentum[head]))
        alone.observe(rows, {name: value[head : head + 1] for name, value in outputs.items()})
        assert torch.equal(alone.read(rows)["thresholds"][0], state.read(rows)["thresholds"][head])
    state.save(tmp_path / "state")
    again = STATES["thresholds"].function(labels, gap_momentum=momentum)
    again.load(tmp_path / "state")
    for one in (state, again):
        one.observe(rows, outputs)
    assert torch.equal(again.read(rows)["thresholds"], state.read(rows)["thresholds"])


def plain_neighbours(features, count):
    """By the definition, with every distance: the nearest others, ties by row."""
    distance = np.square(features[:, None] - features[None]).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :count]


@given(
    seed=st.integers(0, 10_000), images=st.integers(1, 40), count=st.integers(1, 4), levels=st.sampled_from([2, 1000])
)
def test_neighbours_are_the_nearest_by_definition(seed, images, count, levels):
    features = np.random.default_rng(seed).integers(0, levels, size=(images, 6)).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_QUERIES", 7)
        patch.setattr(neighbours, "_SPARE", 40)  # of many at the same distance all are looked at
        graph = NeighbourGraph(torch.from_numpy(features), count)
    np.testing.assert_array_equal(graph.nearest.numpy(), plain_neighbours(features, min(count, images - 1)))


@given(seed=st.integers(0, 10_000), images=st.integers(1, 30))
def test_a_batch_gets_what_the_whole_graph_would_give_it(seed, images):
    """Against the convolution of the whole graph as a matrix, D_in^-1/2 A^T D_out^-1/2."""
    features = drawn(images, 5, seed=seed)
    graph = NeighbourGraph(features, 3)
    edges = torch.zeros((images, images), dtype=torch.float64)
    edges.scatter_(1, graph.nearest, 1.0)
    assert (edges.diagonal() == 0).all()
    outgoing, into = edges.sum(1).clamp(min=1.0), edges.sum(0).clamp(min=1.0)
    whole = (edges / outgoing.sqrt()[:, None] / into.sqrt()[None]).T
    torch.testing.assert_close(graph.averaged, whole @ features)
    rows = torch.randperm(images, generator=torch.Generator().manual_seed(seed))[: images // 2 + 1]
    sources, weights = graph.incoming(rows)
    torch.testing.assert_close(weights @ features[sources], (whole @ features)[rows])
    assert torch.equal(graph.among(rows), edges[rows][:, rows])
    assert sources.unique().numel() == sources.numel()


def test_an_image_that_is_nobodys_neighbour_gets_the_biases_only():
    features = torch.tensor([[0.0], [1.0], [2.0], [3.0], [99.0]], dtype=torch.float64)
    graph = NeighbourGraph(features, 3)
    sources, weights = graph.incoming(torch.tensor([4]))
    assert sources.numel() == 0
    assert weights.shape == (1, 0)
    assert graph.averaged[4] == 0
    state = STATES["enhanced"].function(torch.full((1, 5, 2), UNKNOWN, dtype=torch.int8), features=features)
    assert torch.equal(state.read(torch.tensor([4]))["estimate"], torch.full((1, 1, 2), 0.5, dtype=torch.float64))


def test_a_batch_infers_what_all_images_together_infer():
    labels, features = some_labels(2, 30, 4), drawn(30, 6)
    state = STATES["enhanced"].function(labels, seeds=[1, 2], features=features)
    rows = torch.tensor([17, 3, 29])
    whole = state.read(torch.arange(30))["estimate"]
    torch.testing.assert_close(state.read(rows)["estimate"], whole[:, rows])
    alone = STATES["enhanced"].function(labels[1:], seeds=[2], features=ImageFeatures(features))
    for name, value in state.read(rows).items():
        torch.testing.assert_close(alone.read(rows)[name], value[1:])
        assert value.shape == (2, 3, 4)
    assert not torch.allclose(whole[0], whole[1])


def trained(state, labels, optimizer, epochs):
    for epoch in epochs:
        order = torch.randperm(labels.shape[1], generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(8):
            optimizer.zero_grad()
            logits = torch.zeros((*labels.shape[:1], len(rows), labels.shape[2]), dtype=torch.float64)
            LOSSES["smile"].function(logits, labels[:, rows], **state.read(rows)).mean(dim=(1, 2)).sum().backward()
            optimizer.step()


def test_the_inferring_model_learns_and_resumes_exactly(tmp_path):
    """Two clusters of images with one class each; the loss asks for nothing but the classes of neighbours."""
    centres = torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]], dtype=torch.float64)
    features = torch.cat([centres[0] + drawn(20, 3), centres[1] + drawn(20, 3, seed=1)])
    labels = torch.full((1, 40, 2), UNKNOWN, dtype=torch.int8)
    labels[0, :20, 0] = labels[0, 20:, 1] = POSITIVE
    rows = torch.arange(40)

    def begun():
        state = STATES["enhanced"].function(labels, seeds=[3], features=features)
        return state, torch.optim.Adam(state.parameters(), lr=0.01)

    state, optimizer = begun()
    before = state.read(rows)
    trained(state, labels, optimizer, range(20))
    found = state.read(rows)
    right, wrong = found["estimate"][labels == POSITIVE], found["estimate"][labels == UNKNOWN]
    assert right.mean() > wrong.mean() + 0.02
    assert found["reconstruction"][0, 0, 0] < before["reconstruction"][0, 0, 0]
    state.save(tmp_path / "state")
    other, again = begun()
    other.load(tmp_path / "state")
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    trained(state, labels, optimizer, range(20, 22))
    trained(other, labels, again, range(20, 22))
    assert torch.equal(other.read(rows)["estimate"], state.read(rows)["estimate"])


def test_what_the_inferring_model_cannot_use_is_refused():
    labels = some_labels(2, 9, 4)
    function = STATES["enhanced"].function
    with pytest.raises(SettingError, match="give features"):
        function(labels)
    with pytest.raises(MismatchError, match="features of 8 images and labels of 9"):
        function(labels, features=drawn(8, 3))
    with pytest.raises(SettingError, match="makes no graph"):
        function(labels, features=drawn(9, 3), neighbours=0)
    with pytest.raises(SettingError, match="1 seeds for 2 heads"):
        function(labels, [1], drawn(9, 3))


def test_soft_labels_and_weights_of_smile_cell_by_cell():
    labels = torch.tensor([[POSITIVE, NEGATIVE, UNKNOWN]], dtype=torch.int8)
    logits = torch.zeros((1, 3), dtype=torch.float64).requires_grad_()
    estimate = torch.tensor([[0.2, 0.9, 0.6]], dtype=torch.float64)
    settings = {"unknown_target": 0.1, "graph_weight": 0.25, "unknown_weight": 0.7}
    for even, weight in ((True, 0.5), (False, 0.7)):
        matrix = LOSSES["smile"].function(logits, labels, estimate, torch.zeros_like(estimate), even=even, **settings)
        (slope,) = torch.autograd.grad(matrix.sum(), logits)
        targets = [0.25 * 0.2 + 0.75, 0.0, 0.25 * 0.6 + 0.75 * 0.1]
        wanted = torch.tensor([[1.0, 1.0, weight]]) * (0.5 - torch.tensor([targets], dtype=torch.float64))
        torch.testing.assert_close(slope, wanted)


def test_ignore_rejects_unknown_cells_after_the_warm_up_only():
    labels = torch.tensor([[POSITIVE, NEGATIVE, UNKNOWN, UNKNOWN, UNKNOWN]], dtype=torch.int8)
    weak = torch.tensor([[2.0, 2.0, 2.0, 2.0, -1.0]], dtype=torch.float64)
    masked = torch.tensor([[0.0, 0.0, 0.0, 1.8, -5.0]], dtype=torch.float64)
    thresholds = torch.tensor([1.0, 0.5], dtype=torch.float64).expand(1, 5, 2)  # only the third cell passes both
    for epoch, rejected in ((2, []), (3, [2])):
        strong = torch.zeros((1, 5), dtype=torch.float64).requires_grad_()
        matrix = LOSSES["ignore"].function(
            weak, labels, strong, masked, thresholds, (epoch, 9), consistency_weight=0.0, weak_weight=0.0
        )
        (slope,) = torch.autograd.grad(matrix.mean(), strong)
        assert (slope == 0).nonzero()[:, 1].tolist() == rejected
        kept = 5 - len(rejected)
        assert slope[0, 0] == pytest.approx(-0.5 / kept)
        assert slope[0, 1] == pytest.approx(0.5 / kept)
