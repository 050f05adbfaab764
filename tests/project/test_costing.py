"""Costs from a project's own log: which acts count, what they paid, and where the fitted prices go."""

import tomllib

import numpy as np
import pytest

from spml_annotate.acquire import PRICES, Prices, Query, load_prices
from spml_annotate.acquire.noise import uniform
from spml_annotate.datasets.single import single_positives
from spml_annotate.errors import DataError, MismatchError
from spml_annotate.labels import Observation
from spml_annotate.oracles.simulated import SimulatedOracle
from spml_annotate.project import Project
from spml_annotate.project.costing import fit_costs, save_prices
from spml_annotate.project.measuring import measured_acts
from spml_annotate.workspace import Asked, Workspace

TRUE = Prices(pick=4.0, another=2.5, verify=1.2, view=0.9, open=1.5, glance=0.3, fix=1.5)


@pytest.fixture
def blank(world, tmp_path):
    """The images and nothing known of them."""
    with Project.create(tmp_path / "blank", world.classes) as project:
        project.add_images(world.pictures)
        yield project


def all_kinds(world, prices):
    """Questions of every kind about every image, as a strategy would put them."""
    random = np.random.default_rng(0)
    rows, classes = world.dataset.truth.shape
    queries = []
    for row in range(rows):
        some = random.permutation(classes)[: int(random.integers(4, 11))]
        present = np.flatnonzero(world.dataset.truth[row] == 1)
        queries += [Query(row, (label,), "verify", (), prices.verify) for label in some[:2].tolist()]
        queries.append(Query(row, tuple(range(classes)), "pick", (), prices.pick))
        ticked = tuple({*present[:1].tolist(), int(some[0])} & set(some.tolist()))
        queries.append(Query(row, tuple(some.tolist()), "page", ticked, 6.0))
        half = tuple(range(row % 2, classes, 2))
        queries.append(Query(row, half, "exhaust", (), 15.0))
        queries.append(Query(row, tuple(range(classes)), "list", (), 10.0))
    return [query.named("test") for query in queries]


def answered(project, world, queries, *, noise=0.0, who="ann", seed=0, pace=1.0):
    """Put questions and answer them at the true prices; the noise of an act is the same for all its observations."""
    workspace = project.workspace
    workspace.questions.add([Asked(query, "strategy") for query in queries])
    truth = world.dataset.truth[[world.dataset.image_ids.index(name) for name in workspace.images.ids()]]
    oracle = SimulatedOracle(truth, single_positives(truth, np.arange(len(truth)), seed=0), prices=TRUE, annotator=who)
    oracle.ask(queries)
    random = np.random.default_rng(seed)
    factors = {query.id: pace * float(np.exp(noise * random.normal() - noise**2 / 2)) for query in queries}
    said = [item._replace(seconds=item.seconds * factors[item.question]) for item in oracle.answers()]
    assert project.observe(said) == len(said)


def test_acts_cost_what_their_uses_say(blank, world):
    queries = [query for query in all_kinds(world, TRUE) if query.row < 20]
    answered(blank, world, queries)
    measured = measured_acts(blank.workspace)
    assert {act.kind for act in measured.acts} == {"pick", "verify", "page", "exhaust", "list"}
    for act in measured.acts:
        expected = sum(getattr(TRUE, name) * times for name, times in act.uses.items())
        assert act.seconds == pytest.approx(expected), act
    assert len(measured.acts) + sum(measured.left_out.values()) == len(queries)


def test_prices_are_recovered_from_the_log(blank, world):
    for number, (who, pace) in enumerate([("ann", 0.8), ("bob", 1.2)]):
        queries = [q._replace(id=f"{q.id}-{who}") for q in all_kinds(world, TRUE)]
        answered(blank, world, queries, noise=0.4, who=who, seed=number, pace=pace)
    costs = fit_costs(blank.workspace)
    assert costs.applied
    assert costs.before == Prices()
    held = [price.low <= getattr(TRUE, price.name) <= price.high for price in costs.fit.prices if price.fitted]
    assert len(held) == 7
    assert sum(held) >= 6
    assert {pace.annotator: round(pace.factor, 1) for pace in costs.fit.paces} == {"ann": 0.8, "bob": 1.2}
    with Workspace.open(blank.workspace.root) as again:
        assert again.settings.prices == costs.prices == Prices(**costs.fit.seconds)
        assert again.settings.prices.verify == pytest.approx(TRUE.verify, rel=0.2)


def test_a_dry_run_changes_nothing(blank, world):
    answered(blank, world, all_kinds(world, TRUE))
    before = (blank.workspace.root / "spml.toml").read_bytes()
    costs = fit_costs(blank.workspace, apply=False)
    assert not costs.applied
    assert costs.prices.verify == pytest.approx(TRUE.verify, rel=0.05)
    assert (blank.workspace.root / "spml.toml").read_bytes() == before


def test_the_written_file_is_read_by_simulate(blank, world, tmp_path):
    answered(blank, world, all_kinds(world, TRUE))
    costs = fit_costs(blank.workspace, apply=False)
    save_prices(tmp_path / "prices.toml", costs)
    assert load_prices(tmp_path / "prices.toml") == costs.prices
    assert set(tomllib.loads((tmp_path / "prices.toml").read_text())["seconds"]) == set(PRICES)
    with pytest.raises(DataError, match="cannot write"):
        save_prices(tmp_path / "missing" / "prices.toml", costs)


def stream(row, labels, *, seconds=3.0, who="ls:ann@x.org", task=None, answer="yes", shown=(), event=""):
    """What the stream of Label Studio leaves in the log: one act, its seconds on the first observation."""
    task = row if task is None else task
    return [
        Observation(
            row, label, answer, who, "label-studio", seconds if place == 0 else 0.0, 100.0 + task,
            f"ls:ab12:{task}", label in shown, f"ls:ab12:{task}:{who}:{label}:{answer}{event}",
        )
        for place, label in enumerate(labels)
    ]  # fmt: skip


def test_the_stream_of_label_studio_is_picks(blank):
    noise = np.exp(0.3 * (uniform(0, np.arange(60), 1)[:, 0] - 0.5))
    for row in range(60):
        blank.observe(stream(row, [3], seconds=2.0 * float(noise[row]), shown=[3] if row < 25 else []))
    costs = fit_costs(blank.workspace)
    assert set(costs.fit.seconds) == {"pick"}
    assert costs.prices.pick == pytest.approx(2.0 * noise.mean(), rel=0.05)
    assert costs.prices.glance == Prices().glance
    assert costs.measured.picks_shown == 25
    assert any("25 of 60 picks took a class that was proposed" in line for line in costs.warnings)
    assert any("only 60 measured answers" in line for line in costs.warnings)


def test_what_says_nothing_of_a_price_is_left_out(blank):
    classes = len(blank.taxonomy)
    verify = Query(9, (4,), "verify", (), 1.7).named("test")
    listed = Query(10, (1, 2, 3), "list", (), 9.0).named("test")
    blank.workspace.questions.add([Asked(verify, "strategy"), Asked(listed, "strategy")])
    blank.observe(
        [
            *stream(0, [1]),
            *stream(1, [1], seconds=0.0),
            *stream(2, [1], seconds=60.0),
            *stream(3, range(classes), answer="skip"),
            *stream(4, [1]),
            *[said._replace(answer="retract", seconds=0.0, event=f"retract:{said.event}") for said in stream(4, [1])],
            *stream(4, [2], seconds=4.0),
            *[said._replace(question="answer:file:5") for said in stream(5, [1])],
            Observation(9, 4, "unsure", "ann", seconds=1.5, time=1.0, question=verify.id),
            Observation(10, 1, "yes", "ann", seconds=5.0, time=2.0, question=listed.id),
        ]
    )
    measured = measured_acts(blank.workspace)
    assert measured.left_out == {
        "not measured": 1,
        "left idle": 1,
        "skipped, or nothing could be told": 1,
        "changed or taken back": 1,
        "not an answer to a question": 1,
        "not finished": 1,
    }
    assert [(act.kind, act.uses) for act in measured.acts] == [
        ("verify", {"verify": 1.0, "view": 1.0}),
        ("pick", {"pick": 1.0}),
    ]


def test_words_that_are_only_moved_in_the_log_count(blank):
    """As reading Label Studio leaves them when somebody else's earlier answer comes late."""
    [said] = stream(0, [1])
    moved = [
        said._replace(answer="retract", seconds=0.0, event=f"retract:{said.event}"),
        said._replace(seconds=0.0, event=f"{said.event}#2"),
    ]
    late = stream(0, [1], who="ls:bob@x.org", seconds=4.0)
    blank.observe([said, *late, *moved])
    measured = measured_acts(blank.workspace)
    assert sorted((act.annotator, act.seconds) for act in measured.acts) == [
        ("ls:ann@x.org", 3.0),
        ("ls:bob@x.org", 4.0),
    ]
    assert measured.left_out == {}
    blank.observe([said._replace(answer="retract", seconds=0.0, event=f"retract:{said.event}#2")])
    assert measured_acts(blank.workspace).left_out == {"changed or taken back": 1}


def test_gaps_are_known_by_their_cut(blank):
    question = Query(0, tuple(range(80)), "exhaust", (), 40.0).named("test")
    blank.workspace.questions.add([Asked(question, "strategy")])
    blank.observe(
        [Observation(0, label, "no", "ann", "label-studio", 120.0 * (label == 0), 5.0, question.id) for label in (0, 1)]
    )
    assert measured_acts(blank.workspace).left_out == {"left idle": 1}


def test_a_stream_where_every_box_counts_is_full_checks(blank):
    classes = range(len(blank.taxonomy))
    rest = [said._replace(seconds=0.0) for said in stream(0, classes[2:], answer="no", shown=[2])]
    blank.observe([*stream(0, [0, 1], shown=[1, 2]), *rest])
    [act] = measured_acts(blank.workspace).acts
    assert act.kind == "exhaust"
    assert act.uses == {"open": 1.0, "glance": float(len(classes)), "fix": 2.0}


def test_negatives_on_the_screen_of_a_pick_are_paid_too(blank):
    blank.observe([*stream(0, [5]), *[said._replace(seconds=0.0) for said in stream(0, [6, 7], answer="no")]])
    [act] = measured_acts(blank.workspace).acts
    assert act.uses == {"pick": 1.0, "glance": 2.0, "fix": 2.0}


def test_ask_uses_them_and_prices_set_by_hand_stay_where_the_log_is_silent(blank):
    with blank.workspace.writing("test"):
        blank.workspace.update(seconds={"view": 0.4})
    for row in range(40):
        blank.observe(stream(row, [3], seconds=2.0))
    costs = fit_costs(blank.workspace)
    assert costs.prices.view == 0.4
    assert costs.prices.pick == pytest.approx(2.0, rel=0.01)
    assert dict(blank.workspace.settings.seconds) == {"view": 0.4, "pick": costs.prices.pick}
    asked = blank.ask_picks(budget=10 * costs.prices.pick)
    assert [question.query.seconds for question in asked.new] == [costs.prices.pick] * 10


def test_a_price_that_nobody_can_keep_is_doubted(blank):
    for row in range(40):
        blank.observe(stream(row, [3], seconds=0.02))
    costs = fit_costs(blank.workspace)
    assert any("`pick` comes out at 0.02 s" in line and "spml.toml" in line for line in costs.warnings)


def test_a_price_of_somebody_quick_is_not_doubted(blank):
    for row in range(40):
        blank.observe(stream(row, [3], seconds=1.0))
    assert not any("comes out at" in line for line in fit_costs(blank.workspace).warnings)


def test_too_few_acts_change_nothing(blank):
    for row in range(10):
        blank.observe(stream(row, [3]))
    costs = fit_costs(blank.workspace)
    assert not costs.applied
    assert costs.prices == Prices()
    assert any("no price was paid by 30 acts" in line for line in costs.warnings)
    assert fit_costs(blank.workspace, least=5).prices.pick == pytest.approx(3.0, rel=0.01)


def test_nothing_measured_is_one_clear_line(project, world):
    with pytest.raises(DataError, match="has usable seconds"):
        fit_costs(project.workspace)


def test_a_writer_elsewhere_is_respected(blank):
    for row in range(40):
        blank.observe(stream(row, [3]))
    with (
        Workspace.open(blank.workspace.root) as other,
        other.writing("train"),
        pytest.raises(MismatchError, match="is being written by another process"),
    ):
        fit_costs(blank.workspace)
