"""Which further labels are worth a person's next second: values, kinds of question, prices, and the choice."""

from __future__ import annotations

from spml_annotate.acquire.choose import choose as choose
from spml_annotate.acquire.cost import PRICES as PRICES
from spml_annotate.acquire.cost import Prices as Prices
from spml_annotate.acquire.cost import load_prices as load_prices
from spml_annotate.acquire.kinds import KINDS as KINDS
from spml_annotate.acquire.kinds import Kind as Kind
from spml_annotate.acquire.kinds import Part as Part
from spml_annotate.acquire.query import Query as Query
from spml_annotate.acquire.values import VALUES as VALUES
from spml_annotate.acquire.values import Strategy as Strategy
from spml_annotate.acquire.values import strategy as strategy

__all__ = [
    "KINDS",
    "PRICES",
    "VALUES",
    "Kind",
    "Part",
    "Prices",
    "Query",
    "Strategy",
    "choose",
    "load_prices",
    "strategy",
]
