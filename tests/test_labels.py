"""The codes, observations and the matrix of facts."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spml_annotate.errors import DataError
from spml_annotate.labels import (
    CODES,
    NEGATIVE,
    POSITIVE,
    UNKNOWN,
    LabelKind,
    LabelMatrix,
    Observation,
    check_observation,
    new_event,
)

tables = arrays(np.int8, st.tuples(st.integers(0, 6), st.integers(0, 5)), elements=st.sampled_from(CODES))
filled_tables = arrays(np.int8, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.sampled_from(CODES))


def test_the_codes() -> None:
    assert (POSITIVE, NEGATIVE, UNKNOWN) == (1, 0, -1)


@given(tables)
def test_dense_and_back(table: np.ndarray) -> None:
    matrix = LabelMatrix.from_dense(table)
    assert matrix.dense().dtype == np.int8
    assert np.array_equal(matrix.dense(), table)
    assert matrix.shape == table.shape
    assert LabelMatrix.from_dense(matrix.dense()) == matrix
    assert LabelMatrix.from_dense(table.astype(np.float64)) == matrix


@given(tables, st.randoms(use_true_random=False))
def test_cells_in_any_order_give_the_same_matrix(table: np.ndarray, random) -> None:
    rows, labels = np.nonzero(table != UNKNOWN)
    order = list(range(len(rows)))
    random.shuffle(order)
    matrix = LabelMatrix.from_cells(rows[order], labels[order], table[rows, labels][order], table.shape)
    assert matrix == LabelMatrix.from_dense(table)
    assert LabelMatrix.from_cells(*matrix.cells(), table.shape) == matrix
    for ours, plain in zip(matrix.cells(), (rows, labels, table[rows, labels]), strict=True):
        assert np.array_equal(ours, plain)


@given(filled_tables, st.data())
def test_rows_are_read_in_the_order_asked_for(table: np.ndarray, data: st.DataObject) -> None:
    matrix = LabelMatrix.from_dense(table)
    rows = data.draw(st.lists(st.integers(0, len(table) - 1)))
    assert np.array_equal(matrix.dense(rows), table[np.array(rows, dtype=int)])
    assert np.array_equal(matrix.dense(np.array(rows, dtype=np.int32)), table[np.array(rows, dtype=int)])
    part = slice(*sorted(data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))))
    assert np.array_equal(matrix.dense(part), table[part])


@given(tables)
def test_counts_are_those_of_the_table(table: np.ndarray) -> None:
    matrix = LabelMatrix.from_dense(table)
    for code in CODES:
        assert np.array_equal(matrix.count(code), (table == code).sum(axis=0))
    assert np.array_equal(matrix.known_per_row(), (table != UNKNOWN).sum(axis=1))
    assert matrix.known == (table != UNKNOWN).sum()
    assert matrix.known_share == (matrix.known / table.size if table.size else 1.0)


@given(filled_tables)
def test_the_kind_follows_its_definition(table: np.ndarray) -> None:
    if (table != UNKNOWN).all():
        kind = LabelKind.FAL
    elif (table == NEGATIVE).any():
        kind = LabelKind.PAL
    elif ((table == POSITIVE).sum(axis=1) == 1).all():
        kind = LabelKind.SPL
    else:
        kind = LabelKind.PPL
    matrix = LabelMatrix.from_dense(table)
    assert matrix.kind() is kind
    assert kind.value in repr(matrix)


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ([[1, -1], [-1, 1]], LabelKind.SPL),
        ([[1, 1, -1], [-1, 1, -1]], LabelKind.PPL),
        ([[1, -1], [-1, -1]], LabelKind.PPL),
        ([[1, 0], [-1, 1]], LabelKind.PAL),
        ([[1, 0], [0, 0]], LabelKind.FAL),
    ],
)
def test_kinds(table: list[list[int]], kind: LabelKind) -> None:
    assert LabelMatrix.from_dense(np.array(table)).kind() is kind


def test_a_matrix_cannot_be_changed() -> None:
    table = np.array([[1, 0, -1], [-1, 1, -1]])
    matrix = LabelMatrix.from_dense(table)
    table[:] = -1
    matrix.dense()[:] = 0
    for array in (*matrix.cells(), matrix.known_per_row(), matrix.count(POSITIVE)):
        array[:] = 1
    assert np.array_equal(matrix.dense(), [[1, 0, -1], [-1, 1, -1]])
    for twin in (matrix, copy.deepcopy(matrix), pickle.loads(pickle.dumps(matrix))):
        assert twin == matrix
        with pytest.raises(ValueError, match="read-only"):
            twin._values[0] = 0
    with pytest.raises(AttributeError):
        matrix.extra = 1


def test_matrices_compare_by_content() -> None:
    matrix = LabelMatrix.from_dense(np.array([[1, -1]]))
    assert matrix != LabelMatrix.from_dense(np.array([[0, -1]]))
    assert matrix != LabelMatrix.from_dense(np.array([[-1, 1]]))
    assert matrix != LabelMatrix.from_dense(np.array([[1, -1, -1]]))
    assert matrix != LabelMatrix.from_dense(np.array([[1, -1], [-1, -1]]))
    assert matrix != "matrix"
    with pytest.raises(TypeError, match="unhashable"):
        hash(matrix)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([1, 0], r"\[N, L\]"),
        ([[1, 2]], r"labels\[0, 1\] is 2"),
        ([[1, -1], [0, -2]], r"labels\[1, 1\] is -2"),
        ([[0.5]], r"labels\[0, 0\] is 0\.5"),
        (np.array([[255]], dtype=np.uint8), "255"),
        ([[float("nan")]], "nan"),
    ],
)
def test_a_table_of_other_codes_is_refused(table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelMatrix.from_dense(np.array(table))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (([2], [0], [1]), "outside the table of 2 images x 2 classes"),
        (([0], [2], [1]), "outside"),
        (([-1], [0], [1]), "outside"),
        (([0, 0], [1, 1], [1, 1]), "named twice"),
        (([0], [0], [-1]), "known cells are 1"),
        (([0], [0], [0.9]), "whole numbers"),
        (([0], [0, 1], [1, 1]), "as many rows"),
    ],
)
def test_wrong_cells_are_refused(cells: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelMatrix.from_cells(*cells, (2, 2))


@pytest.mark.parametrize(
    ("rows", "message"),
    [([-1], "from 0 to 1"), ([2], "from 0 to 1"), (np.array([True, False]), "not a mask")],
)
def test_wrong_rows_are_refused(rows, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        LabelMatrix.from_dense(np.array([[1], [-1]])).dense(rows)


def test_an_observation_is_checked_and_gets_an_event_id() -> None:
    told = Observation(0, 1, "yes")
    assert check_observation(told)._replace(event="") == told
    assert check_observation(told).event != check_observation(told).event
    assert check_observation(told._replace(event="e")).event == "e"
    assert new_event() != new_event()
    with pytest.raises(DataError, match="'perhaps' is not one of yes, no, unsure, skip, retract"):
        check_observation(told._replace(answer="perhaps"))
