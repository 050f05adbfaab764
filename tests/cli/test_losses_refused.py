"""`train` with losses that the labels do not suffice for, and with known negatives read as unknown."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from project_world import give_features

from spml_annotate.cli import main
from spml_annotate.labels import Observation
from spml_annotate.losses import LOSSES
from spml_annotate.project import Project
from spml_annotate.training.inputs import resolve


def run(project, *arguments):
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, [*given, "--project", str(project.workspace.root)])


def train(project, loss, *more):
    return run(project, "train", "--loss", loss, "--epochs", 2, "--device", "cpu", *more)


@pytest.fixture
def answered(world, project):
    """The project after half of its cells were answered truthfully."""
    rng = np.random.default_rng(0)
    truth = world.dataset.truth[[world.dataset.image_ids.index(name) for name in project.image_ids]]
    cells = np.argwhere(rng.random(truth.shape) < 0.5)
    said = [Observation(int(r), int(c), "yes" if truth[r, c] == 1 else "no") for r, c in cells]
    project.observe(one._replace(event=f"e{number}") for number, one in enumerate(said))
    return project


REFUSED = [name for name in LOSSES if LOSSES[name].facts["needs_negatives"] or LOSSES[name].facts["oracle"]] + [
    name for name in LOSSES if resolve(name).unsupplied
]


@pytest.mark.parametrize("loss", REFUSED)
def test_single_positives_do_not_suffice_for_every_loss(project, loss):
    done = train(project, loss)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert loss in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((project.workspace.root / "models").glob("0*"))  # no model was begun


def test_an_oracle_is_refused_whatever_is_known(answered):
    done = train(answered, "iun")
    assert done.exit_code == 2
    assert "every true negative" in done.stderr


def test_with_negatives_the_others_train(answered):
    for loss in ("bce", "partial-bce"):
        done = train(answered, loss)
        assert done.exit_code == 0, done.output


def test_a_class_without_negatives_is_warned_of(project, caplog):
    project.observe([Observation(0, 3, "no", event="one")])
    assert train(project, "bce").exit_code == 0
    assert "classes have none: it will see them everywhere" in caplog.text


def test_as_published_forgets_negatives_and_says_so(answered):
    models = answered.workspace.root / "models"
    plain = train(answered, "an", "--as-published")
    assert "read as unknown" in plain.stdout
    asked = json.loads(train(answered, "ll-r", "--as-published", "--json").stdout)
    honoured = json.loads(train(answered, "ll-r", "--json").stdout)
    assert (asked["as_published"], honoured["as_published"]) == (True, False)
    facts = [json.loads((models / one["version"] / "settings.json").read_text()) for one in (asked, honoured)]
    assert [fact["as_published"] for fact in facts] == [True, False]
    assert facts[0]["key"] != facts[1]["key"]  # other weights


@pytest.fixture
def bare(world, tmp_path):
    """Images with features, nothing known of any."""
    with Project.create(tmp_path / "bare", world.classes) as made:
        made.add_images(world.pictures)
        give_features(world, made)
        yield made


def test_negatives_alone_read_as_unknown_leave_nothing_and_that_is_said(bare):
    bare.observe([Observation(0, 3, "no", event="one"), Observation(1, 2, "no", event="two")])
    assert train(bare, "an").exit_code == 0
    done = train(bare, "an", "--as-published")
    assert done.exit_code == 2
    assert "the 2 known negatives are read as unknown, and no positive is known" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert train(bare, "bce", "--as-published").exit_code == 0  # it needs them, and keeps them


@pytest.mark.parametrize(
    ("loss", "setting", "message"),
    [
        ("en", "momentum=2", "momentum: 2.0 is no share"),
        ("en", "momentum=nan", "en.momentum: nan is not a number"),
        ("en", "momentum=fast", "en.momentum: 'fast' is not a number"),
        ("en", "momentm=0.9", "en has no setting 'momentm'; did you mean 'momentum'?"),
        ("en", "zz=1", "en has no setting 'zz'; choose from: "),
        ("en", "expected_positives=-1", "en.expected_positives: -1.0 positives per image; it must be above 0"),
        ("crisp", "confidence=0", "confidence: 0.0 is no probability"),
        ("sinr-slds", "epsilon=-1", "sinr-slds.epsilon: -1 must be finite and at least 0"),
        ("asl", "shift=1.5", "asl.shift: 1.5 must be between 0 and 1"),
        ("gr", "width_end=0", "gr.width_end: 0 must be finite and above 0"),
        ("dynamic-partial", "lead=1e6", "dynamic-partial.lead: 1e6 must be between 0 and 100"),
    ],
)
def test_settings_that_cannot_be_are_one_line(project, loss, setting, message):
    done = train(project, loss, "--set", f"{loss}.{setting}")
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_stored_features_do_not_give_is_said_in_words(project):
    assert "needs a strongly augmented view and a masked view" in train(project, "ignore").stderr


def test_a_k_set_for_the_loss_is_the_k_of_the_training(project):
    assert "k = 3.00 (" in train(project, "en", "--set", "en.expected_positives=3").stdout
    done = train(project, "en", "--set", "en.expected_positives=3", "--expected-positives", 4)
    assert done.exit_code == 2
    assert "differ; give one of them" in done.stderr
    assert "at most 80" in train(project, "en", "--set", "en.expected_positives=500").stderr
