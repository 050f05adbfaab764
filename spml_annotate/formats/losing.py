"""What a table of labels loses in a format, in words; and the side file that keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spml_annotate.formats import FORMATS
from spml_annotate.formats.dataset import SPLITS, TRAIN
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.text import csv_line, read_records
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.taxonomy import Taxonomy

_BLOCK = 65_536
SIDE_COLUMNS = ("image", "label", "value", "source", "score", "annotator", "time", "shown", "split")


def lost(format_name: str, table: LabelTable) -> list[str]:
    """What this table contains and the format cannot hold: one clause each, none if it holds everything.

    Raises:
        SettingError: if there is no such format.
    """
    can = FORMATS[format_name].facts["can"]
    matrix = table.matrix()
    found = [*_values(can, matrix)]
    if "splits" not in can:
        found += _splits(table)
    scores = int((~np.isnan(table.scores)).sum())
    if scores and "scores" not in can:
        found.append(f"the scores of {_count(scores, 'proposal')}")
    if "provenance" not in can:
        found += _provenance(table, matrix)
    if not FORMATS[format_name].facts.get("names", False):
        found += _names(table.taxonomy)
    return found


def side_path(path: str | Path) -> Path:
    """Where the side file of an export lies: beside it, also beside a folder, in which a reader might take offence."""
    path = Path(path)
    return path.with_name(f"{path.name}.lost.csv")


def save_side(path: str | Path, table: LabelTable) -> Path:
    """Write every label of the table with all that is known of it to ``<path>.lost.csv``; the path of that file.

    One line per label, several for a cell that several people answered, and one without a label for every image
    without any.

    Args:
        path: the export that the file lies beside.
        table: what was exported.
    """
    target = side_path(path)

    def write(file: BinaryIO) -> None:
        file.write(csv_line(SIDE_COLUMNS))
        for line in _lines(table):
            file.write(csv_line(line))

    write_atomically(target, write)
    return target


def has_proposals(side: str | Path) -> bool:
    """Whether a side file, where there is one, lists labels that nobody gave."""
    side = Path(side)
    if not side.is_file():
        return False
    place = SIDE_COLUMNS.index("source")
    records = read_records(side)
    next(records, None)
    return any(len(record.fields) > place and record.fields[place] not in (HUMAN, "") for record in records)


def _values(can: frozenset[str], matrix: LabelMatrix) -> Iterator[str]:
    rows, _, values = matrix.cells()
    negatives, unknown = int((values == NEGATIVE).sum()), int(matrix.count(UNKNOWN).sum())
    if "several" not in can:
        crowded = int((np.bincount(rows[values == POSITIVE]) > 1).sum())
        if crowded:
            yield f"all labels but one of {_count(crowded, 'image')} with several"
    if negatives and "negatives" not in can:
        yield _count(negatives, "negative label")
    if unknown and "unknown" not in can:
        yield f"that {_count(unknown, 'cell')} {'is' if unknown == 1 else 'are'} unknown and not negative"


def _splits(table: LabelTable) -> Iterator[str]:
    named = {name: int((table.split == code).sum()) for name, code in SPLITS.items() if code != TRAIN}
    parts = [f"{count} for {name}" for name, count in named.items() if count]
    if parts:
        yield f"the splits of the images ({' and '.join(parts)})"


def _provenance(table: LabelTable, matrix: LabelMatrix) -> Iterator[str]:
    proposals = int((table.sources != HUMAN).sum())
    if proposals:
        yield f"which labels are proposals ({proposals} of {len(table)}), and by which method"
    people = len(set(table.annotators) - {""})
    if people:
        yield f"who answered ({_count(people, 'annotator')})"
    if table.times.any():
        yield "when the labels were given"
    shown = int(table.shown.sum())
    if shown:
        yield f"that a proposal was shown for {_count(shown, 'label')}"
    further = len(table) - matrix.known
    if further:
        yield f"{_count(further, 'further label')} of cells that have more than one"


def _names(taxonomy: Taxonomy) -> Iterator[str]:
    renamed = {key for key, name in zip(taxonomy.keys, taxonomy.names, strict=True) if key != name}
    called = renamed | set(taxonomy.aliases.values()) | set(taxonomy.prompts)
    if called:
        classes = f"{len(called)} {'class' if len(called) == 1 else 'classes'}"
        yield f"the other names and prompts of {classes} (they are in the .classes.csv beside it)"


def _lines(table: LabelTable) -> Iterator[list[str]]:
    names = {code: name for name, code in SPLITS.items()}
    splits = [names[code] for code in table.split.tolist()]
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        columns = (getattr(table, name)[part].tolist() for name in LabelTable.columns())
        for row, label, value, source, score, annotator, time, shown in zip(*columns, strict=True):
            number = "" if score != score else repr(score)
            said = [table.image_ids[row], table.taxonomy.names[label], str(value), source, number, annotator]
            yield [*said, repr(time), str(int(shown)), splits[row]]
    for row in table.without_labels().tolist():
        yield [table.image_ids[row], *[""] * 7, splits[row]]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
