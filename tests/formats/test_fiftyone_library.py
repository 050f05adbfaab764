"""FiftyOne itself, with its database, reads our exports; skipped where either is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from strategies_pictures import pictures_of, small_table

from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.fiftyone import load_fiftyone, save_fiftyone
from spml_annotate.taxonomy import Taxonomy

READ = """
import json, os, sys
import fiftyone as fo
from fiftyone import ViewField as F

def words(sample, field):
    said = sample[field]
    return [] if said is None else [
        [one.label, one.confidence, one.tags, one["source"], one["annotator"], one["time"], one["shown"]]
        for one in said.classifications
    ]

data = fo.Dataset.from_dir(sys.argv[1], dataset_type=fo.types.FiftyOneDataset)
data.compute_metadata()
data.save()
print("RESULT" + json.dumps({
    "samples": [
        [s["image_id"], s.tags, os.path.isfile(s.filepath), [s.metadata.width, s.metadata.height],
         words(s, "labels"), words(s, "negatives")]
        for s in data
    ],
    "classes": [data.classes, data.default_classes],
    "counts": data.count_values("labels.classifications.label"),
    "by_ann": len(data.filter_labels("labels", F("annotator") == "ann")),
    "scored": len(data.filter_labels("negatives", F("confidence") > 0.2)),
    "proposed": len(data.match_labels(tags="proposal")),
    "validation": len(data.match_tags("validation")),
    "media": data.media_type,
    "schema": sorted(name for name in data.get_field_schema(flat=True) if name.startswith("labels.")),
}))
data.export(sys.argv[2], dataset_type=fo.types.FiftyOneDataset)
data.export(sys.argv[3], dataset_type=fo.types.FiftyOneImageClassificationDataset, label_field="labels")
data.delete()
"""
WRITE = """
import sys
import fiftyone as fo

data = fo.Dataset()
one = fo.Sample(filepath=sys.argv[1] + "/1.png", tags=["val"])
one["found"] = fo.Detections(detections=[
    fo.Detection(label="dog, hot", bounding_box=[0, 0, 0.5, 0.5], confidence=0.25),
    fo.Detection(label="dog, hot", bounding_box=[0, 0, 0.5, 0.5], confidence=0.75),
    fo.Detection(label="é", bounding_box=[0, 0, 0.5, 0.5]),
])
data.add_samples([one, fo.Sample(filepath=sys.argv[1] + "/dir/2.png")])
data.default_classes = ["cat", "é", "dog, hot"]
data.save()
data.export(sys.argv[2], dataset_type=fo.types.FiftyOneDataset)
data.export(sys.argv[3], dataset_type=fo.types.FiftyOneDataset, export_media=False, use_dirs=True)
data.delete()
"""


def fiftyone(tmp_path, script, *arguments):
    """Run a script with FiftyOne in a process, a home folder and a database of its own; what it printed."""
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is not installed: pip install 'spml-annotate[fiftyone]'")
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_DATABASE_NAME": f"spml-annotate-tests-{os.getpid()}",
    }
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if "MongoDB could not be installed" in done.stderr or "ServerSelectionTimeoutError" in done.stderr:
        pytest.skip("FiftyOne has no database here: set FIFTYONE_DATABASE_URI to a MongoDB, or install fiftyone-db")
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def table() -> LabelTable:
    return small_table(
        annotators=["ann", "ann", "", "bob", ""],
        times=[1.5, 2.0, 0.0, 3.0, 0.0],
        shown=[True, False, False, True, False],
    )


@pytest.mark.slow
def test_the_library_reads_ours_and_gives_it_back(tmp_path):
    given = table()
    save_fiftyone(tmp_path / "out", given, pictures=pictures_of(tmp_path / "in", given.image_ids))
    printed = fiftyone(tmp_path, READ, tmp_path / "out", tmp_path / "theirs", tmp_path / "plain")
    found = json.loads(printed.partition("RESULT")[2].partition("\n")[0])
    assert found["samples"] == [
        [
            "a b/1.jpg", ["train"], True, [4, 3],
            [["dog, hot", None, ["human"], "human", "ann", 1.5, True],
             ["a/b", 0.875, ["proposal"], "proposal:ema", None, None, False]],
            [["café 🐈", None, ["human"], "human", "ann", 2.0, False]],
        ],
        ["é/2.png", ["train"], True, [4, 3], [["café 🐈", None, ["human"], "human", "bob", 3.0, True]], []],
        [
            "../3", ["validation"], True, [4, 3], [],
            [["dog, hot", 0.25, ["proposal"], "proposal:ema", None, None, False]],
        ],
    ]  # fmt: skip
    names = list(given.taxonomy.names)
    assert found["classes"] == [{"labels": names, "negatives": names}, names]
    assert found["counts"] == {"dog, hot": 1, "café 🐈": 1, "a/b": 1}
    assert [found[key] for key in ("by_ann", "scored", "proposed", "validation")] == [1, 1, 2, 1]
    assert found["media"] == "image"
    assert {f"labels.classifications.{name}" for name in ("annotator", "confidence", "source")} <= set(found["schema"])
    assert load_fiftyone(tmp_path / "theirs") == given
    plain = json.loads((tmp_path / "plain" / "labels.json").read_text("utf-8"))
    assert sorted(map(str, plain["labels"].values())) == ["None", "['café 🐈']", "['dog, hot', 'a/b']"]


@pytest.mark.slow
def test_the_library_reads_several_words_on_a_cell_and_odd_keys(tmp_path):
    nan = float("nan")
    given = LabelTable.of(
        Taxonomy(("a.$b",), aliases={"x.y": "a.$b"}), ["1.jpg", "1.png"], [0, 2], [0, 0, 0], [0, 0, 0], [1, 0, 1],
        sources=["human", "human", "proposal:x"], scores=[nan, nan, 0.5], annotators=["ann", "bob", ""],
        times=[2.0, 1.0, 3.0], metadata={"$key.dot": "v"},
    )  # fmt: skip
    save_fiftyone(tmp_path / "out", given, pictures=pictures_of(tmp_path / "in", given.image_ids), list_unknown=True)
    fiftyone(tmp_path, READ, tmp_path / "out", tmp_path / "theirs", tmp_path / "plain")
    assert load_fiftyone(tmp_path / "theirs") == given


@pytest.mark.slow
def test_what_the_library_writes(tmp_path):
    pictures_of(tmp_path / "in", ["1"])["1"].rename(tmp_path / "in" / "1.png")
    (tmp_path / "in" / "dir").mkdir()
    (tmp_path / "in" / "dir" / "2.png").write_bytes((tmp_path / "in" / "1.png").read_bytes())
    fiftyone(tmp_path, WRITE, tmp_path / "in", tmp_path / "copied", tmp_path / "apart")
    copied, apart = load_fiftyone(tmp_path / "copied"), load_fiftyone(tmp_path / "apart", root=tmp_path / "in")
    assert (copied.image_ids, apart.image_ids) == (("1.png", "2.png"), ("1.png", "dir/2.png"))
    for found in (copied, apart):
        assert found.taxonomy.names == ("cat", "é", "dog, hot")
        assert (found.matrix().dense().tolist(), found.split.tolist()) == ([[-1, 1, 1], [-1, -1, -1]], [1, 0])
        assert found.sources.tolist() == ["human", "proposal:fiftyone"]
        assert found.scores.tolist()[1] == 0.75
