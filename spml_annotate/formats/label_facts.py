"""What is known of a label beside its class and value, as attributes of objects that other programs have for labels."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.export import HUMAN, PROPOSAL, LabelTable
from spml_annotate.formats.json_places import Place, is_number
from spml_annotate.formats.text import check_text
from spml_annotate.labels import POSITIVE
from spml_annotate.taxonomy import Taxonomy

NEGATIVES, FURTHER, IMAGE_ID, OURS = "negatives", "further_labels", "image_id", "spml_annotate"
"""Names under which other programs keep what they have no place of their own for."""


class Words(NamedTuple):
    """Labels of one image by their numbers in the table: what stands, positive and negative, and what does not."""

    positives: list[int]
    negatives: list[int]
    further: list[int]


class LabelFacts:
    """Labels of a table, image by image, with their attributes.

    Args:
        table: what is exported.
    """

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self._ends = np.searchsorted(table.rows, np.arange(len(table.image_ids) + 1)).tolist()
        self._stands = np.zeros(len(table), dtype=bool)
        self._stands[table.standing()] = True
        cells = table.rows * len(table.taxonomy) + table.labels
        _, first, which, counts = np.unique(cells, return_index=True, return_inverse=True, return_counts=True)
        self._place = np.where(counts[which] > 1, np.arange(len(cells)) - first[which], -1)

    def words(self, row: int) -> Words:
        """The labels of one image."""
        found = Words([], [], [])
        for i in range(self._ends[row], self._ends[row + 1]):
            if not self._stands[i]:
                found.further.append(i)
            elif self.table.values[i] == POSITIVE:
                found.positives.append(i)
            else:
                found.negatives.append(i)
        return found

    def name(self, i: int) -> str:
        """The class of a label."""
        return self.table.taxonomy.names[int(self.table.labels[i])]

    def attributes(self, i: int) -> dict[str, Any]:
        """Source, annotator, time, whether a proposal was shown, and the place in a cell with several, where known."""
        table = self.table
        found: dict[str, Any] = {"source": table.sources[i]}
        if table.annotators[i]:
            found["annotator"] = table.annotators[i]
        if table.times[i]:
            found["time"] = float(table.times[i])
        if table.shown[i]:
            found["shown"] = True
        if self._place[i] >= 0:
            found["place"] = int(self._place[i])
        return found

    def score(self, i: int) -> float | None:
        """How probable a label is; None for a person's."""
        score = float(self.table.scores[i])
        return None if np.isnan(score) else score


def facts_from(attributes: Place, score_key: str, unnamed: str) -> dict[str, Any]:
    """Arguments of `LabelCollector.add` out of attributes, of which those of others may mean anything.

    Args:
        attributes: of a label.
        score_key: the attribute that has the score.
        unnamed: the method of labels that have a score, and no source in words of ours.

    Raises:
        DataError: for a score outside [0, 1].
    """
    content = attributes.content
    score = content.get(score_key) if is_number(content.get(score_key)) else None
    if score is not None and not 0 <= score <= 1:
        raise attributes.wrong(score_key, f"{score} lies outside 0..1; divide percentages by 100")
    source = content.get("source")
    if not isinstance(source, str) or not (source == HUMAN or source.removeprefix(PROPOSAL) not in ("", source)):
        source = HUMAN if score is None else f"{PROPOSAL}{unnamed}"
    annotator, place = content.get("annotator"), content.get("place")
    return {
        "source": source,
        "score": None if source == HUMAN else score,
        "annotator": annotator if isinstance(annotator, str) else "",
        "time": _seconds(content.get("time")),
        "shown": content.get("shown") is True,
        "place": place if isinstance(place, int) and 0 <= place < 2**62 else 0,
    }


def taxonomy_with(classes: Classes | None, stated: Taxonomy, found: Iterable[str]) -> Taxonomy:
    """The classes given; without them those a file states, and after them further ones that are found in it.

    Raises:
        DataError: if there is no class at all.
    """
    if classes is not None:
        return as_taxonomy(classes)
    new = []
    for name in dict.fromkeys(found):
        check_text(name, "class name")
        if name not in stated:
            new.append(name)
    taxonomy = stated.extended(new)
    if not len(taxonomy):
        raise DataError("no class is named; give a class list")
    return taxonomy


def as_object(found: object) -> Mapping[str, Any]:
    """Attributes, which are often absent or null."""
    return found if isinstance(found, dict) else {}


def _seconds(found: object) -> float:
    """A time; 0 if it is none, as in attributes of others that have the name."""
    if isinstance(found, int | float) and abs(found) <= sys.float_info.max:
        return float(found)
    return 0.0
