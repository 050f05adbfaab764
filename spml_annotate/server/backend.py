"""What the routes do: set up, predict, take hints, and say which versions there are."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spml_annotate.errors import SpmlError
from spml_annotate.loop.links import MAIN, Link
from spml_annotate.server.hub import NOBODY, Hub, Served
from spml_annotate.server.naming import Named, classes_of, named
from spml_annotate.server.predicting import Predictor
from spml_annotate.server.runner import Runner
from spml_annotate.server.security import RequestError
from spml_annotate.server.watcher import Watcher
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.predictions import empty_prediction

logger = logging.getLogger(__name__)

TRAIN = "START_TRAINING"
_ACTIONS = frozenset(
    f"{what}_{done}"
    for what in ("ANNOTATION", "ANNOTATIONS", "TASK", "TASKS", "PROJECT", "LABEL_LINK")
    for done in ("CREATED", "UPDATED", "DELETED")
) | {TRAIN}


class Backend:
    """A server's inside, without HTTP: requests are JSON objects, and any object gets an answer or a `RequestError`.

    Args:
        settings: of the server.
        project: folder of the one project to serve; see `Hub`.
    """

    def __init__(self, settings: StudioSettings, project: Path | None = None) -> None:
        self.settings = settings
        self.hub = Hub(settings, project)
        self.runner = Runner(self.hub)
        self.watcher = Watcher(self.hub, self.runner)
        self.predictor = Predictor(self.hub)

    def open(self) -> None:
        """Claim the folder; see `Hub.open` for errors."""
        if not self.hub.is_open:
            self.hub.open()

    def start(self) -> None:
        """Open, and begin to watch and to work."""
        self.open()
        import spml_annotate.embed.images  # noqa: F401  (torch, now: later it would keep `/health` waiting)

        self.runner.start()
        self.watcher.start()

    def stop(self) -> None:
        """End the threads and the training process; what was asked for waits for the next start."""
        self.watcher.stop()
        self.runner.stop()
        self.close()

    def close(self) -> None:
        """Let go of the folder; closing twice is allowed."""
        if self.hub.is_open:
            self.hub.close()

    def setup(self, body: Mapping[str, Any], trusted: bool) -> dict[str, Any]:
        """Answer `/setup`: the version in use, whatever happens.

        Args:
            body: as Label Studio sends it.
            trusted: whether who asks knew a password.
        """
        project = _project(body)
        host, token = _text(body, "hostname"), _text(body, "access_token")
        self.hub.remember(project, host.rstrip("/"), token, trusted=trusted)
        known = self._find(project)
        found = known or self._adopt(project, host, _text(body, "schema"))
        if found is None:
            return {"model_version": NOBODY}
        served, link = found
        if known is None or not link.swept:
            self.hub.hint(served, link.id)
        return {"model_version": link.version}

    def predict(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `/predict`: one result per task, in order, each valid."""
        tasks = body.get("tasks")
        if not isinstance(tasks, list):
            raise RequestError(422, "tasks must be a list")
        project, config = _project(body), _text(body, "label_config")
        found = self._find(project) or self._adopt(project, "", config, tasks)
        if found is None:
            self.hub.metrics.predictions.labels("unserved").inc(len(tasks))
            return {"results": [empty_prediction(NOBODY) for _ in tasks], "model_version": NOBODY}
        served, link = found
        results = self.predictor.predict(served, link, config or link.config, tasks)
        return {"results": results, "model_version": link.version}

    def webhook(self, body: Mapping[str, Any], trusted: bool) -> dict[str, Any]:
        """Take a webhook as a hint; START_TRAINING of somebody trusted is on the disk when this returns."""
        action = body.get("action")
        known = action if isinstance(action, str) and action in _ACTIONS else "other"
        self.hub.metrics.webhooks.labels(known).inc()
        project = named(body.get("project"))
        if project is None or known == "other":
            return {"status": "ignored"}
        found = self._find(project)
        if found is None and trusted:
            sent = body["project"]
            found = self._adopt(project, "", _text(sent, "label_config") if isinstance(sent, Mapping) else "")
        if found is None:
            return {"status": "ignored"}
        served, link = found
        if known == TRAIN and trusted:
            return self._train(served, link)
        self.hub.hint(served, link.id)
        return {"status": "noted"}

    def versions(self) -> dict[str, Any]:
        """The versions in use, one for each project."""
        mains = (served.main() for served in self.hub.served())
        return {"versions": sorted({link.version for link in mains if link is not None})}

    def _train(self, served: Served, link: Link) -> dict[str, Any]:
        main = link if link.kind == MAIN else served.main()
        if main is None:
            return {"status": "ignored"}
        job = served.jobs.request(main.id, "train", "START_TRAINING")
        self.runner.wake()
        return {"status": "queued", "job": job.id}

    def _find(self, project: Named) -> tuple[Served, Link] | None:
        try:
            return self.hub.find(project)
        except SpmlError as error:
            logger.error("%s", error)
            return None

    def _adopt(
        self, project: Named, host: str, config: str, tasks: Iterable[object] = ()
    ) -> tuple[Served, Link] | None:
        if not config:
            return None
        return self.hub.adopt(project, self.settings.url or host, config, classes_of(config, tasks))


def _project(body: Mapping[str, Any]) -> Named:
    found = named(body.get("project"))
    if found is None:
        raise RequestError(422, "project must be the id of a Label Studio project")
    return found


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
