"""The folder of a sweep: finished ones are not run again, other people's files stay, old results do not mislead."""

from dataclasses import replace

import numpy as np
import pytest

from spml_annotate.acquire import Prices
from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.formats.dataset import Dataset
from spml_annotate.labels import LabelMatrix
from spml_annotate.simulate import report
from spml_annotate.simulate.plan import Plan
from spml_annotate.simulate.runs import simulate
from spml_annotate.simulate.state import OUTPUTS, check_out
from spml_annotate.taxonomy import Taxonomy


def small(images=40, classes=4):
    rng = np.random.default_rng(0)
    truth = (rng.random((images, classes)) < 0.4).astype(np.int8)
    truth[~truth.any(axis=1), 0] = 1
    split = np.arange(images).astype(np.int8) % 3
    names, ids = tuple(f"class {i}" for i in range(classes)), tuple(map(str, range(images)))
    features = rng.normal(size=(images, 5)).astype(np.float32)
    return Dataset("small", Taxonomy(names), ids, LabelMatrix.from_dense(truth), split, features)


def plan(**changes):
    return Plan(**{"losses": ("an",), "strategies": ("random-pairs",), "seeds": 1, "rounds": 1, "epochs": 2, **changes})


def run(out, **options):
    rounds = []
    changes = options.pop("changes", {})
    summary = simulate(small(), plan(**changes), out, device="cpu", after_round=rounds.append, **options)
    return summary, rounds


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


class StoppedError(Exception):
    pass


def test_a_finished_sweep_is_not_run_again(tmp_path):
    summary, rounds = run(tmp_path)
    before = contents(tmp_path)
    assert rounds == [0, 1, 2]
    assert set(before) == {*OUTPUTS, "plan.json"}
    again, rounds = run(tmp_path, resume=True)
    assert rounds == []
    assert again["plan"] == summary["plan"]
    assert len(again["curves"]) == len(summary["curves"])
    assert contents(tmp_path) == before
    assert not (tmp_path / "state").exists()
    (tmp_path / "curves.png").unlink()  # not whole any more: run again
    assert run(tmp_path, resume=True)[1] == [0, 1, 2]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("place", ["draw", "_page"])
def test_stopped_while_the_results_are_written_it_resumes_with_the_same_bytes(tmp_path, monkeypatch, place):
    run(tmp_path / "whole")

    def stop(*_):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(report, place, stop)
        with pytest.raises(StoppedError):
            run(tmp_path / "broken")
    (tmp_path / "broken" / ".curves.csv.0123.tmp").write_text("half")  # as a killed process leaves it
    _, rounds = run(tmp_path / "broken", resume=True)
    assert rounds == []
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_files_of_others_in_the_state_folder_are_left_alone(tmp_path):
    (tmp_path / "state" / "deeper").mkdir(parents=True)
    (tmp_path / "state" / "thesis.txt").write_text("years of work")
    (tmp_path / "state" / "round-000.npz").write_text("of an older sweep")
    run(tmp_path)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["deeper", "thesis.txt"]
    assert (tmp_path / "curves.csv").exists()


def test_overwritten_results_go_before_the_new_sweep_starts(tmp_path):
    def stop(_):
        raise StoppedError

    run(tmp_path)
    changes = {"epochs": 3}
    with pytest.raises(StoppedError):
        simulate(small(), plan(**changes), tmp_path, device="cpu", overwrite=True, after_round=stop)
    assert set(contents(tmp_path)) == {"plan.json"}
    assert run(tmp_path, resume=True, changes=changes)[1] == [1, 2]


def test_an_overwritten_sweep_starts_afresh_even_when_it_may_resume(tmp_path):
    def stop(_):
        raise StoppedError

    with pytest.raises(StoppedError):
        simulate(small(), plan(), tmp_path, device="cpu", after_round=stop)
    assert run(tmp_path, resume=True, overwrite=True, changes={"epochs": 3})[1] == [0, 1, 2]
    (tmp_path / "plan.json").write_text("{")
    assert run(tmp_path, overwrite=True)[1] == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed -1"),
        ({"prices": Prices(pick=0)}, "pick = 0"),
        ({"prices": Prices(open=0, glance=0)}, "open = glance = 0"),
        ({"rounds": -1}, "must be positive"),
    ],
)
def test_a_plan_that_cannot_be_drawn_is_one_clear_line(changes, message):
    with pytest.raises(SettingError, match=message):
        plan(**changes)


@pytest.mark.parametrize(
    "prices", [Prices(verify=0, view=0), Prices(open=0, fix=0), Prices(another=0), Prices(pick=900)]
)
def test_answers_that_cost_nothing_are_no_obstacle(tmp_path, prices):
    summary, _ = run(tmp_path, changes={"prices": prices, "strategies": ("random-pairs", "expected-positives:list")})
    assert len(summary["curves"]) == 3
    assert all(np.isfinite(entry["hours_to_everything"]) for entry in summary["curves"])


def test_an_unusable_folder_is_found_before_the_images_are_embedded(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("no folder")
    data = replace(small(), features=None)
    with pytest.raises(DataError, match="cannot write there"):
        check_out(taken, plan().outline(data), overwrite=False)
    run(tmp_path / "out")
    assert check_out(tmp_path / "out", plan().outline(data), overwrite=False) == []
    with pytest.raises(MismatchError, match=r"holds another simulation \(epochs differ\)"):
        check_out(tmp_path / "out", plan(epochs=3).outline(data), overwrite=False)
    assert check_out(tmp_path / "out", plan(epochs=3).outline(data), overwrite=True) == ["epochs"]


def test_the_command_looks_at_the_folder_before_it_embeds(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from spml_annotate.cli import main
    from spml_annotate.embed import images

    taken = tmp_path / "file"
    taken.write_text("no folder")
    embedded = []
    monkeypatch.setattr(images, "extract", lambda *rest, **more: embedded.append(rest))
    done = CliRunner().invoke(main, ["simulate", "--out", str(taken / "deeper")])
    assert done.exit_code == 2
    assert "cannot write there" in done.stderr
    assert embedded == []
