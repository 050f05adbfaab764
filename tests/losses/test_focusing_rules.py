"""The losses that focus, correct, rank and learn from partial labels, each by its own formula, cell by cell."""

import math

import pytest
import torch

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-0.3, 1.2, 3.0]], dtype=torch.float64)
LABELS = torch.tensor([[POSITIVE, UNKNOWN, NEGATIVE], [UNKNOWN, POSITIVE, UNKNOWN]], dtype=torch.int8)
X = LOGITS.tolist()


def loss(name, *inputs, labels=LABELS, **settings):
    return LOSSES[name].function(LOGITS, labels, *inputs, **settings).tolist()


def p(x):
    return 1.0 / (1.0 + math.exp(-x))


def yes(x):
    return -math.log(p(x))


def no(x):
    return -math.log(1.0 - p(x))


def near(*rows):
    return [pytest.approx(list(row), rel=1e-9) for row in rows]


def shifted(x, focus, shift=0.05):
    rest = max(p(x) - shift, 0.0)
    return rest**focus * -math.log(1.0 - rest)


def test_asymmetric_and_focal():
    found = loss("asl")
    wanted = [(1 - p(2.0)) * yes(2.0), shifted(-1.0, 4), shifted(0.5, 4)]
    assert found == near(wanted, [shifted(-0.3, 4), (1 - p(1.2)) * yes(1.2), shifted(3.0, 4)])
    assert loss("asl", detach_focus=False) == found
    assert loss("asl", positive_focus=0.0, negative_focus=0.0, shift=0.0) == near(*loss("an"))
    wanted = [0.25 * (1 - p(2.0)) ** 2 * yes(2.0), 0.75 * p(-1.0) ** 2 * no(-1.0), 0.75 * p(0.5) ** 2 * no(0.5)]
    assert loss("focal")[0] == near(wanted)[0]


def test_a_constant_weight_has_another_gradient():
    for name in ("asl", "focal"):
        slopes = []
        for detach in (True, False):
            logits = LOGITS.clone().requires_grad_()
            LOSSES[name].function(logits, LABELS, detach_focus=detach).sum().backward()
            slopes.append(logits.grad)
        assert (slopes[0].abs() < slopes[1].abs()).any()


def test_the_shift_as_a_tensor_may_be_zero():
    shift = torch.tensor([0.0, 0.05], dtype=torch.float64).view(2, 1, 1)
    swept = LOSSES["asl"].function(1e4 * LOGITS.expand(2, 2, 3), LABELS, shift=shift)
    assert torch.isfinite(swept).all()
    for head, own in enumerate((0.0, 0.05)):
        torch.testing.assert_close(swept[head], LOSSES["asl"].function(1e4 * LOGITS, LABELS, shift=own))


def test_hill_leaves_confident_unknown_cells_alone_but_not_known_negatives():
    positive = (1 - p(1.0)) ** 2 * yes(1.0)  # 2 less the margin
    assert loss("hill")[0] == near([positive, (1.5 - p(-1.0)) * p(-1.0) ** 2, p(0.5) ** 2 * no(0.5)])[0]
    logits = torch.full((1, 2), 12.0, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[UNKNOWN, NEGATIVE]], dtype=torch.int8)
    LOSSES["hill"].function(logits, labels).sum().backward()
    assert logits.grad[0, 0] == pytest.approx(0.0, abs=1e-9)
    assert logits.grad[0, 1] > 0.9


def test_splc_corrects_unknown_cells_only_and_only_from_its_epoch_on():
    first = loss("splc", (0, 5))
    positive = (1 - p(1.0)) ** 2 * yes(1.0)
    assert first[0] == near([positive, p(-1.0) ** 2 * no(-1.0), p(0.5) ** 2 * no(0.5)])[0]
    assert first[1][2] == pytest.approx(p(3.0) ** 2 * no(3.0))
    later = loss("splc", (1, 5))
    assert later[1][2] == pytest.approx((1 - p(3.0)) ** 2 * yes(3.0))  # without the margin of an observed one
    assert [later[0], later[1][:2]] == [first[0], first[1][:2]]
    assert loss("splc", (1, 5), change_epoch=2) == first
    assert loss("splc", (1, 5), threshold=0.99) == first
    known = torch.where(LABELS == UNKNOWN, NEGATIVE, LABELS).to(torch.int8)
    assert loss("splc", (4, 5), labels=known) == near(*loss("splc", (0, 5), labels=known))


def test_partial_cross_entropy_weighs_by_what_is_known():
    cells = [[yes(2.0), 0.0, no(0.5)], [0.0, yes(1.2), 0.0]]
    weights = [-4.45 * 2 / 3 + 5.45, -4.45 / 3 + 5.45]
    assert loss("partial-bce") == near(*([w * c for c in row] for w, row in zip(weights, cells, strict=True)))
    counted = [1 + 1 / 3, 1 + 1 / 2]
    wanted = near(*([w * c for c in row] for w, row in zip(counted, cells, strict=True)))
    assert loss("partial-bce", weighting="count") == wanted
    mean = torch.tensor(loss("partial-bce", weighting="mean")).mean().item()
    assert mean == pytest.approx((yes(2.0) + no(0.5) + yes(1.2)) / 3)
    complete = torch.full_like(LABELS, NEGATIVE)
    assert loss("partial-bce", labels=complete) == near(*loss("an", labels=complete))
    with pytest.raises(SettingError, match="weighting"):
        loss("partial-bce", weighting="none")


def test_the_modes_of_the_selective_loss():
    everything = loss("csl")
    assert everything[0] == near([yes(2.0), p(-1.0) ** 2 * no(-1.0), p(0.5) * no(0.5)])[0]
    ignored = loss("csl", mode="ignore")
    assert ignored == near([yes(2.0), 0.0, p(0.5) * no(0.5)], [0.0, yes(1.2), 0.0])
    normalised = loss("csl", mode="ignore-normalised")
    assert normalised == near([c * 4 / 3 for c in ignored[0]], [c * 3 / 2 for c in ignored[1]])
    selective = loss("csl", mode="selective", ignored_per_image=1)  # two cells of the batch: 3.0 and -0.3
    assert selective == near(everything[0], [0.0, yes(1.2), 0.0])
    frequent = torch.tensor([0.01, 0.5, 0.5], dtype=torch.float64)
    selective = loss("csl", frequent, mode="selective", ignored_per_image=0)
    assert selective == near([yes(2.0), 0.0, p(0.5) * no(0.5)], [everything[1][0], yes(1.2), 0.0])
    with pytest.raises(SettingError, match="mode"):
        loss("csl", mode="some")


def all_pairs(score, margin):
    """The sum over all pairs, pair by pair."""
    total = 0.0
    for row, labels in zip(X, LABELS.tolist(), strict=True):
        for i, first in enumerate(labels):
            for j, second in enumerate(labels):
                if first == POSITIVE and second != POSITIVE:
                    total += max(0.0, margin - score(row[i]) + score(row[j]))
    return total + no(0.5)  # the known negative


def test_rankings_are_those_of_all_pairs():
    assert sum(map(sum, loss("pairwise-ranking"))) == pytest.approx(all_pairs(p, 1.0))
    for margin in (0.0, 0.4, 1.0, 5.0):
        assert sum(map(sum, loss("tai-ranking", margin=margin))) == pytest.approx(all_pairs(lambda x: x, margin))


@pytest.mark.parametrize("name", ["pairwise-ranking", "tai-ranking"])
def test_known_cells_without_a_partner_to_be_ranked_with_count(name):
    positives = torch.full_like(LABELS, POSITIVE)
    assert loss(name, labels=positives) == near(*([yes(x) for x in row] for row in X))
    negatives = torch.full_like(LABELS, NEGATIVE)
    assert loss(name, labels=negatives) == near(*([no(x) for x in row] for row in X))


def test_pseudo_labels_touch_unknown_cells_only():
    teacher = torch.tensor([[NEGATIVE, POSITIVE, POSITIVE], [NEGATIVE, NEGATIVE, UNKNOWN]], dtype=torch.int8)
    q = p(3.0)
    entropy = -q * math.log(q) - (1 - q) * math.log(1 - q)
    smoothed = 0.7 * (0.9 * yes(-1.0) + 0.1 * no(-1.0))
    assert loss("vlpl", teacher) == near([yes(2.0), smoothed, no(0.5)], [0.0, yes(1.2), -0.2 * entropy])


def test_the_strong_view_learns_from_picked_images_only():
    strong = torch.zeros_like(LOGITS)
    picked = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    extra = torch.tensor(loss("scpnet", strong, picked, (0, 5))) - torch.tensor(loss("splc", (0, 5)))
    assert (extra[0] == 0).all()
    assert extra[1].tolist() == pytest.approx([0.125 * 2 * math.log(2.0)] * 3)  # at p = 0.5 any target costs log 2
