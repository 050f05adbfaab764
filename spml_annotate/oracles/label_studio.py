"""Label Studio as an oracle: questions out as tasks, answers in as observations, with no project folder of ours.

This is the short way for programs that choose questions themselves. `spml-annotate ask --to label-studio` does more:
it knows the project's other tasks, the queue, what was shown to whom, and pictures that must be fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spml_annotate.acquire import Query
from spml_annotate.errors import DataError
from spml_annotate.labels import Observation
from spml_annotate.studio.annotations import Given, read_annotation
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import empty_prediction
from spml_annotate.studio.uploads import upload_files
from spml_annotate.studio.words import Act, History, settle

LONGEST = 60.0
"""Seconds that an answer counts at least in full; beyond three times the expected time, somebody was away."""
STEP = 1e-6
_ROW, _ASKED = "spml_row", "spml_asked"


class LabelStudioOracle:
    """Puts queries to people in Label Studio, one project there for each kind.

    Args:
        client: speaks with Label Studio.
        names: class names, in the order of their columns.
        picture: row → file of the image.
        heard: row → everything said of the image so far, such as ``project.workspace.log.about``; what it has is not
            given again, and what no longer stands is retracted.
        title: of the projects in Label Studio, 40 characters at most; the same title finds the same projects again.

    Raises:
        DataError: if the title is empty or too long.
    """

    def __init__(
        self,
        client: StudioClient,
        names: Sequence[str],
        picture: Callable[[int], Path],
        heard: Callable[[int], Iterable[Observation]],
        *,
        title: str = "questions",
    ) -> None:
        if not 0 < len(title.strip()) <= 40:
            raise DataError(f"the title {title!r} of the questions has {len(title)} characters; use 1 to 40")
        self._client, self._names, self._picture, self._heard = client, tuple(names), picture, heard
        self._columns = {name: column for column, name in enumerate(self._names)}
        self._title = title
        self._tag = hashlib.sha256(title.encode()).hexdigest()[:8]
        self._projects: dict[str, dict[str, Any]] = {}

    @property
    def projects(self) -> dict[str, int]:
        """Kind of question → id of the Label Studio project that asks it."""
        return {kind: int(facts["id"]) for kind, facts in self._known().items()}

    def ask(self, queries: Sequence[Query]) -> None:
        """See `Oracle.ask`; a query that is there already is not put again.

        Raises:
            DataError: for a query without an id, or of a kind that has no form. RemoteError: if Label Studio refuses.
        """
        kinds: dict[str, list[Query]] = {}
        for query in queries:
            if not query.id or query.kind not in FORMS:
                raise DataError(f"a {query.kind!r} question with the id {query.id!r} cannot be put to Label Studio")
            kinds.setdefault(query.kind, []).append(query)
        for kind, asked in kinds.items():
            self._ask(kind, asked)

    def answers(self) -> Iterator[Observation]:
        """See `Oracle.answers`: everything that ``heard`` lacks, retractions included.

        An annotation that was deleted is retracted; a task or project that was deleted keeps its answers.
        """
        emails = self._client.users()
        for kind, facts in self._known().items():
            config = parse_config(str(facts["label_config"]))
            for task in self._client.tasks(int(facts["id"])):
                yield from self._of_task(kind, config, task, emails)

    def _known(self) -> dict[str, dict[str, Any]]:
        """Kind → its project, of those that were made under this title."""
        for listed in self._client.projects():
            kind = str(listed.get("title")).removeprefix(f"{self._title} · ")
            if kind in FORMS and kind not in self._projects and kind != listed.get("title"):
                self._projects[kind] = self._client.project(int(listed["id"]))
        return self._projects

    def _ask(self, kind: str, queries: Sequence[Query]) -> None:
        facts = self._project(kind)
        number, version = int(facts["id"]), f"spml-asked-{self._tag}"
        config_read = parse_config(str(facts["label_config"]))
        there = {str(task["data"].get("spml_question")) for task in self._client.tasks(number)}
        new = [query for query in queries if query.id not in there]
        rows = sorted({query.row for query in new})
        # files can be sent only to a project whose tasks have no list of their own, and that of this kind has none
        files = int(self._project("verify")["id"]) if rows else number
        pictures = upload_files(self._client, files, [self._picture(row) for row in rows])
        references = dict(zip(rows, pictures, strict=True))
        bodies = [
            self._body(kind, config_read, query, references[query.row], version, STEP * (len(there) + place))
            for place, query in enumerate(new)
        ]
        self._client.import_tasks(number, bodies)
        if new:
            self._client.update_project(number, model_version=version)

    def _project(self, kind: str) -> dict[str, Any]:
        if kind not in self._known():
            config = FORMS[kind].config(self._names)
            self._projects[kind] = self._client.create_project(
                f"{self._title} · {kind}", config, sampling="Uncertainty sampling"
            )
        return self._projects[kind]

    def _body(
        self, kind: str, config: LabellingConfig, query: Query, reference: str, version: str, priority: float
    ) -> dict[str, Any]:
        asked, shown = ([self._names[label] for label in labels] for labels in (query.labels, query.shown))
        data = FORMS[kind].task(reference, self._picture(query.row).name, query.id, asked, shown)
        data |= {_ROW: int(query.row), _ASKED: asked, "spml_seconds": float(query.seconds)}
        made = FORMS[kind].prefill(config, data, shown, version, priority)
        return {"data": data, "predictions": [made or empty_prediction(version, priority)]}

    def _of_task(
        self, kind: str, config: LabellingConfig, task: Mapping[str, Any], emails: Mapping[int, str]
    ) -> Iterator[Observation]:
        data = task["data"]
        if not isinstance(data.get(_ROW), int) or not isinstance(data.get(_ASKED), list):
            return  # somebody else's task in our project
        row, question = int(data[_ROW]), str(data["spml_question"])
        history = History(row, self._heard(row))
        last: dict[str, Given] = {}
        for annotation in task.get("annotations") or ():
            given = read_annotation(config, data, annotation, task.get("predictions") or ())
            email = emails.get(given.user, "") if given.user is not None else ""
            name = f"ls:{email or f'user-{given.user}'}"
            if name not in last or (given.time, given.annotation) > (last[name].time, last[name].annotation):
                last[name] = given
        before = {said.annotator for said in history.standing() if said.question == question}
        for name in sorted(before | set(last)):
            found = last.get(name)
            act = self._act(kind, config, row, data, name, found) if found is not None else None
            settle(history, question, name, act, time=max((said.time for said in history.standing()), default=0.0))
        yield from history.new

    def _act(
        self, kind: str, config: LabellingConfig, row: int, data: Mapping[str, Any], name: str, given: Given
    ) -> Act:
        answers = FORMS[kind].answers(given, data[_ASKED])
        shown = given.shown.get(config.main.name, ())
        seconds = min(given.seconds or 0.0, max(LONGEST, 3.0 * float(data.get("spml_seconds") or 0.0)))
        return Act(
            row,
            str(data["spml_question"]),
            name,
            f"ls:{self._tag}:{given.annotation}",
            given.updated,
            given.time,
            {self._columns[word]: answer for word, answer in answers.items() if word in self._columns},
            frozenset(self._columns[word] for word in shown if word in self._columns),
            seconds,
        )
