"""What stands in a cell of a table for positive, negative and unknown."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN

NUMBERS: Mapping[str, int] = MappingProxyType(
    {
        **{text: POSITIVE for text in ("1", "1.0")},
        **{text: NEGATIVE for text in ("0", "0.0")},
        **{text: UNKNOWN for text in ("-1", "-1.0")},
        **{text: POSITIVE for text in ("TRUE", "True", "true")},
        **{text: NEGATIVE for text in ("FALSE", "False", "false")},
    }
)
"""Text → code; spreadsheets and pandas write true and false in capitals."""
MISSING = ("", "NaN", "nan", "NA", "N/A", "<NA>", "null", "None")
"""How programs write a cell without content."""
CODES: Mapping[str, int] = MappingProxyType({**NUMBERS, **dict.fromkeys(MISSING, UNKNOWN)})
"""The same, and what is missing is unknown."""
