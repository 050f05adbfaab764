"""The state of confident cells: picks, thresholds that follow the picks, and their way to disk."""

import torch

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.states import STATES

LABELS = torch.full((1, 4, 3), UNKNOWN, dtype=torch.int8)
LABELS[0, 0, 0] = POSITIVE
LABELS[0, 1, 1] = NEGATIVE


def seen(state, rows, logits):
    where = torch.tensor(rows)
    state.observe(where, {"logits": torch.tensor([logits])})
    return state.read(where)["picked"][0].tolist()


def test_the_most_probable_cells_that_pass_are_picked_and_known_negatives_never():
    state = STATES["selected"].function(LABELS, picked_per_image=2)
    assert state.accuracy[0, 0].tolist() == [1 / 3] * 3  # a threshold of 0.95 / 5 = 0.19
    assert seen(state, [0, 1], [[1.0, 2.0, 3.0], [1.0, 9.0, -3.0]]) == [[0, 1, 1], [1, 0, 0]]
    assert state.counts[0, 0].tolist() == [2, 1, 1]  # the positive of image 0 counts though it was not picked
    expected = torch.tensor([2 / 4, 1 / 3, 1 / 3], dtype=torch.float64)  # 2 x 4 - 4 = 4 are left
    torch.testing.assert_close(state.accuracy[0, 0], expected)
    assert seen(state, [2], [[-1.1, -1.1, -9.0]]) == [[0, 1, 0]]  # p = 0.25: between 0.95/3 and 0.95/5
    assert seen(state, [0], [[-9.0, -9.0, -9.0]]) == [[0, 0, 0]]  # picked before, no more
    assert state.counts[0, 0].tolist() == [2, 1, 0]


def test_heads_are_independent_and_what_was_saved_goes_on_the_same(tmp_path):
    labels = LABELS.expand(2, 4, 3).contiguous()
    draw = torch.Generator().manual_seed(0)
    views = 2.0 * torch.randn((6, 2, 2, 3), generator=draw)
    rows = [torch.tensor(pair) for pair in ([0, 1], [2, 3], [0, 2], [1, 3], [3, 0], [2, 1])]
    together = STATES["selected"].function(labels)
    alone = STATES["selected"].function(labels[1:])
    for place, (row, logits) in enumerate(zip(rows, views, strict=True)):
        together.observe(row, {"logits": logits})
        alone.observe(row, {"logits": logits[1:]})
        if place == 2:
            together.save(tmp_path / "state")
            resumed = STATES["selected"].function(labels)
            resumed.load(tmp_path / "state")
        elif place > 2:
            resumed.observe(row, {"logits": logits})
    assert torch.equal(together.picked[1:], alone.picked)
    assert torch.equal(together.counts[1:], alone.counts)
    assert torch.equal(together.picked, resumed.picked)
    assert torch.equal(together.accuracy, resumed.accuracy)
