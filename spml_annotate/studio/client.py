"""The part of Label Studio's API that this package needs, one method per thing done there."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.studio.connections import Connections
from spml_annotate.studio.transport import SLOW_SECONDS, Json

_FILES_PER_REQUEST = 100
_IDS_PER_PAGE = 2000
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class StudioClient(Connections):
    """A Label Studio as one of its users sees it; threads may share it.

    Every method raises `RemoteError` in one line, with ``status``, where Label Studio refuses or does not answer.
    Listing or changing backends (`backends`, `connect_backend`, `rename_backend`, also `task` of a task without
    predictions and `next_task`) makes Label Studio call `/health` and `/setup` of the backend *before it answers*.

    Args:
        url: its address, as a browser would use it.
        token: legacy token or personal access token.
        timeout: seconds for one ordinary request.
    """

    # Who and what

    def whoami(self) -> Json:
        """The token's user: ``id``, ``email``..."""
        return self._dict("GET", "/api/current-user/whoami")

    def users(self) -> dict[int, str]:
        """User id → e-mail, of the whole organisation; empty if the token may not see that."""
        try:
            found = self.request("GET", "/api/users/")
        except RemoteError as error:
            if error.status in {403, 404}:
                return {}
            raise
        return {int(user["id"]): str(user.get("email") or "") for user in found}

    def version(self) -> str:
        """Version of Label Studio, such as "1.23.2"."""
        return str(self._dict("GET", "/api/version").get("release", ""))

    # Projects

    def projects(self) -> list[Json]:
        """All projects that the user sees, the newest first."""
        found: list[Json] = []
        while True:
            page = self._dict(
                "GET", "/api/projects/", params={"page": len(found) // 100 + 1, "page_size": 100, "include": "id,title"}
            )
            found += page["results"]
            if len(found) >= page["count"] or not page["results"]:
                return found

    def project(self, project: int) -> Json:
        """A project with its labelling config (``label_config``), ``created_at``, ``model_version``, ``sampling``..."""
        return self._dict("GET", f"/api/projects/{project}/")

    def create_project(self, title: str, config: str, **fields: Any) -> Json:  # noqa: ANN401  (JSON)
        """Make a project; ``title`` has at least three characters."""
        return self._dict("POST", "/api/projects/", json={"title": title, "label_config": config, **fields})

    def update_project(self, project: int, **fields: Any) -> Json:  # noqa: ANN401  (JSON)
        """Change fields of a project."""
        return self._dict("PATCH", f"/api/projects/{project}/", json=fields)

    def delete_project(self, project: int) -> None:
        """Delete a project with everything in it."""
        self.request("DELETE", f"/api/projects/{project}/", timeout=SLOW_SECONDS)

    def validate_config(self, xml: str) -> None:
        """Let Label Studio judge a labelling config.

        Raises:
            DataError: with its own words, if the config cannot be used.
        """
        try:
            self.request("POST", "/api/projects/validate/", json={"label_config": xml})
        except RemoteError as error:
            if error.status == 400:
                raise DataError(f"Label Studio does not accept the labelling config: {_after(error)}") from None
            raise

    # Tasks

    def tasks(self, project: int, *, since: str = "", page_size: int = 200) -> Iterator[Json]:
        """Tasks with data, annotations and predictions, ordered by ``updated_at``.

        Pages are cut by time and not by number, so that a task that changes meanwhile moves none over a page's edge;
        it comes again at the end. Storage addresses such as s3:// stay as they were imported.

        Args:
            project: its id.
            since: only tasks changed after this time (ISO 8601).
            page_size: tasks per request.
        """
        seen: set[tuple[int, str]] = set()
        after, page = (_utc(since) if since else None), 1
        while True:
            rows = self._page(project, after, page, page_size)
            for row in rows:
                key = (row["id"], row["updated_at"])
                if key not in seen:
                    seen.add(key)
                    yield row
            if len(rows) < page_size:
                return
            # "greater" leaves out what has the very same time as the page's last row, hence a little earlier
            edge = _utc(rows[-1]["updated_at"]) - datetime.timedelta(microseconds=1)
            after, page = (edge, 1) if after is None or edge > after else (after, page + 1)

    def task_ids(self, project: int) -> set[int]:
        """Ids of all tasks."""
        found: set[int] = set()
        while True:
            last = max(found, default=0)
            query = _query("tasks:id", "id", "Number", last)
            rows = self._rows({"project": project, "query": query, "page_size": _IDS_PER_PAGE, "resolve_uri": "false"})
            found.update(int(row["id"]) for row in rows)
            if len(rows) < _IDS_PER_PAGE:
                return found

    def task(self, task: int) -> Json:
        """A task with data, annotations and predictions."""
        return self._dict("GET", f"/api/tasks/{task}/", params={"resolve_uri": "false"})

    def next_task(self, project: int) -> Json | None:
        """The task that the token's user is served next, None if there is none left; it is locked for the user."""
        try:
            return self._dict("GET", f"/api/projects/{project}/next/", timeout=SLOW_SECONDS)
        except RemoteError as error:
            if error.status != 404:
                raise
        self.project(project)  # says so if it is the project that is missing
        return None

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]], batch: int = 500) -> list[int]:
        """Make tasks out of their data (or ``{"data": ..., "predictions": ...}``); ids in the order given."""
        made: list[int] = []
        for start in range(0, len(tasks), batch):
            part = [dict(task) for task in tasks[start : start + batch]]
            made += self._made(project, len(part), json=part)
        return made

    def upload_images(self, project: int, files: Sequence[str | Path]) -> list[Json]:
        """Upload pictures, one task each, in the order given.

        Returns:
            The tasks, each with ``id`` and ``data``; the picture's address in it begins with /data/upload/.

        Raises:
            DataError: if a file cannot be read.
        """
        tasks: list[Json] = []
        for start in range(0, len(files), _FILES_PER_REQUEST):
            tasks += self._upload(project, [Path(file) for file in files[start : start + _FILES_PER_REQUEST]])
        return tasks

    def delete_tasks(self, project: int, ids: Sequence[int]) -> None:
        """Delete tasks with their annotations."""
        for start in range(0, len(ids), 500):
            self.request(
                "POST",
                "/api/dm/actions/",
                params={"id": "delete_tasks", "project": project},
                json={"selectedItems": {"all": False, "included": list(ids[start : start + 500])}},
                timeout=SLOW_SECONDS,
            )

    # Annotations

    def annotate(
        self,
        task: int,
        result: Sequence[Mapping[str, Any]],
        *,
        lead_time: float | None = None,
        skipped: bool = False,
        prediction: int | None = None,
    ) -> Json:
        """Answer a task as the token's user; ``prediction`` is the id of the one that was shown."""
        body: Json = {"result": list(result), "lead_time": lead_time, "was_cancelled": skipped}
        if prediction is not None:
            body["parent_prediction"] = prediction
        return self._dict("POST", f"/api/tasks/{task}/annotations/", json=body)

    def update_annotation(self, annotation: int, **fields: Any) -> Json:  # noqa: ANN401  (JSON)
        """Change an annotation (``result``, ``lead_time``, ``was_cancelled``)."""
        return self._dict("PATCH", f"/api/annotations/{annotation}/", json=fields)

    def delete_annotation(self, annotation: int) -> None:
        """Delete an annotation."""
        self.request("DELETE", f"/api/annotations/{annotation}/")

    # Predictions

    def import_predictions(
        self,
        project: int,
        predictions: Sequence[Mapping[str, Any]],
        batch: int = 500,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Store predictions, each with its ``task``; ``progress`` is told how many went over. Returns how many."""
        stored = 0
        for start in range(0, len(predictions), batch):
            part = [dict(prediction) for prediction in predictions[start : start + batch]]
            answer = self._dict("POST", f"/api/projects/{project}/import/predictions", json=part, timeout=SLOW_SECONDS)
            stored += int(answer["created"])
            if progress is not None:
                progress(len(part))
        return stored

    def delete_predictions(self, project: int, version: str) -> None:
        """Delete all predictions of a model version."""
        self.request(
            "DELETE",
            f"/api/projects/{project}/model-versions/",
            json={"model_version": version},
            timeout=SLOW_SECONDS,
        )

    def model_versions(self, project: int) -> dict[str, int]:
        """Model version → number of its predictions that Label Studio holds."""
        return {str(name): int(n) for name, n in self._dict("GET", f"/api/projects/{project}/model-versions/").items()}

    def _page(self, project: int, after: datetime.datetime | None, page: int, size: int) -> list[Json]:
        value = (after or datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)).strftime(_TIME)
        query = _query("tasks:updated_at", "updated_at", "Datetime", value)
        return self._rows(
            {"project": project, "query": query, "page": page, "page_size": size, "fields": "all"}
            | {"resolve_uri": "false"}
        )

    def _rows(self, parameters: Mapping[str, Any]) -> list[Json]:
        try:
            rows = self._dict("GET", "/api/tasks/", params=dict(parameters), timeout=SLOW_SECONDS)["tasks"]
        except RemoteError as error:
            if error.status != 404:
                raise
            self.project(int(parameters["project"]))  # a page after the last is "not found", like a missing project
            return []
        return list(rows)

    def _made(self, project: int, count: int, **body: Any) -> list[int]:  # noqa: ANN401  (of httpx)
        path = f"/api/projects/{project}/import"
        answer = self._dict("POST", path, params={"return_task_ids": "1"}, timeout=SLOW_SECONDS, **body)
        ids = [int(task) for task in answer.get("task_ids", ())]
        if len(ids) != count:
            raise RemoteError(
                f"Label Studio at {self.url} made {len(ids)} tasks out of {count} in project {project}; look there "
                "before importing again"
            )
        return ids

    def _upload(self, project: int, files: Sequence[Path]) -> list[Json]:
        with ExitStack() as opened:
            try:
                handles = [opened.enter_context(file.open("rb")) for file in files]
            except OSError as error:
                raise DataError(f"{error.filename}: {error.strerror}; no image of this batch was uploaded") from None
            # of several parts with one name Label Studio keeps the last alone
            parts = {f"file{i}": (files[i].name, handle) for i, handle in enumerate(handles)}
            ids = self._made(project, len(files), files=parts)
        query = _query("tasks:id", "id", "Number", min(ids) - 1)
        parameters = {"project": project, "query": query, "page_size": max(ids) - min(ids) + 1, "resolve_uri": "false"}
        found = {int(row["id"]): row for row in self._rows(parameters)}
        return [{"id": task, "data": found[task]["data"]} for task in sorted(ids)]


def _query(ordering: str, column: str, kind: str, value: object) -> str:
    item = {"filter": f"filter:tasks:{column}", "operator": "greater", "type": kind, "value": value}
    return json.dumps({"filters": {"conjunction": "and", "items": [item]}, "ordering": [ordering]})


def _utc(time: str) -> datetime.datetime:
    """A time as Label Studio or Python write it; one without a zone is UTC."""
    try:
        read = datetime.datetime.fromisoformat(time)
    except ValueError:
        raise DataError(f"{time!r} is no time; write it like 2024-05-06T07:08:09Z") from None
    return read.replace(tzinfo=datetime.UTC) if read.tzinfo is None else read.astimezone(datetime.UTC)


def _after(error: RemoteError) -> str:
    """Label Studio's own words out of our sentence about them."""
    return str(error).partition(" with HTTP 400: ")[2].removeprefix("label_config: ")
