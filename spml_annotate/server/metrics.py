"""What the server counts, for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from spml_annotate.errors import SpmlError
from spml_annotate.server.arms import ArmCollector
from spml_annotate.version import __version__

if TYPE_CHECKING:
    from spml_annotate.server.hub import Hub, Served

logger = logging.getLogger(__name__)

CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_MILLISECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        hub: whose projects and jobs are looked at when somebody reads the metrics.
    """

    def __init__(self, hub: Hub) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter("spml_requests", "Requests answered", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "spml_request_seconds", "Seconds to answer", ["route"], buckets=_MILLISECONDS, registry=registry
        )
        self.predictions = Counter(
            "spml_predictions", "Tasks predicted, by what came out", ["outcome"], registry=registry
        )
        self.images = Counter("spml_images_failed", "Images that could not be read for a prediction", registry=registry)
        self.webhooks = Counter("spml_webhooks", "Webhooks by action", ["action"], registry=registry)
        self.answers = Counter("spml_answers_read", "Answers read from Label Studio", ["project"], registry=registry)
        self.pulls = Counter("spml_pulls", "Readings of Label Studio", ["project", "outcome"], registry=registry)
        self.new_answers = Gauge(
            "spml_answers_since_training", "Answers that no training saw yet", ["project"], registry=registry
        )
        info = Gauge("spml_server", "This server", ["version"], registry=registry)
        info.labels(__version__).set(1)
        registry.register(_JobCollector(hub))
        registry.register(ArmCollector(hub))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _JobCollector(Collector):
    """Jobs and versions, read from the projects at that moment."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is looked at when the registry is made."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families of all projects."""
        jobs = GaugeMetricFamily("spml_jobs", "Jobs by state", labels=["project", "kind", "state"])
        failed = GaugeMetricFamily(
            "spml_last_training_failed", "1 if the last training failed, and why", labels=["project", "reason"]
        )
        ended = GaugeMetricFamily("spml_last_training_time", "Unix time of its end", labels=["project"])
        version = GaugeMetricFamily("spml_model_version", "The version in use", labels=["project", "version"])
        for served in self.hub.served():
            try:
                _look(served, jobs, failed, ended, version)
            except SpmlError as error:
                logger.error("metrics of %s: %s", served.folder, error)
        yield from (jobs, failed, ended, version)


def _look(
    served: Served,
    jobs: GaugeMetricFamily,
    failed: GaugeMetricFamily,
    ended: GaugeMetricFamily,
    version: GaugeMetricFamily,
) -> None:
    name, found = served.folder.name, served.jobs.jobs()
    for kind in ("train", "refresh"):
        for state in ("queued", "running", "done", "failed"):
            count = sum(job.kind == kind and job.state == state for job in found)
            jobs.add_metric([name, kind, state], count)
    trainings = [job for job in found if job.kind == "train" and job.finished is not None]
    if trainings:
        last = trainings[-1]
        failed.add_metric([name, last.error if last.state == "failed" else ""], float(last.state == "failed"))
        ended.add_metric([name], last.finished or 0.0)
    main = served.main()
    if main is not None:
        version.add_metric([name, main.version], 1)
