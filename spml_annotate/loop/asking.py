"""Questions out: chosen queries become tasks in Label Studio, one project there for each kind of question."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spml_annotate.errors import DataError, SettingError
from spml_annotate.formats.images import rows_by_id
from spml_annotate.labels import NEGATIVE
from spml_annotate.loop.companions import companion_of, references_of
from spml_annotate.loop.connecting import SAMPLING
from spml_annotate.loop.creating import find_main
from spml_annotate.loop.hearing import ASKED
from spml_annotate.loop.links import Link, LinkStore, Place, TaskRow
from spml_annotate.loop.pulling import drop_gone
from spml_annotate.project import Asking, OpenQuestion, Project
from spml_annotate.project.asking import positives_known, ticked
from spml_annotate.project.proposing import stored_proposals
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import empty_prediction

logger = logging.getLogger(__name__)
NEGATIVES = "negatives"
"""Key of the task data that lists proposed negatives in our main config."""
BATCH = 200
STEP = 1e-6
"""Between the priorities of two questions that follow each other: a million of them fit below 1."""


class _Made(NamedTuple):
    """The task to make for a question: its data, the classes to tick, and whether they stay hidden."""

    question: OpenQuestion
    data: dict[str, Any]
    shown: tuple[int, ...]
    hidden: bool


def ask_label_studio(
    project: Project,
    links: LinkStore,
    client: StudioClient,
    asking: Asking,
    *,
    hidden_share: float = 0.0,
    negatives: int = 5,
) -> dict[str, Any]:
    """Put questions to annotators in Label Studio; asking again makes no task twice.

    Questions of a kind go to a project of their own, which is made if it is missing, in their order. To name one
    positive is what the main project asks anyway: there its tasks get proposed negatives to tick.

    Args:
        project: whose questions they are.
        links: what is known of Label Studio.
        client: speaks with it.
        asking: what `Project.ask`, `ask_picks` or `ask_validation` put.
        hidden_share: share of pre-filled questions that are shown blank, to measure what the pre-filling does.
        negatives: how many proposed negatives a task to name one positive gets.

    Returns:
        Kind of question → ``project`` (its id), ``url``, ``new`` and ``known`` tasks, ``hidden`` ones among the new,
        and for ``pick`` the tasks that got ``negatives``.

    Raises:
        SettingError: for a share outside [0, 1], or if the project is not connected. RemoteError: if Label Studio
            refuses; what was made until then is found again.
    """
    if not 0.0 <= hidden_share <= 1.0:
        raise SettingError(f"--hidden-share {hidden_share:g}: write a share from 0 to 1, such as 0.1")
    main = find_main(links, client)  # not one that was deleted there
    if main is None:
        raise SettingError(f"this project is not connected to {client.url}; run `spml-annotate studio create` first")
    kinds: dict[str, list[OpenQuestion]] = {}
    for question in (*asking.again, *asking.new):
        kinds.setdefault(question.query.kind, []).append(question)
    found = {}
    for kind, questions in kinds.items():
        if kind not in FORMS:
            raise SettingError(f"questions of the kind {kind!r} have no form in Label Studio; answer them here")
        ask = _Kind(project, links, client, main)
        found[kind] = ask.picks(questions, negatives) if kind == "pick" else ask.put(kind, questions, hidden_share)
    return found


def is_hidden(link: Link, question: str, share: float) -> bool:
    """Whether a question is among the share that is shown blank; the same each time."""
    digest = hashlib.sha256(f"{link.tag}|{question}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


class _Kind:
    """Puts the questions of one kind."""

    def __init__(self, project: Project, links: LinkStore, client: StudioClient, main: Link) -> None:
        self.project, self.links, self.client, self.main = project, links, client, main
        self.names, self.ids = project.taxonomy.names, project.image_ids

    def put(self, kind: str, questions: Sequence[OpenQuestion], hidden_share: float) -> dict[str, Any]:
        """Make the tasks of a companion project that are not there yet."""
        link = companion_of(self.project, self.links, self.client, self.main, kind)
        known = self._known(link)
        new = [question for question in questions if question.query.id not in known]
        config = parse_config(link.config)
        places = self.links.places(link.id, link.version)
        start = max((place.priority for place in places.values()), default=0.0)
        references = references_of(
            self.project, self.links, self.client, self.main, link, [question.query.row for question in new]
        )
        hidden = 0
        for first in range(0, len(new), BATCH):
            part = [self._made(link, question, references, hidden_share) for question in new[first : first + BATCH]]
            priorities = [min(start + STEP * (first + place + 1), 1.0) for place in range(len(part))]
            self._import(link, config, part, priorities)
            hidden += sum(item.hidden for item in part)
        self._order(link)
        url = f"{self.client.url}/projects/{link.project}/data"
        known_tasks = len(questions) - len(new)
        return {"project": link.project, "url": url, "new": len(new), "known": known_tasks, "hidden": hidden}

    def _known(self, link: Link) -> set[str]:
        """Questions that have a task; those that a killed run made are found, those that are gone are forgotten."""
        there = self.client.task_ids(link.project)
        drop_gone(self.project, self.links, link, there)
        tasks = self.links.tasks(link.id)
        if not there <= set(tasks):
            rows = rows_by_id(self.ids)
            found = [
                TaskRow(int(task["id"]), rows[image], str(data.get("spml_question") or ""), data)
                for task in self.client.tasks(link.project)
                if int(task["id"]) not in tasks
                and (image := (data := task.get("data") or {}).get("spml_image")) in rows
            ]
            self.links.put_tasks(link.id, found)
            tasks = self.links.tasks(link.id)
        return {task.question for task in tasks.values()}

    def _made(self, link: Link, question: OpenQuestion, references: Mapping[int, str], hidden_share: float) -> _Made:
        query, form = question.query, FORMS[link.kind]
        shown = ticked(self.project.workspace, question)
        asked = [self.names[label] for label in question.remaining]
        told = shown if link.kind != "list" else positives_known(self.project.workspace, query.row)
        names = [self.names[label] for label in told]
        data = form.task(references[query.row], self.ids[query.row], query.id, asked, names)
        hidden = form.prefilled and bool(shown) and is_hidden(link, query.id, hidden_share)
        return _Made(question, {**data, ASKED: asked}, shown, hidden)

    def _import(self, link: Link, config: LabellingConfig, part: Sequence[_Made], priorities: Sequence[float]) -> None:
        """Make tasks together with their predictions: one without would never be served while others have one."""
        bodies = []
        for item, priority in zip(part, priorities, strict=True):
            names = [] if item.hidden else [self.names[label] for label in item.shown]
            made = FORMS[link.kind].prefill(config, item.data, names, link.version, priority)
            bodies.append({"data": item.data, "predictions": [made or empty_prediction(link.version, priority)]})
        tasks = self.client.import_tasks(link.project, bodies)
        rows = zip(tasks, part, priorities, strict=True)
        self.links.queue(
            link.id,
            link.version,
            [Place(task, priority, "chosen", item.hidden, item.shown) for task, item, priority in rows],
        )
        self.links.put_tasks(
            link.id,
            [
                TaskRow(task, item.question.query.row, item.question.query.id, item.data)
                for task, item in zip(tasks, part, strict=True)
            ],
        )

    def _order(self, link: Link) -> None:
        """Let Label Studio serve the questions in our order."""
        facts = self.client.project(link.project)
        wanted = {"model_version": link.version, "sampling": SAMPLING}
        if any(facts.get(name) != value for name, value in wanted.items()) and facts.get("task_number"):
            self.client.update_project(link.project, **wanted)

    # One positive per image: the main project

    def picks(self, questions: Sequence[OpenQuestion], count: int) -> dict[str, Any]:
        """Make tasks of the main project for images that have none, and give proposed negatives to open ones."""
        link = self.main
        config = parse_config(link.config)
        drop_gone(self.project, self.links, link, self.client.task_ids(link.project))
        proposed = self._negatives([question.query.row for question in questions], count, config)
        tasks: dict[int, list[TaskRow]] = {}
        for task in self.links.tasks(link.id).values():
            tasks.setdefault(task.row, []).append(task)
        new = [question.query for question in questions if question.query.row not in tasks]
        references = references_of(self.project, self.links, self.client, link, link, [query.row for query in new])
        for first in range(0, len(new), BATCH):
            part = new[first : first + BATCH]
            bodies = [
                {
                    **FORMS["pick"].task(references[q.row], self.ids[q.row], q.id, [], (), proposed.get(q.row, ())),
                    config.key: references[q.row],
                }
                for q in part
            ]
            made = self.client.import_tasks(link.project, [{"data": data} for data in bodies])
            rows = zip(made, part, bodies, strict=True)
            self.links.put_tasks(link.id, [TaskRow(task, query.row, "", data) for task, query, data in rows])
        answered = {said.task for said in self.links.said(link.id)}
        there = [task for question in questions for task in tasks.get(question.query.row, ())]
        extended = self._extend(link, [task for task in there if task.task not in answered], proposed)
        url = f"{self.client.url}/projects/{link.project}/data"
        given = extended + sum(query.row in proposed for query in new)
        return {
            "project": link.project, "url": url, "new": len(new), "known": len(questions) - len(new), "hidden": 0,
            "negatives": given,
        }  # fmt: skip

    def _extend(self, link: Link, tasks: Iterable[TaskRow], proposed: Mapping[int, Sequence[str]]) -> int:
        """Write proposed negatives into the data of open tasks; returns how many have them."""
        count = 0
        for task in tasks:
            if task.row not in proposed:
                continue
            data = {**task.data, **FORMS["pick"].extras((), (), proposed[task.row])}
            if data != task.data:
                self.client.request("PATCH", f"/api/tasks/{task.task}/", json={"data": data})
                self.links.put_tasks(link.id, [task._replace(data=data)])
            count += 1
        return count

    def _negatives(self, rows: Sequence[int], count: int, config: LabellingConfig) -> dict[int, list[str]]:
        """Row → names of the classes that are most certainly absent; nothing if the config has no place for them."""
        if count < 1 or not any(control.options == NEGATIVES for control in config.controls):
            return {}
        workspace = self.project.workspace
        model = workspace.models.current()
        if model is None:
            return {}
        try:
            made = stored_proposals(workspace, model)
        except DataError as error:
            logger.warning("no negatives are proposed: %s", error)
            return {}
        if made is None:
            return {}
        found = made.proposals
        wanted = np.flatnonzero((found.values == NEGATIVE) & np.isin(found.rows, np.array(rows, dtype=np.int64)))
        best: dict[int, list[str]] = {}
        for place in wanted[np.lexsort((found.labels[wanted], found.scores[wanted]))].tolist():
            names = best.setdefault(int(found.rows[place]), [])
            if len(names) < count:
                names.append(self.names[int(found.labels[place])])
        return best
