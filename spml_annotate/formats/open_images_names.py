"""What the classes of Open Images are called: ``class-descriptions.csv``, with lines such as ``/m/01g317,Person``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats.text import at, read_records

_PATTERN = "*class-descriptions*.csv"
_HEADER = "LabelName"


def read_descriptions(labels: Path, given: str | Path) -> dict[str, str]:
    """Code → name, of the file given, else of the files beside the labels; empty if there is none.

    Several codes that are called the same keep their code behind the name.

    Raises:
        DataError: for a file that is missing, or has a line that is no code and name.
    """
    files = [Path(given)] if given else sorted(file for file in labels.parent.glob(_PATTERN) if file != labels)
    found: dict[str, str] = {}
    for file in files:
        for line, fields in read_records(file):
            if fields[0] == _HEADER:
                continue
            if len(fields) != 2 or not all(field.strip() for field in fields):
                raise at(file, line, "this is not a code of Open Images and a name, such as /m/01g317,Person")
            found.setdefault(fields[0].strip(), fields[1].strip())
    if given and not found:
        raise DataError(f"{given}: the file is empty; it has lines such as /m/01g317,Person")
    often = Counter(found.values())
    return {code: name if often[name] == 1 else f"{name} ({code})" for code, name in found.items()}
