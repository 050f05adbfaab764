"""The data card of an export: what the labels are, where they come from, and what of them is doubtful; in Markdown.

It says nothing of the moment it is written at, so that the same project gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from spml_annotate.formats.dataset import SPLITS
from spml_annotate.project.exporting.choices import Choices
from spml_annotate.project.exporting.labels import Content
from spml_annotate.project.exporting.people import People, biases, people_of, plain
from spml_annotate.project.exporting.quality import Quality, Share
from spml_annotate.project.exporting.report import ClassCount, total
from spml_annotate.project.proposing import Proposed
from spml_annotate.project.sample import REMEDY
from spml_annotate.version import __version__
from spml_annotate.workspace import Workspace

_Section = Iterator[str]


@dataclass(frozen=True)
class Told:
    """What an export says of itself besides its labels.

    ``names``: whether annotators are named; ``licence``: of the data, as the user states it; ``notes``: further known
    biases, one sentence each; ``lost``: what the format does not hold; ``side``: name of the file that does.
    """

    format: str
    counts: tuple[ClassCount, ...]
    quality: Quality | None
    names: bool = False
    licence: str = ""
    notes: Sequence[str] = field(default=())
    lost: Sequence[str] = field(default=())
    side: str = ""


def card_of(workspace: Workspace, content: Content, choices: Choices, suggested: Proposed | None, told: Told) -> str:
    """The page."""
    people = people_of(workspace, content.rows)
    conflicts = len({(said.row, said.label) for said in content.disagreeing})
    sections: tuple[tuple[str, _Section], ...] = (
        ("Source", _source(workspace, content)),
        ("What is in it", _contents(content, choices, told)),
        ("People", _people(workspace, people, conflicts, told.names)),
        ("Methods", _methods(workspace, choices, suggested)),
        ("Estimated quality of the proposals", _quality(suggested, told.quality)),
        ("Known biases", (f"- {line}" for line in (*biases(workspace, content.rows, people, conflicts), *told.notes))),
        ("Classes", _classes(told)),
        ("Licence", iter([told.licence.strip() or "Not stated."])),
        ("Version", _version(people)),
    )
    title = f"# Data card: {plain(workspace.settings.name)}"
    return "\n\n".join([title, *(f"## {name}\n\n" + "\n".join(lines) for name, lines in sections)]) + "\n"


def _source(workspace: Workspace, content: Content) -> _Section:
    table = content.table
    splits = ", ".join(f"{int((table.split == code).sum())} {name}" for name, code in SPLITS.items())
    yield f"- Pictures from: {', '.join(_folders(workspace, content)) or 'not stated'}"
    yield f"- {len(table.image_ids)} images ({splits}) of {len(workspace.images)} in the project"
    inside = set(content.rows.tolist())
    copies, broken = (len(inside & set(found)) for found in (workspace.images.duplicates(), workspace.images.errors()))
    yield f"- Exact copies of other images among them: {copies}; images that cannot be read: {broken}"
    for why, count in content.left_out.items():
        if count:
            yield f"- Left out: {_count(count, 'image')} ({why})"


def _folders(workspace: Workspace, content: Content) -> list[str]:
    """Last names of the folders that the images were added from; whole paths would tell of somebody's computer."""
    paths, ids = workspace.images.paths(), workspace.images.ids()
    found: set[str] = set()
    for row in content.rows.tolist():
        path, name = paths[row].replace(os.sep, "/").split("/"), ids[row].split("/")
        while len(path) > 1 and name and path[-1] == name[-1]:
            path, name = path[:-1], name[:-1]
        found.add(path[-1])
    return sorted(plain(name) for name in found if name)


def _contents(content: Content, choices: Choices, told: Told) -> _Section:
    every, table = total(told.counts), content.table
    yield f"- {len(table.taxonomy)} classes; format `{told.format}`"
    yield f"- By people: {_count(every.human_positive, 'positive')}, {_count(every.human_negative, 'negative')}"
    proposed = _count(every.proposed_positive, "positive"), _count(every.proposed_negative, "negative")
    yield f"- Proposed by a model: {', '.join(proposed)}"
    if choices.soft:
        believed = every.model_positive + every.model_negative
        yield f"- {believed} further cells with the probability that the model gives them"
    if choices.unknown == "negative":
        yield f"- {every.assumed_negative} cells of which nothing is known, ASSUMED to be negative: many are wrong"
    yield f"- {every.unknown} of {len(table.image_ids) * len(table.taxonomy)} cells unknown"
    if told.lost:
        yield f"- Not held by this format: {'; '.join(told.lost)} (all of it is in `{told.side}`)"


def _people(workspace: Workspace, people: People, conflicts: int, names: bool) -> _Section:
    yield f"- {_count(len(people.annotators), 'annotator')}, {people.hours:.2f} hours of their time"
    for number, (name, answers) in enumerate(people.annotators, start=1):
        yield f"- {plain(name) if names else f'annotator {number}'}: {_count(answers, 'answer')}"
    for name, answers in people.imported:
        yield f"- imported from {plain(name)}: {_count(answers, 'label')}"
    yield f"- {_count(conflicts, 'cell')} on which they disagree; policy between them: {workspace.settings.policy}"


def _methods(workspace: Workspace, choices: Choices, suggested: Proposed | None) -> _Section:
    model = workspace.models.current()
    if model is None or (suggested is None and not choices.soft):
        yield "No model has a part in these labels."
        return
    metrics, settings = model.metrics, model.settings
    yield f"- Model {model.name}: loss `{metrics['loss']}`, trained on {metrics['images']} images"
    yield f"- Features: `{settings['features']}`"
    yield f"- Epoch chosen by: {metrics['selected_by']}"
    if metrics["validation_map"] is not None:
        checked = _count(metrics["validation_images"], "checked image")
        yield f"- Mean average precision {metrics['validation_map']:.3f} on {checked}"
    if choices.soft:
        yield "- Probabilities are those of the model as it is; nobody has calibrated them"
    if suggested is None:
        return
    basis = ", ".join(f"{count} {name}" for name, count in suggested.basis().items() if count)
    yield f"- Proposer `{suggested.proposals.proposer}`, wanted precision of expected positives {suggested.precision:g}"
    yield f"- Thresholds per class: {basis} (own: by the class's checked labels; pooled: by those of classes with few)"
    if choices.min_confidence is not None:
        yield f"- Only proposals of a confidence of at least {choices.min_confidence:g}"


def _quality(suggested: Proposed | None, quality: Quality | None) -> _Section:
    if suggested is None:
        yield "There are no proposals in it."
        return
    if quality is None:
        yield f"Not known: there is no checked sample large enough. To have one, {REMEDY}."
        return
    yield from _sample(quality)
    yield ""
    yield "| | precision | recall |"
    yield "|---|---|---|"
    every = quality.overall
    yield f"| expected positives | {_share(every.positive_precision)} | {_share(every.positive_recall)} |"
    yield f"| expected negatives | {_share(every.negative_precision)} | {_share(every.negative_recall)} |"


def _sample(quality: Quality) -> _Section:
    """What the estimate rests on, and what makes it better or worse than the exported labels."""
    yield f"On {quality.images} checked images, {quality.drawn} of them drawn at random; thresholds: {quality.basis}."
    yield "Shares with 95 % intervals. Cells that were known before the check are not judged, for none is proposed."
    if quality.basis != "defaults":
        yield "Half the sample makes more careful thresholds than all of it: the exported proposals reach further."
    if quality.trained:
        yield (
            f"{_count(quality.trained, 'image')} of the sample may have been trained on, being drawn after the "
            "training: train and propose again for an estimate that cannot flatter."
        )
    if quality.named < quality.images / 2:
        yield (
            f"Only {quality.named} of these images had labels before their check. Where people have named what is "
            "easily seen, the rest is harder to tell: there expected positives are right LESS often than estimated."
        )


def _classes(told: Told) -> _Section:
    yield "Cells by where their value comes from (yes / no); precision and recall are of expected positives."
    yield ""
    yield "| class | people | proposed | model or assumed | unknown | precision | recall |"
    yield "|---|---|---|---|---|---|---|"
    judged = told.quality.classes if told.quality is not None else (None,) * len(told.counts)
    for count, quality in zip(told.counts, judged, strict=True):
        shares = [_share(quality.positive_precision), _share(quality.positive_recall)] if quality else ["-", "-"]
        cells = [
            plain(count.name),
            f"{count.human_positive} / {count.human_negative}",
            f"{count.proposed_positive} / {count.proposed_negative}",
            f"{count.model_positive} / {count.model_negative + count.assumed_negative}",
            str(count.unknown),
            *shares,
        ]
        yield "| " + " | ".join(cells) + " |"


def _version(people: People) -> _Section:
    yield f"- spml-annotate {__version__}"
    yield f"- Newest answer: {people.day or 'without a date'}"


def _share(share: Share) -> str:
    if share.value is None:
        return "-"
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f}; {share.right} of {share.count})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
