"""A simulated annotator who answers truthfully, at a price, until the time is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire import KINDS, Kind, Part, Prices, Query
from spml_annotate.errors import DataError
from spml_annotate.labels import POSITIVE, UNKNOWN, Answer, Observation

_YES_NO: dict[bool, Answer] = {True: "yes", False: "no"}


class SimulatedOracle:
    """Answers from the truth.

    Args:
        truth: complete codes int8 [N, L].
        picks: the class that the annotator names first on each image, int64 [N], -1 where there is none.
        kinds: built kinds of question by name, for those with settings; others are built with their defaults.

    Raises:
        DataError: if the truth has unknown cells.
    """

    def __init__(
        self,
        truth: NDArray[np.int8],
        picks: NDArray[np.int64],
        *,
        prices: Prices | None = None,
        kinds: Mapping[str, Kind] | None = None,
        annotator: str = "simulated",
    ) -> None:
        if (truth == UNKNOWN).any():
            row, label = (int(i[0]) for i in np.nonzero(truth == UNKNOWN))
            raise DataError(
                f"simulated answers need the complete truth; image {row}, class {label} is unknown. "
                "Use a fully labelled data set"
            )
        self._truth = truth == POSITIVE
        self._picks = picks
        self._prices = prices or Prices()
        self._kinds = dict(kinds or {})
        self._annotator = annotator
        self._waiting: list[Query] = []
        self._known = np.zeros_like(self._truth)  # positives this annotator has named or confirmed
        self._asked = 0
        self.seconds = 0.0
        self.questions: Counter[str] = Counter()

    def resume(self, codes: NDArray[np.int8], seconds: float, questions: Mapping[str, int]) -> None:
        """Go on where an earlier session stopped: what was known then, seconds spent, questions answered by kind."""
        self._known = codes == POSITIVE
        self.seconds, self.questions = seconds, Counter(questions)

    def ask(self, queries: Sequence[Query]) -> None:
        """See `Oracle.ask`."""
        self._waiting.extend(queries)

    def answers(self, limit: float = float("inf")) -> Iterator[Observation]:
        """Answers to what was asked, in order, for as long as each question still fits into ``limit`` seconds.

        Questions that no longer fit are dropped. All observations of one act carry its seconds on the first of them,
        so that the seconds of a question are the sum over its observations.
        """
        waiting, self._waiting = self._waiting, []
        end = self.seconds + limit
        viewed = -1
        for query in waiting:
            parts = self._reply(query)
            view = self._prices.view if query.kind == "verify" and query.row != viewed else 0.0
            spent = view + sum(part.seconds for part in parts)
            if self.seconds + spent > end:
                continue
            viewed = query.row
            self.seconds += spent
            self.questions[query.kind] += 1
            yield from self._observations(query, parts, view)

    def _kind(self, name: str) -> Kind:
        if name not in self._kinds:
            self._kinds[name] = KINDS[name].function()
        return self._kinds[name]

    def _reply(self, query: Query) -> list[Part]:
        row = query.row
        reply = self._kind(query.kind).reply
        return reply(self._prices, query, self._truth[row], self._known[row], int(self._picks[row]))

    def _observations(self, query: Query, parts: Sequence[Part], view: float) -> Iterator[Observation]:
        shown = set(query.shown)
        for seconds, cells in parts:
            cost = seconds + view
            view = 0.0
            for label, present in cells:
                self._known[query.row, label] = present
                self._asked += 1
                yield Observation(
                    query.row,
                    label,
                    _YES_NO[present],
                    self._annotator,
                    "human",
                    cost,
                    self.seconds,
                    query.id,
                    label in shown,
                    f"{self._annotator}-{self._asked}",
                )
                cost = 0.0
