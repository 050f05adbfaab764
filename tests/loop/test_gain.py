"""The chosen arm beside the random one: figures, intervals, heads, and the command."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from spml_annotate.cli import main
from spml_annotate.labels import Observation
from spml_annotate.loop.gain import as_json, gain_summary, report_gain
from spml_annotate.loop.links import MAIN, Exposure, LinkStore, Said, TaskRow
from spml_annotate.project import Project
from spml_annotate.server.arms import ArmCollector
from spml_annotate.stores.images import VALIDATION
from spml_annotate.workspace import FeatureSettings


def exposure(task, arm, seconds, given, surprise=None, annotator="ls:a"):
    return Exposure(task, annotator, "v", False, (), given, False, seconds, float(task), arm, surprise)


def answered(links, link, exposures):
    """Note what was shown, and that the answers stand."""
    links.expose(link.id, exposures)
    links.note(link.id, [Said(one.task, one.annotator, one.task, "2026", {}, one.seconds) for one in exposures])


@pytest.fixture
def plain(tmp_path):
    """A project without anything; (project, links, link)."""
    with Project.create(tmp_path / "project", ["a", "b"]) as project:
        links = LinkStore(tmp_path / "project")
        yield project, links, links.add("http://ls", 7, "2026", MAIN, "<View/>")
        links.close()


def test_figures_by_hand(plain):
    project, links, link = plain
    answered(
        links,
        link,
        [
            exposure(1, "chosen", 4.0, (0,), 2.0),
            exposure(2, "chosen", 8.0, (0, 1), 1.0),
            exposure(3, "chosen", 0.0, (1,), 3.0),  # not measured: no part of any rate per time
            exposure(4, "random", 6.0, (0,), 0.5),
            exposure(5, "random", 6.0, ()),  # skipped: it cost its seconds all the same
        ],
    )
    gain = report_gain(project.workspace, links, link)
    assert (gain.chosen.answers, gain.chosen.positives, gain.random.answers, gain.random.positives) == (3, 4, 2, 1)
    assert gain.chosen.hours == pytest.approx(12 / 3600)
    assert gain.chosen.positives_per_hour.value == pytest.approx(3 * 3600 / 12)
    assert gain.random.positives_per_hour.value == pytest.approx(300)
    assert gain.ratio.value == pytest.approx(3.0)
    assert gain.chosen.surprise.value == pytest.approx(2.0)
    assert gain.chosen.per_minute.value == pytest.approx(3.0 * 60 / 12)
    assert gain.random.per_minute.value == pytest.approx(5.0)
    assert gain.surprise.value == pytest.approx(1.5)
    assert gain.surprise.low is None  # five answers allow no interval
    assert gain.heads is None
    assert "checked sample" in gain.missing
    short = gain_summary(links, link)
    assert short["chosen"]["positives_per_hour"] == pytest.approx(900)
    assert short["random"]["surprise_per_minute"] == pytest.approx(5.0)
    served = SimpleNamespace(folder=project.workspace.root, links=links, main=lambda: link)
    families = {one.name: one for one in ArmCollector(SimpleNamespace(served=lambda: [served])).collect()}
    rates = {one.labels["arm"]: one.value for one in families["spml_arm_positives_per_hour"].samples}
    assert rates == {"chosen": pytest.approx(900), "random": pytest.approx(300)}


def test_answers_that_are_gone_do_not_count(plain):
    project, links, link = plain
    answered(links, link, [exposure(n, "chosen", 5.0, (0,)) for n in range(4)])
    links.note(link.id, [], [(1, "ls:a"), (3, "ls:a")])
    gain = report_gain(project.workspace, links, link)
    assert (gain.chosen.answers, gain.chosen.positives) == (2, 2)
    assert gain_summary(links, link)["chosen"]["hours"] == pytest.approx(10 / 3600)


def test_nothing_answered_yet(plain):
    project, links, link = plain
    gain = report_gain(project.workspace, links, link)
    assert gain.chosen.answers == 0
    assert gain.ratio.value is None
    assert gain_summary(links, link)["chosen"]["positives_per_hour"] is None
    assert json.loads(json.dumps(as_json(gain)))["surprise"] == {"value": None, "low": None, "high": None}


def test_intervals_hold_the_truth_about_as_often_as_they_say(plain):
    project, links, link = plain
    held = 0
    for trial in range(40):
        chance = np.random.default_rng(trial)
        answered(
            links,
            link,
            [
                exposure(n, arm, float(chance.gamma(4, rate)), (0,), float(chance.exponential(rate)))
                for n, (arm, rate) in enumerate([("chosen", 1.0), ("random", 2.0)] * 40)
            ],
        )
        gain = report_gain(project.workspace, links, link, seed=trial)
        held += gain.ratio.low < 2.0 < gain.ratio.high
        held += gain.surprise.low < -1.0 < gain.surprise.high
    assert 66 <= held <= 80  # of 80, 76 expected


def kinds_project(folder) -> Project:
    """Eighty pictures of four kinds (row % 4) that made-up features tell apart; the last twenty are checked."""
    (folder / "pictures").mkdir()
    for row in range(80):
        Image.new("RGB", (4, 4), (row, 0, 0)).save(folder / "pictures" / f"{row:02d}.png")
    project = Project.create(folder / "project", ["a", "b", "c", "d"])
    project.add_images(folder / "pictures")
    workspace = project.workspace
    with workspace.writing("test"):
        values = np.eye(16)[np.arange(80) % 4] + np.random.default_rng(0).normal(size=(80, 16)) * 0.2
        with workspace.features.writer("made-up", workspace.images.fingerprint, 80, 16, backbone="made-up") as writer:
            writer.write(0, values)
            writer.commit()
        workspace.update(features=FeatureSettings("made-up", backbone="made-up"))
        workspace.images.set_split(range(60, 80), VALIDATION)
    project.observe(
        Observation(row, label, "yes" if row % 4 == label else "no") for row in range(60, 80) for label in range(4)
    )
    return project


def test_heads_on_equally_many_answers_of_each_arm(tmp_path):
    with kinds_project(tmp_path) as project:
        links = LinkStore(project.workspace.root)
        link = links.add("http://ls", 7, "2026", MAIN, "<View/>")
        links.put_tasks(link.id, [TaskRow(100 + row, row, "", {}) for row in range(80)])
        chosen = [exposure(100 + row, "chosen", 5.0, (row % 4,), 1.0) for row in range(40)]
        # what the random arm was told here is of no use, so its heads must be worse
        useless = [exposure(100 + row, "random", 5.0, ((row // 4) % 4,), 1.0) for row in range(40, 62)]
        answered(links, link, chosen + useless)
        gain = report_gain(project.workspace, links, link, draws=4)
        assert report_gain(project.workspace, links, link, draws=4) == gain
        links.close()
    assert gain.heads is not None
    assert (gain.heads.answers, gain.heads.sample, gain.heads.draws) == (20, 20, 4)  # two of 22 are in the sample
    assert gain.heads.chosen.value > 0.6
    assert gain.heads.difference.low > 0.2
    shown = CliRunner().invoke(main, ["report-gain", "--project", str(tmp_path / "project"), "--draws", "2"])
    assert shown.exit_code == 0
    assert "mAP of heads" in shown.output
    assert "20 answers of each side" in shown.output
    table = [line for line in shown.output.splitlines() if "  " in line]
    assert {len(line) - len(line.rstrip()) for line in table} == {0}
    assert all(") " in line + " " for line in table if ")" in line)


def test_the_command_as_json_and_without_label_studio(plain, tmp_path):
    _, links, link = plain
    answered(links, link, [exposure(1, "chosen", 4.0, (0,), 2.0)])
    folder = str(tmp_path / "project")
    found = CliRunner().invoke(main, ["report-gain", "--project", folder, "--json"])
    assert found.exit_code == 0
    assert json.loads(found.output)[0]["chosen"]["positives_per_hour"]["value"] == 900.0
    Project.create(tmp_path / "other", ["a"]).close()
    shown = CliRunner().invoke(main, ["status", "--project", folder])
    assert "chosen: 1 answers, 900 positives an hour, 2.00 nats each; random: 0 answers" in shown.output
    refused = CliRunner().invoke(main, ["report-gain", "--project", str(tmp_path / "other")])
    assert refused.exit_code == 2
    assert "studio create" in refused.output
