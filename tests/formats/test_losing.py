"""What formats say of themselves, what a table loses in them, and the side file."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from strategies_formats import tables

from spml_annotate.errors import SettingError
from spml_annotate.formats import CAPABILITIES, FORMATS
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.losing import SIDE_COLUMNS, lost, save_side
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.taxonomy import Taxonomy

NAN = float("nan")


def table(**columns):
    given = {"rows": [0, 0, 1], "labels": [0, 1, 0], "values": [1, 1, 0], "split": [0, 0, 0], **columns}
    return LabelTable.of(
        Taxonomy(("cat", "dog")),
        ["a.jpg", "b, c.jpg", "d.jpg"],
        given.pop("split"),
        *map(given.pop, ("rows", "labels", "values")),
        **given,
    )


def test_every_format_says_what_it_holds():
    for name in FORMATS:
        facts = FORMATS[name].facts
        assert {"loads", "saves", "suffixes", "is_folder", "can", "notes"} <= set(facts), name
        assert facts["loads"] in {"dataset", "table", ""}
        assert facts["saves"] is None or callable(facts["saves"])
        assert facts["loads"] or facts["saves"], f"{name} neither loads nor saves"
        assert facts["can"] <= set(CAPABILITIES)
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in facts["suffixes"])
        assert facts["notes"].endswith(".")
        assert "\n" not in facts["notes"]


@pytest.mark.parametrize("name", ["parquet", "open-images"])
def test_our_own_formats_lose_nothing(name):
    full = table(sources=["human", "proposal:ema", "human"], scores=[NAN, 0.5, NAN], annotators=["ann", "", "bob"])
    assert lost(name, full) == []


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, []),
        (
            {"sources": ["human", "proposal:ema", "human"], "scores": [NAN, 0.5, NAN]},
            ["the scores of 1 proposal", "which labels are proposals (1 of 3), and by which method"],
        ),
        ({"annotators": ["ann", "bob", "ann"]}, ["who answered (2 annotators)"]),
        ({"times": [0.0, 5.0, 0.0]}, ["when the labels were given"]),
        ({"shown": True}, ["that a proposal was shown for 3 labels"]),
        (
            {"rows": [0, 0, 1, 0], "labels": [0, 1, 0, 0], "values": [1, 1, 0, 0]},
            ["1 further label of cells that have more than one"],
        ),
    ],
)
def test_csv_loses_what_is_there(columns, expected):
    assert lost("csv", table(**columns)) == expected


def test_a_folder_of_pictures_loses_everything_that_is_there():
    assert lost("folder", table(split=[0, 1, 2])) == [
        "all labels but one of 1 image with several",
        "1 negative label",
        "that 3 cells are unknown and not negative",
        "the splits of the images (1 for validation and 1 for test)",
    ]
    assert lost("folder", table(rows=[0], labels=[0], values=[1])) == ["that 5 cells are unknown and not negative"]
    complete = table(rows=[0, 0, 1, 1, 2, 2], labels=[0, 1] * 3, values=[1, 0] * 3)
    assert lost("folder", complete) == ["3 negative labels"]


def test_an_unknown_format_is_named():
    with pytest.raises(SettingError, match="there is no format 'coca'"):
        lost("coca", table())


@settings(deadline=None, max_examples=50)
@given(tables())
def test_the_side_file_has_every_label(drawn):
    with tempfile.TemporaryDirectory() as folder:
        path = save_side(Path(folder) / "out.json", drawn)
        assert path.name == "out.json.lost.csv"
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
    assert tuple(header) == SIDE_COLUMNS
    said = [line for line in lines if line[1]]
    assert [tuple(line[:4]) for line in said] == [(at.image, at.label, str(at.value), at.source) for at in drawn]
    assert [float(line[4] or "nan") for line in said] == pytest.approx(drawn.scores.tolist(), nan_ok=True)
    assert [float(line[6]) for line in said] == drawn.times.tolist()
    assert [(line[5], line[7], line[8]) for line in said] == [
        (at.annotator, str(int(at.shown)), at.split) for at in drawn
    ]
    assert [line[0] for line in lines if not line[1]] == [drawn.image_ids[row] for row in drawn.without_labels()]


def test_a_persons_word_goes_before_a_proposal_and_the_latest_before_earlier_ones():
    words = [  # value, source, time
        (1, "human", 1.0),
        (0, "human", 3.0),
        (1, "human", 2.0),
        (1, "proposal:ema", 9.0),
    ]
    made = LabelTable.of(
        Taxonomy(("cat", "dog")),
        ["a", "b"],
        [0, 0],
        [1] * 4 + [0, 0, 0],
        [1] * 4 + [0, 0, 1],
        [value for value, _, _ in words] + [0, 1, 0],
        sources=[source for _, source, _ in words] + ["proposal:ema", "proposal:near", "human"],
        times=[time for _, _, time in words] + [5.0, 5.0, 0.0],
    )
    assert made.matrix().dense().tolist() == [[POSITIVE, NEGATIVE], [-1, NEGATIVE]]


@settings(deadline=None, max_examples=50)
@given(tables())
def test_the_matrix_of_a_table_is_that_of_the_words_one_by_one(drawn):
    best = {}
    for place, label in enumerate(drawn):
        cell = drawn.rows[place], drawn.labels[place]
        rank = (label.source == "human", label.time, place)
        best[cell] = max(best.get(cell, (rank, label.value)), (rank, label.value))
    rows, labels, values = drawn.matrix().cells()
    assert dict(zip(zip(rows, labels, strict=True), values, strict=True)) == {
        at: value for at, (_, value) in best.items()
    }
    assert drawn.matrix().shape == (len(drawn.image_ids), len(drawn.taxonomy))


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].facts["saves"] is not None])
def test_other_names_and_prompts_are_kept_or_said_to_be_lost(tmp_path, name):
    from strategies_pictures import pictures_of

    taxonomy = Taxonomy(
        ("cat", "dog", "cow"), keys=("katze", "dog", "cow"), aliases={"kitty": "katze"}, prompts={"dog": "a dog"}
    )
    told = LabelTable.of(taxonomy, ["a.png"], [0], [0], [0], [1])
    facts = FORMATS[name].facts
    path = tmp_path / ("out" if facts["is_folder"] else f"out{(*facts['suffixes'], '.csv')[0]}")
    facts["saves"](path, told, pictures=pictures_of(tmp_path / "in", told.image_ids))
    back = FORMATS[name].function(path).taxonomy
    said = [clause for clause in lost(name, told) if clause.startswith("the other names and prompts of 2 classes")]
    assert bool(said) is not (back == taxonomy)
    assert not any("other names" in clause for clause in lost(name, table()))
