"""What every registered proposer must pass."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from propose_worlds import evidence_of, partly_known, single_positives, world

from spml_annotate.errors import SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.propose import PROPOSERS, Evidence
from spml_annotate.propose.bank import prototype_bank
from spml_annotate.propose.space import build_index

NAMES = list(PROPOSERS)


def believe(evidence, rows=None, name="prototypes", **settings):
    rows = np.arange(evidence.shape[0]) if rows is None else rows
    return PROPOSERS[name].function(evidence, rows, **settings)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=["single", "partial"])
def case(request):
    features, truth, codes = partly_known()
    return features, truth, single_positives(truth) if request.param == "single" else codes


def test_the_three_are_there():
    assert NAMES == ["ema", "prototypes", "combined"]


def test_shape_type_and_range(name, case):
    features, _, codes = case
    belief = believe(evidence_of(features, codes), np.array([5, 3, 3, 40]), name)
    assert belief.shape == (4, codes.shape[1])
    assert belief.dtype == np.float32
    assert np.isfinite(belief).all()
    assert 0.0 <= belief.min() <= belief.max() <= 1.0
    assert np.array_equal(belief[1], belief[2])


@pytest.mark.parametrize("size", [1, 7, 16, 50])
def test_blocks_of_rows_give_the_same_bytes(name, case, size):
    features, _, codes = case
    whole = believe(evidence_of(features, codes), name=name)
    evidence = evidence_of(features, codes)
    parts = [believe(evidence, np.arange(i, min(i + size, len(codes))), name) for i in range(0, len(codes), size)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_same_seed_same_bytes_and_inputs_unchanged(name, case):
    features, _, codes = case
    before = features.copy()
    first = believe(evidence_of(features, codes, seed=5), name=name)
    second = believe(evidence_of(features, codes, seed=5), name=name)
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(features, before)


def test_permuting_images_permutes_the_belief(name, case):
    features, _, codes = case
    scores = np.random.default_rng(0).random(codes.shape).astype(np.float32)
    order = np.random.default_rng(1).permutation(len(codes))
    plain = believe(evidence_of(features, codes, scores=scores), name=name)
    permuted = believe(evidence_of(features[order], codes[order], scores=scores[order]), name=name)
    np.testing.assert_allclose(permuted, plain[order], atol=2e-6)


def test_permuting_classes_permutes_the_belief(name, case):
    features, _, codes = case
    scores = np.random.default_rng(0).random(codes.shape).astype(np.float32)
    order = np.random.default_rng(1).permutation(codes.shape[1])
    plain = believe(evidence_of(features, codes, scores=scores), name=name)
    permuted = believe(evidence_of(features, codes[:, order], scores=scores[:, order]), name=name)
    np.testing.assert_allclose(permuted, plain[:, order], atol=2e-6)


@pytest.mark.parametrize(("images", "classes"), [(1, 1), (1, 4), (9, 1), (2, 3)])
@pytest.mark.parametrize("code", [POSITIVE, NEGATIVE, UNKNOWN])
def test_tiny_and_uniform_tables(name, images, classes, code):
    features, _ = world(images=images, classes=classes)
    codes = np.full((images, classes), code, dtype=np.int8)
    belief = believe(evidence_of(features, codes, k=1.0), name=name)
    assert np.isfinite(belief).all()
    assert 0.0 <= belief.min() <= belief.max() <= 1.0
    assert believe(evidence_of(features, codes, k=1.0), np.zeros(0, dtype=np.int64), name).shape == (0, classes)


@pytest.mark.parametrize("kind", ["zeros", "equal", "half"])
def test_degenerate_features(name, kind):
    features, truth = world()
    made = {"zeros": features * 0, "equal": np.ones_like(features), "half": features.astype(np.float16)}[kind]
    assert np.isfinite(believe(evidence_of(made, single_positives(truth)), name=name)).all()


def test_class_without_positives_gets_zero_from_prototypes_and_scores_from_combined(case):
    features, _, codes = case
    codes = codes.copy()
    codes[:, 2][codes[:, 2] == POSITIVE] = UNKNOWN
    evidence = evidence_of(features, codes)
    assert (believe(evidence)[:, 2] == 0).all()
    assert np.array_equal(believe(evidence, name="combined")[:, 2], evidence.scores[:, 2])


def test_threads_do_not_change_the_bytes(tmp_path):
    program = (
        "import sys, numpy as np, faiss; faiss.omp_set_num_threads(int(sys.argv[1]));"
        "sys.path.insert(0, sys.argv[3]); from propose_worlds import *; from spml_annotate.propose import PROPOSERS;"
        "f, t, c = partly_known(images=700, classes=4, width=96);"
        "b = PROPOSERS['prototypes'].function(evidence_of(f, c), np.arange(700));"
        "open(sys.argv[2], 'wb').write(b.tobytes())"
    )
    results = []
    for threads in ("1", "2", "5"):
        path = tmp_path / threads
        here = str(__import__("pathlib").Path(__file__).parent)
        subprocess.run([sys.executable, "-c", program, threads, str(path), here], check=True)
        results.append(path.read_bytes())
    assert results[0] == results[1] == results[2]


def test_prototypes_rank_hidden_positives_above_hidden_negatives():
    features, truth = world(images=400)
    codes = single_positives(truth)
    belief = believe(evidence_of(features, codes, k=float(truth.sum(1).mean())))
    hidden = codes == UNKNOWN
    present, absent = belief[hidden & (truth == 1)], belief[hidden & (truth == 0)]
    wins = (present[:, None] > absent[None, :]).mean()
    assert wins > 0.8
    assert np.isclose(belief[hidden].sum(), truth[hidden].sum(), rtol=0.1)


def test_a_near_no_lowers_the_belief_and_a_checked_yes_raises_it():
    features, truth = world(images=200, noise=0.2)
    codes = single_positives(truth)
    row, label = (int(i) for i in np.argwhere((codes == UNKNOWN) & (truth == 1))[0])
    twin = np.concatenate([features, features[row : row + 1] + 1e-3])

    def belief_with(line):
        evidence = evidence_of(twin, np.concatenate([codes, line[None]]))
        return believe(evidence, np.array([row]))[0, label]

    nothing = np.full(codes.shape[1], UNKNOWN, dtype=np.int8)
    no, yes = nothing.copy(), truth[row].copy()
    no[label] = NEGATIVE
    assert belief_with(no) < 0.5 * belief_with(nothing)
    assert belief_with(yes) > belief_with(no)
    assert belief_with(yes) > belief_with(nothing)


def test_an_image_does_not_vouch_for_itself():
    """The belief about a known positive must not come from that very answer."""
    features, truth = world(images=60)
    codes = np.full(truth.shape, UNKNOWN, dtype=np.int8)
    codes[:10, 0] = POSITIVE
    codes[20, 1] = POSITIVE
    evidence = evidence_of(features, codes)
    belief = believe(evidence)
    assert belief[20, 1] == 0.0
    assert belief[21:, 1].max() > 0.0


def test_leaving_an_image_out_equals_building_without_it():
    features, truth = world(images=80, classes=3)
    codes = single_positives(truth)
    bank = prototype_bank(evidence_of(features, codes), per_class=2, exact_limit=1000)
    row, number = bank.homes[0]
    mates = bank.homes[(bank.homes[:, 1] == number) & (bank.homes[:, 0] != row), 0]
    vectors = bank.space.vectors(mates).astype(np.float64)
    wanted = vectors.mean(0) / np.linalg.norm(vectors.mean(0)) @ bank.space.vectors(np.array([row]))[0]
    similarity, position = bank.nearest(np.array([row]), bank.space.vectors(np.array([row])), 100)
    assert similarity[0, position[0] == number] == pytest.approx(wanted, abs=1e-5)


def test_the_bank_is_built_once():
    features, truth = world()
    evidence = evidence_of(features, single_positives(truth))
    first = prototype_bank(evidence, per_class=4, exact_limit=100)
    assert prototype_bank(evidence, per_class=4, exact_limit=100) is first
    assert prototype_bank(evidence, per_class=5, exact_limit=100) is not first


def test_prototypes_per_class_are_limited_and_stand_for_all_positives():
    features, truth = world(images=300)
    codes = single_positives(truth)
    bank = prototype_bank(evidence_of(features, codes), per_class=4, exact_limit=1000)
    assert np.bincount(bank.labels).max() <= 4
    stands_for = np.bincount(bank.labels, bank.counts)
    np.testing.assert_allclose(stands_for, (codes == POSITIVE).sum(0))


def test_inverted_lists_find_most_of_the_exact_neighbours_and_repeat():
    vectors = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = build_index(vectors, exact_limit=5000, seed=1).search(vectors[:50], 10)[1]
    first = build_index(vectors, exact_limit=100, seed=1).search(vectors[:50], 10)[1]
    again = build_index(vectors, exact_limit=100, seed=1).search(vectors[:50], 10)[1]
    assert np.array_equal(first, again)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, first, strict=True)]) > 0.6


def test_the_approximate_index_serves_the_proposer_in_blocks():
    features, truth = world(images=300)
    codes = single_positives(truth)
    whole = believe(evidence_of(features, codes), exact_limit=16, per_class=8)
    evidence = evidence_of(features, codes)
    parts = [believe(evidence, np.arange(i, i + 50), exact_limit=16, per_class=8) for i in range(0, 300, 50)]
    assert np.isfinite(whole).all()
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("prototypes", {"per_class": 0}),
        ("prototypes", {"neighbours": -1}),
        ("prototypes", {"temperature": 0.0}),
        ("prototypes", {"reach": float("nan")}),
        ("combined", {"prototype_weight": 1.5}),
    ],
)
def test_settings_out_of_range(name, settings):
    features, truth = world(images=20)
    with pytest.raises(SettingError, match=next(iter(settings))):
        believe(evidence_of(features, single_positives(truth)), name=name, **settings)


def test_combined_follows_its_weight():
    features, truth = world()
    evidence = evidence_of(features, single_positives(truth))
    for weight, source in ((0.0, "ema"), (1.0, "prototypes")):
        mixed, pure = believe(evidence, name="combined", prototype_weight=weight), believe(evidence, name=source)
        np.testing.assert_allclose(mixed, np.clip(pure, 1e-3, 1 - 1e-3), atol=1e-5)


def test_scores_of_half_precision_on_disk(tmp_path):
    features, truth = world()
    codes = single_positives(truth)
    stored = np.memmap(tmp_path / "scores", dtype=np.float16, mode="w+", shape=codes.shape)
    stored[:] = np.random.default_rng(0).random(codes.shape)
    plain = evidence_of(features, codes)
    evidence = Evidence(features, plain.labels, stored, plain.priors)
    assert np.array_equal(believe(evidence, np.array([4, 2]), "ema"), np.asarray(stored[[4, 2]], dtype=np.float32))


def test_importing_proposals_loads_nothing_heavy():
    program = (
        "import sys, spml_annotate.propose as p; assert p.PROPOSERS.kind == 'proposer'; p.propose; list(p.PROPOSERS);"
        "heavy = {'torch', 'faiss', 'pandas', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
