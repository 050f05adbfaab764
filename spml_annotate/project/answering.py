"""Answers of people: from files, or one by one; and taking them back."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats.images import clean_id, rows_by_id
from spml_annotate.formats.text import at, read_records, read_text
from spml_annotate.labels import UNKNOWN, Answer, Observation, new_event
from spml_annotate.project.asking import OpenQuestion
from spml_annotate.workspace import Asked, Workspace

LONGEST = 60.0
"""Seconds that one act counts at most: who takes longer has left the desk."""
SPELLINGS: dict[str, Answer] = {
    "yes": "yes", "y": "yes", "1": "yes", "no": "no", "n": "no", "0": "no",
    "unsure": "unsure", "u": "unsure", "skip": "skip", "s": "skip",
}  # fmt: skip
_COLUMNS = ("question", "image", "label", "answer", "seconds")


class Line(NamedTuple):
    """One line of a file of answers; an empty ``label`` means all classes of the question that no other line names."""

    number: int
    question: str
    image: str
    label: str
    answer: str
    seconds: str


@dataclass(frozen=True)
class Answered:
    """What `answer_file` did: lines read, cells they answer, how many answers were new, questions closed and open."""

    file: str
    lines: int
    answers: int
    new: int
    questions: int
    seconds: float


@dataclass(frozen=True)
class Undone:
    """What `undo` took back: the question, its image, and (class, answer) of everything that stood."""

    question: str
    image: str
    kind: str
    answers: tuple[tuple[str, str], ...]


@dataclass
class _Group:
    """The lines about one question, or about one image outside any question."""

    row: int
    question: str
    asked: Asked | None
    said: dict[int, Line] = field(default_factory=dict)
    rest: Line | None = None


def observations_of(
    asked: Asked | None,
    row: int,
    said: Mapping[int, Answer],
    *,
    annotator: str,
    seconds: float,
    question: str = "",
    moment: float | None = None,
    events: Mapping[int, str] | None = None,
) -> list[Observation]:
    """One act of answering as observations; its seconds are on the first of them."""
    shown = set(asked.query.shown) if asked is not None else set()
    when = time.time() if moment is None else moment
    cost = seconds
    found = []
    for label, answer in said.items():
        event = events[label] if events is not None else new_event()
        name = asked.query.id if asked is not None else question
        found.append(Observation(row, label, answer, annotator, "human", cost, when, name, label in shown, event))
        cost = 0.0
    return found


def record(
    workspace: Workspace, question: OpenQuestion, said: Mapping[int, Answer], *, annotator: str, seconds: float
) -> int:
    """Store one act of answering a question, `LONGEST` at most; when this returns, it is on the disk."""
    seconds = min(max(seconds, 0.0), LONGEST)
    return workspace.log.append(
        observations_of(question.asked, question.query.row, said, annotator=annotator, seconds=seconds)
    )


def answer_file(workspace: Workspace, path: str | Path, *, annotator: str = "human") -> Answered:
    """Store the answers in a file, all or none; the same file again changes nothing, unless answers were undone.

    CSV with a header, or JSON lines, with ``question,label,answer`` or ``image,label,answer`` and, if measured,
    ``seconds``. Answers are yes, no, unsure, skip (y, n, u, s, 1, 0). A line with an empty label answers all classes of
    the question (of the image: all classes) that no other line names: ``no`` says that there are no more.

    Raises:
        DataError: for a line that names no question, image or class of the project, or a class that was not asked; it
            names the line.
    """
    path = Path(path)
    lines = list(_lines(path))
    if not lines:
        raise DataError(f"{path}: there is no answer in the file; write lines such as question,label,answer")
    groups = _groups(workspace, path, lines)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    taken_back = _retractions(workspace, annotator)
    observations: list[Observation] = []
    for group in groups.values():
        observations += _of_group(workspace, path, group, annotator, digest, taken_back)
    new = workspace.log.append(observations)
    return Answered(
        str(path), len(lines), len(observations), new, len(groups), sum(item.seconds for item in observations)
    )


def _lines(path: Path) -> Iterator[Line]:
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return _json_lines(path)
    return _csv_lines(path)


def _csv_lines(path: Path) -> Iterator[Line]:
    records = read_records(path)
    header = next(records, None)
    names = [name.strip().lower() for name in header.fields] if header else []
    _check_columns(path, names, header.line if header else 1)
    for record_ in records:
        if len(record_.fields) != len(names):
            raise at(path, record_.line, f"{len(record_.fields)} columns where the header has {len(names)}")
        values = dict(zip(names, record_.fields, strict=True))
        yield Line(record_.line, *(values.get(name, "").strip() for name in _COLUMNS))


def _json_lines(path: Path) -> Iterator[Line]:
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise at(path, number, f"this is not JSON ({error}); write one object per line") from None
        if not isinstance(values, dict):
            raise at(path, number, 'this is not an object; write {"question": ..., "label": ..., "answer": ...}')
        _check_columns(path, list(values), number)
        yield Line(number, *(str(values.get(name, "")).strip() for name in _COLUMNS))


def _check_columns(path: Path, names: Sequence[str], line: int) -> None:
    unknown = sorted(set(names) - set(_COLUMNS))
    if unknown:
        raise at(path, line, f"there is no column {unknown[0]!r}; use {', '.join(_COLUMNS)}")
    if not {"label", "answer"} <= set(names) or not {"question", "image"} & set(names):
        raise at(
            path, line, "columns question,label,answer or image,label,answer are needed (and seconds, if measured)"
        )


def _groups(workspace: Workspace, path: Path, lines: Sequence[Line]) -> dict[str, _Group]:
    rows = rows_by_id(workspace.images.ids())
    groups: dict[str, _Group] = {}
    for line in lines:
        key = line.question or f"image {clean_id(line.image)}"
        if key not in groups:
            groups[key] = _new_group(workspace, path, line, rows)
        group = groups[key]
        if line.answer.lower() not in SPELLINGS:
            raise at(path, line.number, f"answer {line.answer!r} is not yes, no, unsure or skip")
        if not line.label:
            if group.rest is not None:
                raise at(path, line.number, f"line {group.rest.number} answers all other classes already; keep one")
            group.rest = line
            continue
        label = _label(workspace, path, line, group)
        if label in group.said:
            raise at(path, line.number, f"class {line.label!r} is on line {group.said[label].number} already; keep one")
        group.said[label] = line
    return groups


def _new_group(workspace: Workspace, path: Path, line: Line, rows: dict[str, int]) -> _Group:
    if line.question:
        try:
            asked = workspace.questions.get(line.question)
        except DataError as error:
            raise at(path, line.number, str(error)) from None
        return _Group(asked.query.row, line.question, asked)
    name = clean_id(line.image)
    if name not in rows:
        raise at(path, line.number, f"image {name!r} is not in the project; names are as in `images list`")
    return _Group(rows[name], "", None)


def _label(workspace: Workspace, path: Path, line: Line, group: _Group) -> int:
    try:
        label = workspace.taxonomy.column(line.label)
    except DataError as error:
        raise at(path, line.number, str(error)) from None
    if group.asked is not None and label not in group.asked.query.labels:
        raise at(path, line.number, f"question {group.question} does not ask about {line.label!r}; leave it out")
    return label


def _of_group(
    workspace: Workspace, path: Path, group: _Group, annotator: str, digest: str, taken_back: Counter[tuple[int, int]]
) -> list[Observation]:
    said = {label: SPELLINGS[line.answer.lower()] for label, line in group.said.items()}
    if group.rest is not None:
        asked = group.asked.query.labels if group.asked is not None else range(len(workspace.taxonomy))
        answer = SPELLINGS[group.rest.answer.lower()]
        if answer == "yes":
            raise at(path, group.rest.number, "an empty label cannot be answered yes; name the class")
        if group.asked is not None and group.asked.query.kind == "pick" and answer == "no":
            answer = "unsure"  # seeing none of them in a glance is no check of every class
        known = set(_known_by(workspace, group.row)) if group.asked is None else set()
        said |= {label: answer for label in asked if label not in said and label not in known}
    seconds = sum(_seconds(path, line) for line in (*group.said.values(), group.rest) if line is not None)
    name = group.question or f"answer:{digest}:{group.row}"
    events = {
        label: f"answer:{digest}:{name}:{group.row}:{label}:{taken_back[group.row, label]}:{annotator}"
        for label in said
    }
    return observations_of(
        group.asked, group.row, said, annotator=annotator, seconds=seconds, question=name, events=events
    )


def _known_by(workspace: Workspace, row: int) -> list[int]:
    """Classes of an image that are known; "no more" says nothing new about them."""
    return [int(label) for label in np.flatnonzero(workspace.folded().matrix.dense([row])[0] != UNKNOWN)]


def _seconds(path: Path, line: Line) -> float:
    if not line.seconds:
        return 0.0
    try:
        seconds = float(line.seconds)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 86_400.0:
        raise at(path, line.number, f"{line.seconds!r} is not a number of seconds")
    return seconds


def _retractions(workspace: Workspace, annotator: str) -> Counter[tuple[int, int]]:
    """How often each cell's answers were taken back: the same file may answer again what was undone."""
    return Counter(
        (said.row, said.label) for said in workspace.log if said.answer == "retract" and said.annotator == annotator
    )


def undo(workspace: Workspace, question: str | None = None) -> Undone:
    """Take back the answers to a question, by default of the one answered last; the question is open again.

    Nothing is deleted: the retractions are appended. Imported labels are no answers to questions and stay.

    Raises:
        DataError: if there is no such answer to take back.
    """
    wanted = question or workspace.log.last_question()
    if wanted is None:
        raise DataError("there is no answered question to undo; `spml-annotate status` shows what is known")
    retractions = workspace.log.retractions(wanted, time=time.time())
    if not retractions:
        raise DataError(f"question {wanted!r} has no answer that stands; nothing was undone")
    answers = _standing(workspace, retractions)
    workspace.log.append(retractions)
    kinds = [asked.query.kind for asked in workspace.questions if asked.query.id == wanted]
    names = workspace.taxonomy.names
    return Undone(
        wanted,
        workspace.images.ids()[retractions[0].row],
        kinds[0] if kinds else "",
        tuple((names[item.label], answers.get(item.event.removeprefix("retract:"), "")) for item in retractions),
    )


def _standing(workspace: Workspace, retractions: Sequence[Observation]) -> dict[str, str]:
    """Event → answer of what is about to be taken back."""
    events = {item.event.removeprefix("retract:") for item in retractions}
    return {said.event: said.answer for said in workspace.log if said.event in events}
