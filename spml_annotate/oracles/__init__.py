"""Who answers: a simulated annotator now, Label Studio later; both take questions and give observations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from spml_annotate.acquire import Query
from spml_annotate.labels import Observation


class Oracle(Protocol):
    """``ask`` then ``answers``: at once when simulated, whatever has arrived when people answer."""

    def ask(self, queries: Sequence[Query]) -> None:
        """Put questions, best first."""

    def answers(self) -> Iterator[Observation]:
        """Answers that have arrived since the last call; a redelivered answer has the event id it had before."""
