"""The loop with an oracle instead of a person: ask, answer, collect; the same code that simulates."""

import numpy as np

from spml_annotate.labels import UNKNOWN
from spml_annotate.oracles.simulated import SimulatedOracle


def test_a_simulated_annotator_answers_a_project(world, project):
    project.train(epochs=2, device="cpu")
    rows = [world.dataset.image_ids.index(name) for name in project.image_ids]
    truth = world.dataset.truth[rows]
    before = project.labels.known
    asked = project.ask("expected-positives:list", budget=60.0)
    oracle = SimulatedOracle(truth, np.full(len(truth), -1))
    oracle.ask([question.query for question in asked.new])
    new = project.collect(oracle)
    codes = project.labels.dense()
    assert new > 0
    assert project.labels.known == before + new
    assert (codes == truth)[codes != UNKNOWN].all()
    assert project.collect(oracle) == 0
    assert not project.open_questions()


def test_score_gives_every_embedded_image_its_scores(project):
    project.train(epochs=2, device="cpu")
    assert np.array_equal(project.score(), project.scores())
    assert project.score().shape == project.labels.shape
