"""Which label of a cell stands, the order of a table and its counts, against a plain loop over the labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.project.exporting.labels import ASSUMED, MODEL
from spml_annotate.project.exporting.report import count_classes
from spml_annotate.taxonomy import Taxonomy

CLASSES = ("cat", "dog", "owl")
SOURCES = {HUMAN: "human", MODEL: "model", ASSUMED: "assumed", "proposal:scores": "proposed"}
WORDS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, len(CLASSES) - 1),
        st.sampled_from((POSITIVE, NEGATIVE)),
        st.sampled_from(tuple(SOURCES)),
        st.integers(0, 2),
    ),
    max_size=25,
)


def table_of(words) -> LabelTable:
    rows, labels, values, sources, times = (list(column) for column in zip(*words, strict=True)) if words else [[]] * 5
    return LabelTable.of(Taxonomy(CLASSES), "abcd", [0] * 4, rows, labels, values, sources=sources, times=times)


def standing_of(words) -> dict[tuple[int, int], tuple[int, str]]:
    """A person's word before others, then the latest, then the one given last."""
    best: dict[tuple[int, int], tuple[tuple[bool, int], int, str]] = {}
    for row, label, value, source, time in words:
        rank = source == HUMAN, time
        if (row, label) not in best or rank >= best[row, label][0]:
            best[row, label] = rank, value, source
    return {cell: found[1:] for cell, found in best.items()}


@given(WORDS)
def test_the_word_that_stands_is_the_latest_of_a_person_or_else_the_latest(words):
    table, expected = table_of(words), standing_of(words)
    chosen = table.standing()
    cells = list(zip(table.rows[chosen].tolist(), table.labels[chosen].tolist(), strict=True))
    assert cells == sorted(expected)
    found = zip(table.values[chosen].tolist(), table.sources[chosen].tolist(), strict=True)
    assert dict(zip(cells, found, strict=True)) == expected
    dense = np.full((4, len(CLASSES)), UNKNOWN)
    for cell, (value, _) in expected.items():
        dense[cell] = value
    assert (table.matrix().dense() == dense).all()


@given(WORDS)
def test_labels_are_ordered_by_row_and_label_and_else_as_given(words):
    table = table_of(words)
    columns = (getattr(table, name).tolist() for name in ("rows", "labels", "values", "sources", "times"))
    assert list(zip(*columns, strict=True)) == sorted(words, key=lambda word: word[:2])
    assert not any(getattr(table, name).flags.writeable for name in LabelTable.columns())


@given(WORDS)
def test_each_cell_counts_once_under_where_its_value_comes_from(words):
    expected = Counter((label, SOURCES[source], value) for (_, label), (value, source) in standing_of(words).items())
    for label, counts in enumerate(count_classes(table_of(words))):
        for kind in ("human", "proposed", "model"):
            assert getattr(counts, f"{kind}_positive") == expected[label, kind, POSITIVE]
            assert getattr(counts, f"{kind}_negative") == expected[label, kind, NEGATIVE]
        assert counts.assumed_negative == expected[label, "assumed", NEGATIVE]
        assert counts.unknown == 4 - sum(count for key, count in expected.items() if key[0] == label)
