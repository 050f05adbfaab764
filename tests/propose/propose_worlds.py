"""Small made-up worlds with known truth: classes are directions, images are sums of theirs and noise."""

from __future__ import annotations

import numpy as np

from spml_annotate.labels import POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.propose import Evidence, estimate_priors


def world(images=120, classes=6, width=12, positives=2.0, noise=0.4, seed=0):
    """(features float32 [N, D], truth int8 [N, L])."""
    draw = np.random.default_rng(seed)
    truth = (draw.random((images, classes)) < positives / classes).astype(np.int8)
    truth[np.arange(images), draw.integers(0, classes, images)] = 1
    directions = draw.normal(size=(classes, width))
    features = truth @ directions + noise * draw.normal(size=(images, width))
    return features.astype(np.float32), truth


def single_positives(truth, seed=0):
    """One positive per image, the rest unknown."""
    draw = np.random.default_rng(seed)
    codes = np.full(truth.shape, UNKNOWN, dtype=np.int8)
    for row, line in enumerate(truth):
        codes[row, draw.choice(np.flatnonzero(line == POSITIVE))] = POSITIVE
    return codes


def evidence_of(features, codes, *, scores=None, k=2.0, seed=0):
    """Evidence with scores that know a little when none are given."""
    labels = LabelMatrix.from_dense(codes)
    if scores is None:
        scores = np.random.default_rng(3).random(codes.shape).astype(np.float32)
    prior = estimate_priors(labels, expected_positives=min(k, codes.shape[1]))
    return Evidence(features, labels, scores, prior.priors, seed)


def partly_known(seed=0, **sizes):
    """Features, truth and codes: single positives, a tenth fully checked, some further cells verified."""
    features, truth = world(seed=seed, **sizes)
    codes = single_positives(truth, seed)
    draw = np.random.default_rng(seed + 1)
    checked = draw.random(len(truth)) < 0.1
    codes[checked] = truth[checked]
    verified = draw.random(truth.shape) < 0.05
    codes[verified] = truth[verified]
    return features, truth, codes
