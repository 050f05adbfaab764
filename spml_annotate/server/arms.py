"""What choosing the images brings in the live run, for Prometheus: both arms of every project."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from spml_annotate.errors import SpmlError
from spml_annotate.loop.gain import gain_summary

if TYPE_CHECKING:
    from spml_annotate.server.hub import Hub

logger = logging.getLogger(__name__)

_FAMILIES = {
    "answers": ("spml_arm_answers", "Answers to tasks of an arm (chosen for their worth, or random)"),
    "hours": ("spml_arm_hours", "Hours that they took"),
    "positives": ("spml_arm_positives", "Positives that were named"),
    "positives_per_hour": ("spml_arm_positives_per_hour", "Positives named per hour"),
    "surprise": ("spml_arm_surprise_nats", "Mean -log p of the answers by the model in use"),
    "surprise_per_minute": ("spml_arm_surprise_nats_per_minute", "The same per minute of answering"),
}


class ArmCollector(Collector):
    """Answers by arm, read from the projects at that moment; what was not measured is left out.

    Args:
        hub: whose projects.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is looked at when the registry is made."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family per figure, of all projects."""
        families = {
            figure: GaugeMetricFamily(name, text, labels=["project", "arm"])
            for figure, (name, text) in _FAMILIES.items()
        }
        for served in self.hub.served():
            try:
                main = served.main()
                summary = gain_summary(served.links, main) if main is not None else {}
            except SpmlError as error:
                logger.error("metrics of %s: %s", served.folder, error)
                continue
            for arm, figures in summary.items():
                for figure, value in figures.items():
                    if value is not None:
                        families[figure].add_metric([served.folder.name, arm], value)
        yield from families.values()
