"""Comparing many losses: which ones, at which learning rate, in which order, and what is drawn of them."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from test_simulate import OUTPUTS, made_up, quick

from spml_annotate.cli import main
from spml_annotate.datasets.single import single_positives
from spml_annotate.errors import SettingError
from spml_annotate.formats.dataset import TRAIN, VALIDATION, Dataset
from spml_annotate.formats.features_npz import save_features
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.simulate import training
from spml_annotate.simulate.plan import LEARNING_RATES
from spml_annotate.simulate.references import drawn_negatives, every_loss, left_out, told, with_told
from spml_annotate.simulate.runs import simulate
from spml_annotate.training import HeadRun, fit_heads

RATES = (1e-4, 1e-2)
TRIED = {"losses": ("an", "en", "iu"), "rounds": 1, "learning_rates": RATES}


class StoppedError(Exception):
    pass


def rows_of(out):
    with (out / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_loss_is_compared_or_left_out_with_its_reason():
    assert sorted([*every_loss(), *left_out()]) == sorted(LOSSES)
    assert list(every_loss()) == [name for name in LOSSES if name in every_loss()]
    assert "strong" in left_out()["scpnet"]
    assert {name: told(name) for name in ("an", "iu", "iun")} == {
        "an": "",
        "iu": "a true negative per image",
        "iun": "every true negative",
    }


def test_a_reference_is_told_one_negative_where_it_knows_none():
    truth = made_up().truth
    truth[5] = POSITIVE  # an image without a negative
    codes = np.full_like(truth, UNKNOWN)
    codes[np.arange(100), truth[:100].argmax(axis=1)] = POSITIVE
    known = np.flatnonzero(truth[0] == NEGATIVE)[0]
    codes[0, known] = NEGATIVE
    drawn = drawn_negatives(truth, 3)
    added = (with_told("iu", codes, truth, drawn) != codes).sum(axis=1)
    assert added[1:100].tolist() == [0 if row == 5 else 1 for row in range(1, 100)]
    assert added[0] == 0  # somebody said one
    assert (added[100:] == 0).all()  # nothing is known of these images
    rows = np.flatnonzero(drawn >= 0)
    assert (truth[rows, drawn[rows]] == NEGATIVE).all()
    assert drawn[5] == -1
    assert not np.array_equal(drawn, drawn_negatives(truth, 4))


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    out = tmp_path_factory.mktemp("tried")
    return out, simulate(made_up(), quick(**TRIED), out, device="cpu")


def test_each_loss_takes_the_rate_that_is_best_on_validation_over_the_seeds(tried):
    _, summary = tried
    data = made_up()
    train, checked = data.rows(TRAIN), data.rows(VALIDATION)
    truth = data.truth[train]
    for entry in summary["losses"]:
        means = {}
        for rate in RATES:
            best = []
            for seed in (0, 1):
                codes = np.full_like(truth, UNKNOWN)
                codes[np.arange(len(train)), single_positives(data.truth, train, seed=seed)] = POSITIVE
                codes = with_told(entry["loss"], codes, truth, drawn_negatives(truth, seed))
                result = fit_heads(
                    data.features[train],
                    codes,
                    [HeadRun(entry["loss"], seed=seed, learning_rate=rate)],
                    validation=(data.features[checked], data.truth[checked]),
                    expected_positives=data.positives_per_image(VALIDATION),
                    epochs=4,
                    device="cpu",
                )
                best.append(result.validation_map[0].max())
            means[f"{rate:g}"] = np.mean(best)
        assert entry["validation_map"] == pytest.approx(means)
        assert f"{entry['learning_rate']:g}" == max(means, key=means.get)


def test_the_rate_is_kept_for_all_rounds_and_strategies(tried):
    out, summary = tried
    chosen = {entry["loss"]: entry["learning_rate"] for entry in summary["losses"]}
    for row in rows_of(out):
        assert float(row["learning_rate"]) == pytest.approx(chosen[row["loss"]])
    assert json.loads((out / "plan.json").read_text())["learning_rates"] == list(RATES)


def test_a_rate_among_several_gives_what_it_gives_alone(tried, tmp_path):
    out, summary = tried
    chosen = {entry["loss"]: entry["learning_rate"] for entry in summary["losses"]}
    simulate(made_up(), quick(losses=("an",), rounds=1, learning_rate=chosen["an"]), tmp_path, device="cpu")
    alone = [row["map"] for row in rows_of(tmp_path)]
    together = [row["map"] for row in rows_of(out) if row["loss"] == "an"]
    np.testing.assert_allclose(np.array(alone, float), np.array(together, float), atol=1e-3)


@pytest.mark.parametrize("after", [0, 1])
def test_with_tried_rates_it_resumes_to_the_same_bytes(tried, tmp_path, after):
    def stop(number):
        if number == after:
            raise StoppedError

    with pytest.raises(StoppedError):
        simulate(made_up(), quick(**TRIED), tmp_path, device="cpu", after_round=stop)
    simulate(made_up(), quick(**TRIED), tmp_path, device="cpu", resume=True)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (tried[0] / name).read_bytes(), name


def test_rates_without_validation_images_are_refused(tmp_path):
    data = made_up()
    split = np.where(data.split == VALIDATION, TRAIN, data.split)
    bare = Dataset("bare", data.taxonomy, data.image_ids, data.labels, split, data.features)
    with pytest.raises(SettingError, match="bare has none with a positive label; give one rate"):
        simulate(bare, quick(learning_rates=RATES), tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())


def test_calls_that_fit_into_memory_change_nothing(tried, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "MEMORY", 3 * (80 * 8 * training._PER_CELL + 12 * 8 * training._PER_WEIGHT))
    simulate(made_up(), quick(**TRIED), tmp_path, device="cpu")
    ours, theirs = rows_of(tmp_path), rows_of(tried[0])
    for column in ("map", "validation_map", "learning_rate"):
        np.testing.assert_allclose([float(r[column]) for r in ours], [float(r[column]) for r in theirs], atol=2e-3)


def test_as_published_trains_on_other_labels_and_is_recorded(tmp_path):
    plans = {flag: quick(losses=("an", "ll-r"), seeds=1, rounds=1, as_published=flag) for flag in (True, False)}
    for flag, plan in plans.items():
        simulate(made_up(), plan, tmp_path / str(flag), device="cpu")
    ours, theirs = rows_of(tmp_path / "True"), rows_of(tmp_path / "False")
    single = [r["map"] == t["map"] for r, t in zip(ours, theirs, strict=True) if r["labels"] == "SPL"]
    later = [
        r["map"] == t["map"] for r, t in zip(ours, theirs, strict=True) if r["loss"] == "ll-r" and r["round"] != "0"
    ]
    assert all(single)
    assert not all(later)
    assert json.loads((tmp_path / "True" / "summary.json").read_text())["plan"]["as_published"] is True
    assert "as_published" not in json.loads((tmp_path / "False" / "summary.json").read_text())["plan"]
    assert "read as unknown, as published" in (tmp_path / "True" / "report.html").read_text("utf-8")


def command(tmp_path, *more):
    data = tmp_path / "data.npz"
    if not data.exists():
        save_features(data, made_up())
    given = ["simulate", str(data), "--device", "cpu", "--epochs", "2", "--seeds", "2", "--out", str(tmp_path / "out")]
    return CliRunner().invoke(main, [*given, *more])


def test_all_losses_in_one_command(tmp_path):
    done = command(tmp_path, "--loss", "all", "--rounds", "0", "--learning-rate", "0.001,0.01")
    assert done.exit_code == 0, done.output
    assert "left out" in done.stderr
    assert "scpnet, lac (a strongly augmented view)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    lines = done.stdout.splitlines()
    names = [line.split()[0] for line in lines[2 : 2 + len(every_loss())]]
    assert sorted(names) == sorted(every_loss())
    references = [bool(told(name)) for name in names]
    assert references == sorted(references)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [entry["loss"] for entry in summary["losses"]] == names
    reached = [entry["map_single"] for entry in summary["losses"] if not entry["told"]]
    assert reached == sorted(reached, reverse=True)
    assert "aubc" not in summary["losses"][0]
    assert (tmp_path / "out" / "curves.png").stat().st_size > 10_000
    assert max(map(len, lines[:-1])) <= 120  # as wide as a terminal; the last line holds a path
    assert "test mAP, mean ± standard deviation over the seeds" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Each mark is the mean over the seeds" in page  # the figure has no bands
    assert page.index("Losses side by side") < page.index("Losses and strategies")


def test_many_losses_over_rounds_are_ranked_by_their_curves(tmp_path):
    done = command(tmp_path, "--loss", "all", "--rounds", "1", "--strategy", "random-pairs")
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    areas = [entry["aubc"] for entry in summary["losses"] if not entry["told"]]
    assert areas == sorted(areas, reverse=True)
    picture = (tmp_path / "out" / "curves.svg").read_text("utf-8")
    assert picture.count("<svg") == 1
    assert "AUBC" in done.stdout.splitlines()[0]
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 120
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Each line is the mean over the seeds. " in page  # many losses are drawn without bands


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--learning-rate", "fast"), "write a number, several with commas, or auto"),
        (("--learning-rate", "0.1,-1"), "learning rate -1.0"),
        (("--loss", "vlpl"), "vlpl needs a vision-language model's pseudo-labels, which stored features do not give"),
        (("--loss", "all", "--loss", "vlpl"), "vlpl needs a vision-language model's pseudo-labels"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path, more, message):
    done = command(tmp_path, *more)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]


def test_auto_is_four_rates():
    assert LEARNING_RATES == (3e-4, 1e-3, 3e-3, 1e-2)
