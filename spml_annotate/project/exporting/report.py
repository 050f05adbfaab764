"""How many labels of each class come from where, and the cells about which people disagree; both as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.text import csv_line
from spml_annotate.labels import POSITIVE
from spml_annotate.project.exporting.labels import ASSUMED, MODEL, Said
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace import Workspace

_ORIGINS = (HUMAN, MODEL, ASSUMED)
_PROPOSED = len(_ORIGINS)
"""Place of all other sources."""


@dataclass(frozen=True)
class ClassCount:
    """Cells of a class by where their value comes from; a cell counts once, and a person goes before a proposal.

    ``model`` are soft labels without a proposal, positive from 0.5 on; ``assumed`` negatives are nobody's word.
    """

    name: str
    human_positive: int
    human_negative: int
    proposed_positive: int
    proposed_negative: int
    model_positive: int
    model_negative: int
    assumed_negative: int
    unknown: int

    @property
    def positive(self) -> int:
        """Positives whatever their source."""
        return self.human_positive + self.proposed_positive + self.model_positive

    @property
    def negative(self) -> int:
        """Negatives whatever their source."""
        return self.human_negative + self.proposed_negative + self.model_negative + self.assumed_negative


def count_classes(table: LabelTable) -> tuple[ClassCount, ...]:
    """The counts of all L classes, in their order."""
    classes = len(table.taxonomy)
    chosen = table.standing()
    origin = np.full(len(table), _PROPOSED, dtype=np.int8)
    for place, source in enumerate(_ORIGINS):
        origin[table.sources == source] = place
    # One number per label: its class, where it comes from and its value.
    keys = (table.labels[chosen] * (_PROPOSED + 1) + origin[chosen]) * 2 + (table.values[chosen] == POSITIVE)
    found = np.bincount(keys, minlength=classes * 2 * (_PROPOSED + 1)).reshape(classes, _PROPOSED + 1, 2)
    told = [(place, yes) for place in (0, _PROPOSED, 1) for yes in (1, 0)]
    columns = [found[:, place, yes].tolist() for place, yes in (*told, (2, 0))]
    columns.append((len(table.image_ids) - found.sum(axis=(1, 2))).tolist())
    return tuple(ClassCount(name, *numbers) for name, *numbers in zip(table.taxonomy.names, *columns, strict=True))


def total(counts: Iterable[ClassCount]) -> ClassCount:
    """The sum over classes."""
    columns = list(zip(*(astuple(item)[1:] for item in counts), strict=True))
    numbers = [sum(column) for column in columns] or [0] * (len(fields(ClassCount)) - 1)
    return ClassCount("all", *numbers)


def save_classes(path: Path, counts: Iterable[ClassCount], taxonomy: Taxonomy) -> None:
    """Write one line per class: counts, then its other names (a JSON list) and its prompt, which few formats hold."""
    header = ["class", *[item.name for item in fields(ClassCount)][1:], "other_names", "prompt"]
    others: dict[str, list[str]] = {key: [] for key in taxonomy.keys}
    for key, name in zip(taxonomy.keys, taxonomy.names, strict=True):
        others[key] += [key] if key != name else []
    for alias, key in taxonomy.aliases.items():
        others[key] += [alias] if alias not in others[key] else []
    lines = [csv_line(header)]
    for item, key in zip(counts, taxonomy.keys, strict=True):
        names = json.dumps(others[key], ensure_ascii=False) if others[key] else ""
        lines.append(csv_line([*map(str, astuple(item)), names, taxonomy.prompts.get(key, "")]))
    write_atomically(path, lambda file: file.writelines(lines))


def save_conflicts(path: Path, workspace: Workspace, said: Iterable[Said]) -> None:
    """Write every word about a cell on which annotators disagree."""
    ids, names = workspace.images.ids(), workspace.taxonomy.names
    lines = [csv_line(("image", "label", "annotator", "answer", "time"))]
    for item in said:
        answer = "yes" if item.value == POSITIVE else "no"
        lines.append(csv_line((ids[item.row], names[item.label], item.annotator, answer, repr(item.time))))
    write_atomically(path, lambda file: file.writelines(lines))
