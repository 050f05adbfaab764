"""What is exported: choices, what excludes what, and that an export is there whole or not at all."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from project_world import embedded_copy

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.csv_table import load_csv
from spml_annotate.formats.open_images import load_open_images
from spml_annotate.formats.parquet import load_parquet
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, Observation
from spml_annotate.project.exporting import written
from spml_annotate.project.exporting.quality import judge


@pytest.fixture(scope="module")
def taught(world, tmp_path_factory):
    """Checked images, full checks of training images, a model, and what it proposes."""
    folder = tmp_path_factory.mktemp("taught")
    with embedded_copy(world, folder / "p") as project:
        project.answer(world.answers(project, [*project.ask_validation(30).new], folder / "v.csv"))
        project.train(epochs=25, learning_rate=0.05, weight_decay=0.01, loss="an", device="cpu")
        project.answer(world.answers(project, [*project.ask("random-images", budget=350).new], folder / "t.csv"))
        project.train(epochs=25, learning_rate=0.02, weight_decay=0.01, device="cpu")
        project.propose(precision=0.6)
        yield project


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", written())
def test_every_format_that_is_written_takes_the_project(taught, tmp_path, name):
    out = tmp_path / ("out" if FORMATS[name].facts["is_folder"] else f"out{(*FORMATS[name].facts['suffixes'], '')[0]}")
    done = taught.export(out, format=name)
    assert (done.format, done.images) == (name, 60)
    assert out.is_dir() == FORMATS[name].facts["is_folder"]
    assert Path(done.card).read_text().startswith("# Data card: p\n")
    assert bool(done.lost) == bool(done.side) == (tmp_path / f"{out.name}.lost.csv").exists()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    before = everything(tmp_path)
    taught.export(out, format=name)
    assert everything(tmp_path) == before


def test_proposals_below_a_confidence_are_left_out(taught, tmp_path):
    every = load_parquet(taught.export(tmp_path / "all").path)
    sure = load_parquet(taught.export(tmp_path / "sure", min_confidence=0.99).path)
    machine = every.sources != "human"
    certainty = np.where(every.values == POSITIVE, every.scores, 1 - every.scores)[machine]
    assert 0 < (sure.sources != "human").sum() == (certainty >= np.float32(0.99)).sum() < machine.sum()
    assert (sure.sources == "human").sum() == (~machine).sum()
    assert sure.metadata["min_confidence"] == "0.99"


def test_a_wished_precision_needs_a_sample_and_tells_its_estimate(world, project, taught, tmp_path):
    project.train(epochs=1, device="cpu")
    with pytest.raises(DataError, match=r"0 checked images are too few .* --validation 200"):
        project.export(tmp_path / "no", min_precision=0.9)
    assert not (tmp_path / "no").exists()
    found = taught.export(tmp_path / "yes", min_precision=0.6).quality
    assert (found.images, len(found.classes)) == (30, 80)
    share = found.overall.negative_precision
    assert share.low < share.value == share.right / share.count <= share.high
    assert sum(judged.negative_precision.count for judged in found.classes) == share.count
    assert taught.export(tmp_path / "people", labels="human").quality is None


def test_the_estimate_counts_as_by_hand():
    codes = np.array([[1, 0], [1, 1], [0, -1], [0, 0]], dtype=np.int8)
    values = np.array([[1, 0], [0, 1], [1, 1], [-1, -1]], dtype=np.int8)
    found = judge(values, codes, "made up")
    assert [(s.right, s.count) for s in (found.overall.positive_precision, found.overall.positive_recall)] == [
        (2, 3),
        (2, 3),
    ]
    assert [(s.right, s.count) for s in (found.overall.negative_precision, found.overall.negative_recall)] == [
        (1, 2),
        (1, 4),
    ]
    first, second = found.classes
    assert (first.positive_precision.right, first.positive_precision.count) == (1, 2)
    assert second.positive_precision.value == 1.0
    assert second.positive_precision.low < 0.25
    nothing = judge(np.full((4, 2), UNKNOWN, np.int8), codes, "made up").overall
    assert (nothing.positive_precision.value, nothing.positive_recall.value) == (None, 0.0)


def test_the_interval_covers_the_truth_when_cells_of_an_image_hang_together():
    draw, covered = np.random.default_rng(0), 0
    for _ in range(200):
        good = draw.random((30, 1)) < 0.8  # an image is right as a whole or wrong as a whole
        right = np.where(np.broadcast_to(good, (30, 10)), 1, 0).astype(np.int8)
        share = judge(np.ones((30, 10), np.int8), right, "").overall.positive_precision
        covered += share.low <= 0.8 <= share.high
    assert covered >= 180


def test_soft_labels_give_every_cell_a_probability(taught, tmp_path):
    table = load_open_images(taught.export(tmp_path / "soft.csv", soft=True).path)
    human = table.sources == "human"
    assert len(table) == 60 * 80
    assert set(table.sources) == {"human", "proposal:combined", "proposal:model"}
    model = table.sources == "proposal:model"
    assert np.allclose(table.scores[model], taught.scores()[table.rows[model], table.labels[model]], atol=1e-6)
    assert ((table.scores[model] >= 0.5) == (table.values[model] == POSITIVE)).all()
    assert (taught.labels.dense()[table.rows[human], table.labels[human]] == table.values[human]).all()


def test_unknown_may_be_called_negative_or_images_dropped(world, project, tmp_path):
    (named,) = np.flatnonzero(project.labels.dense([5])[0] == POSITIVE)
    project.observe([Observation(5, label, "no", "ann") for label in range(80) if label != named])  # now complete
    project.observe([Observation(7, label, "retract", "import") for label in range(80)])  # one has nothing at all
    known = project.labels.dense()
    assert (known[7] == UNKNOWN).all()
    done = project.export(tmp_path / "an.csv", format="csv", unknown="negative")
    assert done.left_out == {"of which nothing is known": 1}
    found = load_csv(done.path)
    there = [project.image_ids.index(name) for name in found.image_ids]
    columns = [found.taxonomy.names.index(name) for name in project.taxonomy.names]
    expected = known[there]
    expected[expected == UNKNOWN] = NEGATIVE
    assert 7 not in there
    assert (found.truth[:, columns] == expected).all()
    assert sum(count.assumed_negative for count in done.classes) == (known[there] == UNKNOWN).sum()
    assert "ASSUMED" in Path(done.card).read_text()
    done = project.export(tmp_path / "full", unknown="drop-images")
    full = int((known != UNKNOWN).all(axis=1).sum())
    assert (done.images, done.left_out["not known completely"]) == (full, 60 - full)


def test_splits_are_chosen(taught, tmp_path):
    done = taught.export(tmp_path / "v", splits="validation")
    table = load_parquet(done.path)
    assert done.images == 30
    assert set(table.split.tolist()) == {1}
    names = {taught.image_ids[row] for row in taught.checked()[0]}
    assert set(table.image_ids) == names
    with pytest.raises(DataError, match="--splits test: there is no such image"):
        taught.export(tmp_path / "t", splits=["test"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "human", "min_confidence": 0.5}, "--min-confidence chooses proposals"),
        ({"labels": "human", "min_precision": 0.5}, "--min-precision chooses proposals"),
        ({"labels": "human", "soft": True}, "--soft writes what the model believes"),
        ({"soft": True, "unknown": "negative"}, "leave --unknown negative"),
        ({"soft": True, "min_confidence": 0.5}, "leave --min-confidence and"),
        ({"min_confidence": 0.5, "min_precision": 0.5}, "give one"),
        ({"min_confidence": 1.5}, "lies between 0 and 1"),
        ({"min_precision": 1.0}, "must lie between 0 and 1"),
        ({"soft": True, "format": "csv"}, "--soft: csv holds no scores; choose from: .*open-images.*parquet"),
        ({"images": "copy", "format": "csv"}, "--images copy: csv holds no pictures; choose from: "),
        ({"splits": "train,tset"}, "--splits 'tset': choose from train, validation, test"),
        ({"splits": " , "}, "--splits is empty"),
        ({"labels": "mine"}, "--labels 'mine': choose from human, all"),
        ({"format": "features"}, "--format features: it is only read"),
        ({"images": "link", "format": "webdataset"}, "--images link: webdataset holds the bytes"),
        ({"settings": {"shards": 3}, "format": "webdataset"}, "webdataset has no setting 'shards'"),
        ({"settings": {"link": "yes"}, "format": "voc"}, "voc has no setting 'link'"),
        ({"format": "parket"}, "did you mean 'parquet'"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(taught, tmp_path, options, message):
    with pytest.raises(SettingError, match=message) as refused:
        taught.export(tmp_path / "out", **options)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_ending_tells_the_format(taught, tmp_path):
    for name, kind in (("a", "parquet"), ("birds-1.2", "parquet"), ("a.csv", "open-images"), ("b.parquet", "parquet")):
        assert taught.export(tmp_path / name, labels="human").format == kind
    for name in ("a.npz", "a.xlsx"):
        with pytest.raises(SettingError, match=f"no format that is written ends in {name[1:]}"):
            taught.export(tmp_path / name)


def test_settings_of_the_writer_reach_it(taught, tmp_path):
    taught.export(tmp_path / "out", format="webdataset", settings={"shard_images": "7"}, splits="train")
    assert len(list((tmp_path / "out").rglob("*.tar"))) == 5  # 30 images


def test_linked_pictures_are_the_files_themselves(taught, tmp_path):
    taught.export(tmp_path / "out", format="huggingface", images="link")
    originals = {path.stat().st_ino for path in taught.workspace.image_paths()}
    if originals and next(iter(taught.workspace.image_paths())).stat().st_dev == tmp_path.stat().st_dev:
        assert {path.stat().st_ino for path in (tmp_path / "out").rglob("*.png")} == originals


def test_what_the_format_cannot_hold_is_said_and_kept(taught, tmp_path):
    done = taught.export(tmp_path / "out.csv", format="csv")
    assert any("scores of" in clause for clause in done.lost)
    with open(done.side, newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == done.human + done.proposals
    assert {line["source"] for line in lines} == {"human", "proposal:combined"}
    assert taught.export(tmp_path / "out.csv", format="open-images").side == ""
    assert not Path(done.side).exists()


def test_counts_per_class_are_those_of_the_project(taught, tmp_path):
    done = taught.export(tmp_path / "out")
    codes, proposals = taught.labels.dense(), load_parquet(tmp_path / "out")
    with open(done.report, newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["class"] for line in lines] == list(taught.taxonomy.names)
    assert [int(line["human_positive"]) for line in lines] == (codes == POSITIVE).sum(axis=0).tolist()
    assert [int(line["human_negative"]) for line in lines] == (codes == NEGATIVE).sum(axis=0).tolist()
    machine = proposals.sources != "human"
    proposed = np.bincount(proposals.labels[machine & (proposals.values == NEGATIVE)], minlength=80)
    assert [int(line["proposed_negative"]) for line in lines] == proposed.tolist()
    strings = {"class", "other_names", "prompt"}
    assert all(sum(int(number) for name, number in line.items() if name not in strings) == 60 for line in lines)


def test_a_file_or_foreign_folder_in_the_place_is_left_alone(taught, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(DataError, match=r"holds 'thesis\.txt'"):
        taught.export(tmp_path / "mine")
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="this is a file, and the export is a folder"):
        taught.export(tmp_path / "file", format="parquet")
    with pytest.raises(DataError, match="this is a folder, and the export is a file"):
        taught.export(tmp_path / "mine", format="csv")
    assert everything(tmp_path) == {"mine/thesis.txt": b"years", "file": b"text"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("labels.sqlite", "csv"),
        ("studio.sqlite", "csv"),
        ("spml.toml", "csv"),
        ("current", "csv"),
        ("lock", "parquet"),
        ("models", "parquet"),
        ("models/0001/head.safetensors", "csv"),
        ("features/more", "parquet"),
    ],
)
def test_the_project_itself_is_never_replaced(taught, name, kind):
    root = taught.workspace.root
    before = everything(root)
    with pytest.raises(DataError, match="the project keeps its own data there; choose another name"):
        taught.export(root / name, format=kind)
    assert everything(root) == before


def test_an_export_may_lie_in_the_folder_of_the_project(project):
    assert project.export(project.workspace.root / "out.csv").images == 60
    assert project.export(project.workspace.root / "out").images == 60


def test_devices_and_pipes_are_no_place_for_an_export(taught, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is a device or a pipe, not a file"):
        taught.export(tmp_path / "pipe", format="csv")
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_where_a_file_beside_the_export_goes_is_named(taught, tmp_path):
    (tmp_path / "out.csv.classes.csv").mkdir()
    with pytest.raises(DataError, match=r"classes\.csv: this is a folder, and a file of this name goes with"):
        taught.export(tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_place_that_cannot_be_written_is_named(taught, tmp_path):
    with pytest.raises(DataError, match="cannot write"):
        taught.export(tmp_path / "missing" / "out.csv")
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="cannot write"):
        taught.export(tmp_path / "file" / "out", format="parquet")


def test_an_export_that_fails_leaves_the_one_before(project, tmp_path):
    done = project.export(tmp_path / "out", format="huggingface")
    before = everything(tmp_path / "out")
    assert any(name.endswith(".png") for name in before)
    project.observe([Observation(0, 3, "no", "ann")])
    path = project.workspace.image_paths()[40]
    path.rename(path.with_suffix(".gone"))
    try:
        with pytest.raises(DataError, match="bring it back"):
            project.export(tmp_path / "out", format="huggingface")
    finally:
        path.with_suffix(".gone").rename(path)
    assert everything(tmp_path / "out") == before
    assert done.images == 60
    assert not list(tmp_path.glob(".out*"))


def test_images_that_cannot_be_read_are_left_out_where_pictures_are_written(world, project, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "broken.png").write_bytes(b"no picture")
    project.add_images(tmp_path / "more")
    done = project.export(tmp_path / "hf", format="huggingface")
    assert (done.images, done.left_out) == (60, {"cannot be read": 1})
    assert project.export(tmp_path / "table").images == 61


EXPORT = """
import sys
from spml_annotate.project import Project
with Project(sys.argv[1]) as project:
    for number in range(1000):
        project.export(sys.argv[2], format="huggingface", licence=str(number))
        print(number, flush=True)
"""


def test_killed_at_any_moment_an_export_is_the_old_one_or_none(project, tmp_path):
    out, chance = tmp_path / "out", random.Random(0)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(4):
        command = [sys.executable, "-c", EXPORT, str(project.workspace.root), str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout.readline() == "0\n"
            time.sleep(chance.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
        if out.exists():
            assert len(FORMATS["huggingface"].function(out).image_ids) == 60
            assert (out / "datacard.md").is_file()
    assert project.export(out, format="huggingface").images == 60


def test_the_remains_of_killed_exports_are_removed_by_the_next(project, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = tmp_path / "out"
    command = [sys.executable, "-c", EXPORT, str(project.workspace.root), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "0\n"
        while not list(tmp_path.glob(".out.*.tmp/*/*")):  # the pictures are being copied
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        held = set(tmp_path.glob(".out.*.tmp"))
        project.export(out, labels="human", format="huggingface")
        assert held
        assert all(path.is_dir() for path in held)  # of an export that is still being written
        process.send_signal(signal.SIGKILL)
    project.export(out, format="huggingface")
    assert not list(tmp_path.glob(".out.*"))


def test_an_export_killed_between_two_names_gets_its_name_back(taught, tmp_path):
    out = tmp_path / "out"
    (tmp_path / f".out.{'1' * 32}.tmp").mkdir()
    (tmp_path / ".out.mine.tmp").mkdir()
    taught.export(out)
    old = tmp_path / f".out.{'0' * 32}.old"
    out.rename(old)
    with pytest.raises(SettingError):
        taught.export(out, labels="mine")
    assert old.is_dir()
    taught.export(out)
    assert sorted(path.name for path in tmp_path.glob(".out*")) == [".out.mine.tmp"]
    assert (out / "datacard.md").is_file()
