"""A question to a person."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Query(NamedTuple):
    """One question about one image.

    ``labels`` are the classes it may make known, ``shown`` those of them that are put before the person as ticked,
    ``seconds`` is the expected cost without the view of a new image that verify questions share.
    """

    row: int
    labels: tuple[int, ...]
    kind: str
    shown: tuple[int, ...] = ()
    seconds: float = 0.0
    id: str = ""

    def named(self, tag: str) -> Query:
        """The same question with the id that ``tag`` (a round, a session) and its content give it."""
        text = f"{tag}|{self.kind}|{self.row}|{','.join(map(str, self.labels))}"
        return self._replace(id=hashlib.sha256(text.encode()).hexdigest()[:16])
