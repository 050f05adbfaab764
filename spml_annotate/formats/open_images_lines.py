"""Reads the lines of a label file in the style of Open Images."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.csv_blocks import Block, Words
from spml_annotate.formats.csv_columns import ClassColumns, ImageNumbers, ImageRows, Memo
from spml_annotate.formats.export import HUMAN, PROPOSAL, LabelTable, check_source
from spml_annotate.formats.text import Record, at, check_text
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.taxonomy import Taxonomy

COLUMNS = ("ImageID", "Source", "LabelName", "Confidence", "Score", "Annotator", "Time", "Split", "Shown")
_FLAGS = {"": False, "0": False, "1": True}


def from_open_images(source: str, confidence: float) -> tuple[str, int, float, str]:
    """(source, value, score, annotator) in our words for a source and a confidence of Open Images.

    Raises:
        DataError: for a confidence outside [0, 1], or a fraction that no machine gave.
    """
    if not 0.0 <= confidence <= 1.0:
        raise DataError(f"confidence {confidence} lies outside [0, 1]")
    if source == "machine":
        return PROPOSAL + source, POSITIVE, confidence, ""
    if confidence not in (0.0, 1.0):
        raise DataError(f"confidence {confidence} is neither 0 nor 1 although the source is {source!r}")
    value = POSITIVE if confidence == 1.0 else NEGATIVE
    if source == HUMAN or source.startswith(PROPOSAL):
        check_source(source)
        return source, value, math.nan, ""
    check_text(source, "the source")
    return HUMAN, value, math.nan, source


def _meanings(
    sources: Words, confidences: Words, named: NDArray[np.bool_]
) -> tuple[NDArray[np.object_], NDArray[np.int8], NDArray[np.float64], NDArray[np.object_]]:
    """Source, value, score and annotator of the lines that name a class; each pair of texts is looked at once."""
    pairs = (sources.codes * len(confidences.words) + confidences.codes)[named]
    found, place = np.unique(pairs, return_inverse=True)
    meanings = []
    for pair in found.tolist():
        source, confidence = divmod(pair, len(confidences.words))
        try:
            number = float(confidences.words[confidence] or "nan")
        except ValueError:
            raise DataError("Confidence is not a number") from None
        meanings.append(from_open_images(sources.words[source], number))
    columns = zip(*meanings, strict=True) if meanings else ((),) * 4
    types = (np.object_, np.int8, np.float64, np.object_)
    made: list[NDArray[Any]] = [
        np.array(column, dtype=kind)[place] for column, kind in zip(columns, types, strict=True)
    ]
    return made[0], made[1], made[2], made[3]


def _verbatim(image: str) -> str:
    check_text(image, "the image id")
    return image


class LineReader:
    """Collects lines into flat columns.

    Args:
        path: for messages.
        header: the first record of the file.
        taxonomy: the classes, or None to take those of the file.
        named: what classes are called that the file has codes for.
    """

    def __init__(self, path: Path, header: Record, taxonomy: Taxonomy | None, named: Mapping[str, str]) -> None:
        missing = [name for name in COLUMNS[:4] if name not in header.fields]
        if missing:
            raise at(path, header.line, f"the column {missing[0]!r} is missing; the header is {','.join(COLUMNS[:4])}")
        self._path, self._width = path, len(header.fields)
        self._at = {name: header.fields.index(name) for name in COLUMNS if name in header.fields}
        self._classes = ClassColumns(taxonomy)
        self._column_of = Memo(lambda name: self._classes.columns[named.get(name, name)])
        self._images = ImageRows(_verbatim)
        self._words: dict[str, str] = {}
        self._rows, self._labels, self._values = array("q"), array("q"), array("b")
        self._scores, self._times, self._shown = array("d"), array("d"), array("b")
        self._sources: list[str] = []
        self._annotators: list[str] = []

    def read(self, records: Iterator[Record], metadata: Mapping[str, str]) -> LabelTable:
        """The table."""
        for record in records:
            try:
                self._add(record.fields)
            except DataError as error:
                raise at(self._path, record.line, str(error)) from None
        try:
            taxonomy = self._classes.taxonomy()
        except DataError as error:
            raise DataError(f"{self._path}: {error}") from None
        return LabelTable.of(
            taxonomy,
            self._images.ids(),
            self._images.split(),
            np.array(self._rows, dtype=np.int64),
            np.array(self._labels, dtype=np.int64),
            np.array(self._values, dtype=np.int8),
            sources=self._sources,
            scores=np.array(self._scores, dtype=np.float64),
            annotators=self._annotators,
            times=np.array(self._times, dtype=np.float64),
            shown=np.array(self._shown, dtype=np.bool_),
            metadata=metadata,
        )

    def read_blocks(self, blocks: Iterable[Block], metadata: Mapping[str, str]) -> LabelTable:
        """The table, if nothing is wrong with it.

        Raises:
            DataError: without a line; `read` says where.
        """
        images = ImageNumbers(cleaned=False)
        parts = [self._block(block, images) for block in blocks]
        taxonomy = self._classes.taxonomy()
        if not parts:
            raise DataError(f"{self._path}: there is no line in it")
        whole: Iterator[NDArray[Any]] = (np.concatenate(column) for column in zip(*parts, strict=True))
        columns = dict(zip(LabelTable.columns(), whole, strict=True))
        return LabelTable(taxonomy, images.ids(), images.split(), **columns, metadata=metadata)

    def _block(self, block: Block, images: ImageNumbers) -> tuple[NDArray[Any], ...]:
        """Columns of a `LabelTable`, in their order."""
        at = self._at
        rows = images.add(block.words(at["ImageID"]), block.words(at["Split"]) if "Split" in at else None)
        names = block.words(at["LabelName"])
        columns = np.array([self._column_of[name] if name else -1 for name in names.words], dtype=np.int64)
        labels = columns[names.codes]
        named = labels >= 0
        sources, values, scores, annotators = _meanings(block.words(at["Source"]), block.words(at["Confidence"]), named)
        times: NDArray[np.float64] = np.zeros(len(values))
        shown: NDArray[np.bool_] = np.zeros(len(values), dtype=np.bool_)
        if "Score" in at:
            given, empty = (column[named] for column in block.numbers(at["Score"]))
            scores = np.where(empty, scores, given)
        if "Time" in at:
            given, empty = (column[named] for column in block.numbers(at["Time"]))
            times = np.where(empty, 0.0, given)
        if "Annotator" in at:
            people = block.words(at["Annotator"])
            told = np.array(people.words, dtype=np.object_)[people.codes[named]]
            annotators = np.where(told == "", annotators, told)
        if "Shown" in at:
            flags = block.words(at["Shown"])
            wrong = np.array([word not in _FLAGS for word in flags.words], dtype=np.bool_)
            if wrong[flags.codes[named]].any():
                raise DataError("Shown is neither 1 nor 0")
            shown = np.array([_FLAGS.get(word, False) for word in flags.words], dtype=np.bool_)[flags.codes[named]]
        return rows[named], labels[named], values, sources, scores, annotators, times, shown

    def numbers(self) -> set[int]:
        """Columns that `read_blocks` takes as numbers."""
        return {self._at[name] for name in ("Score", "Time") if name in self._at}

    def _add(self, record: list[str]) -> None:
        if len(record) != self._width:
            raise DataError(f"{len(record)} columns where the header has {self._width}; check the commas")
        split = self._text(record, "Split") if "Split" in self._at else "train"
        row = self._images.add(self._text(record, "ImageID"), split)
        name = self._text(record, "LabelName")
        if not name:
            return
        source, value, score, annotator = from_open_images(
            self._text(record, "Source"), self._number(record, "Confidence", math.nan)
        )
        shown = self._text(record, "Shown")
        if shown not in _FLAGS:
            raise DataError(f"Shown is {shown!r}; write 1 or 0")
        self._rows.append(row)
        self._labels.append(self._column_of[name])
        self._values.append(value)
        self._scores.append(self._number(record, "Score", score))
        self._times.append(self._number(record, "Time", 0.0))
        self._shown.append(_FLAGS[shown])
        self._sources.append(self._same(source))
        self._annotators.append(self._same(self._text(record, "Annotator") or annotator))

    def _text(self, record: list[str], column: str) -> str:
        return record[self._at[column]] if column in self._at else ""

    def _number(self, record: list[str], column: str, default: float) -> float:
        text = self._text(record, column)
        try:
            return float(text) if text else default
        except ValueError:
            raise DataError(f"{column} {text!r} is not a number") from None

    def _same(self, text: str) -> str:
        """One copy of a text that millions of lines share."""
        return self._words.setdefault(text, text)
