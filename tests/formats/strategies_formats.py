"""Hypothesis strategies for data sets and label tables with names that break careless writers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from spml_annotate.formats.dataset import Dataset
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import clean_id
from spml_annotate.labels import LabelMatrix
from spml_annotate.taxonomy import Taxonomy

NASTY = (
    "dog, hot",
    'a "quoted" cat',
    "line\nbreak",
    "old\rmac",
    "win\r\ndows",
    "café",
    "🐈‍⬛ cat",
    "-1",
    "nan",
    "=1+1",
)
NASTY += (
    "NA",
    "'",
    '"',
    ";",
    "label",
    "value",
    "image",
    " outer ",
    "#1",
    "\ufeffmark",
    "line\u2028separator",
    "naïve\u0301",
)

characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
names = st.one_of(st.sampled_from(NASTY), st.text(characters, min_size=1, max_size=8).filter(str.strip))
ids = st.one_of(
    st.sampled_from([*NASTY, "a/b/1.jpg", "b/a/1.jpg"]), st.text(characters, min_size=1, max_size=8)
).filter(lambda name: name == clean_id(name))
name_lists = st.lists(names, min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def datasets(draw: st.DrawFn, *, features: bool = False, class_names: st.SearchStrategy[tuple[str, ...]] = name_lists):
    """Small data sets with any mixture of codes and splits."""
    classes = draw(class_names)
    image_ids = draw(st.lists(ids, min_size=1, max_size=5, unique=True))
    count = len(image_ids)
    cells = st.lists(st.sampled_from([1, 0, -1]), min_size=count * len(classes), max_size=count * len(classes))
    values = st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2 * count, max_size=2 * count
    )
    return Dataset(
        name="drawn",
        taxonomy=Taxonomy(classes),
        image_ids=tuple(image_ids),
        labels=LabelMatrix.from_dense(np.array(draw(cells), dtype=np.int8).reshape(count, len(classes))),
        split=np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), dtype=np.int8),
        features=np.array(draw(values), dtype=np.float32).reshape(count, 2) if features else None,
    )


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    """Classes that were renamed, with aliases and prompts."""
    current = draw(name_lists)
    count = len(current)
    keys = draw(st.one_of(st.just(current), st.lists(names, min_size=count, max_size=count, unique=True).map(tuple)))
    aliases = draw(st.dictionaries(names, st.sampled_from(keys), max_size=2))
    prompts = draw(st.dictionaries(st.sampled_from(keys), st.text(characters, max_size=8), max_size=2))
    return Taxonomy(current, keys, aliases, prompts)


sources = st.one_of(st.just("human"), st.text(characters, min_size=1, max_size=5).map(lambda text: f"proposal:{text}"))


@st.composite
def tables(draw: st.DrawFn) -> LabelTable:
    """Label tables with images without labels, several labels per cell, and odd texts."""
    taxonomy = draw(taxonomies())
    image_ids = draw(st.lists(st.one_of(names, ids), min_size=0, max_size=4, unique=True))
    count = draw(st.integers(0, 6)) if image_ids else 0

    def column(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    source = column(sources)
    score = column(st.one_of(st.floats(0, 1), st.just(float("nan"))))
    return LabelTable.of(
        taxonomy,
        image_ids,
        draw(st.lists(st.integers(0, 2), min_size=len(image_ids), max_size=len(image_ids))),
        column(st.integers(0, max(len(image_ids) - 1, 0))),
        column(st.integers(0, len(taxonomy) - 1)),
        column(st.integers(0, 1)),
        sources=source,
        scores=[float("nan") if who == "human" else given for who, given in zip(source, score, strict=True)],
        annotators=column(st.one_of(st.just(""), names)),
        times=column(st.floats(allow_nan=False, allow_infinity=False)),
        shown=column(st.booleans()),
        metadata=draw(st.dictionaries(st.text(characters, max_size=4), st.text(characters, max_size=4), max_size=2)),
    )


def same_dataset(left: Dataset, right: Dataset) -> bool:
    """Equality of everything that a format with classes, labels and splits holds."""
    if (left.taxonomy, left.image_ids, left.labels) != (right.taxonomy, right.image_ids, right.labels):
        return False
    if (left.features is None) is not (right.features is None):
        return False
    if left.features is not None and not np.array_equal(left.features, right.features):
        return False
    return np.array_equal(left.split, right.split)
