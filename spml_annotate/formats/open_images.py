"""Exported labels as one long CSV in the style of Open Images, and reading the label files of Open Images itself.

Columns of Open Images: ``ImageID,Source,LabelName,Confidence``, Confidence 1 or 0 (a fraction for machine labels).
Ours after them: ``Score,Annotator,Time,Split,Shown``. A line with an empty LabelName states an image without labels.
The manifest beside the file (``NAME.manifest.json``) holds what lines cannot: order, keys, aliases and prompts of the
classes. It is replaced before the labels are, so a crash between the two leaves the old labels readable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.formats.csv_blocks import is_large, read_blocks
from spml_annotate.formats.csv_columns import Memo
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.formats.manifest import from_json, manifest, metadata_of, taxonomy_of, to_json
from spml_annotate.formats.open_images_lines import COLUMNS, LineReader
from spml_annotate.formats.open_images_names import read_descriptions
from spml_annotate.formats.text import csv_line, quoted, read_records, read_text
from spml_annotate.progress import progress
from spml_annotate.stores.atomic import write_atomically, write_text

_BLOCK = 4096


def save_open_images(path: str | Path, table: LabelTable, *, pictures: Mapping[str, Path] | None = None) -> None:
    """Write ``path`` (CSV) and the manifest beside it; the pictures have no place in it."""
    path = Path(path)

    def write(file: BinaryIO) -> None:
        file.write(csv_line(COLUMNS))
        for start in progress(range(0, len(table.image_ids), _BLOCK), what="writing labels"):
            file.write("".join(_lines(table, start, min(start + _BLOCK, len(table.image_ids)))).encode())

    write_text(_beside(path), to_json(manifest(table)))
    write_atomically(path, write)


@FORMATS.register(
    "open-images",
    loads="table",
    saves=save_open_images,
    suffixes=(),
    is_folder=False,
    names=True,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "provenance"}),
    notes="A line per label: Confidence 1 positive, 0 negative; a cell without a line is unknown.",
)
def load_open_images(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    descriptions: str | Path = "",
) -> LabelTable:
    """Labels in the style of Open Images.

    Sources of Open Images: "machine" becomes a proposal with the confidence as its score; all others are people and
    become the annotator's name.

    Args:
        path: the CSV file; columns after Confidence may be missing.
        classes: the classes; by default those of the manifest beside the file, else those named in it, in order.
        root: not needed; ids are those in the file.
        name: not needed; a table has none.
        descriptions: the file ``class-descriptions.csv`` of Open Images, which says what its ``/m/01g317`` are called;
            by default, where there is no manifest, files of such a name beside the labels.

    Raises:
        DataError: for a missing, empty or malformed file, an unknown class or a wrong value; it names the line.
    """
    path = Path(path)
    metadata: dict[str, str] = {}
    taxonomy = as_taxonomy(classes) if classes is not None else None
    named = read_descriptions(path, descriptions) if descriptions or not _beside(path).is_file() else {}
    if taxonomy is not None:  # it may know the codes themselves, as other spellings
        own = {*taxonomy.names, *taxonomy.aliases}
        named = {code: name for code, name in named.items() if code not in own}
    if taxonomy is None and _beside(path).is_file():
        about = from_json(read_text(_beside(path)), str(_beside(path)))
        taxonomy, metadata = taxonomy_of(about, str(_beside(path))), metadata_of(about)
    records = read_records(path)
    header = next(records, None)
    if header is None:
        raise DataError(f"{path}: the file is empty; it needs the header {','.join(COLUMNS[:4])}")
    if is_large(path):
        with suppress(DataError):  # unusual or wrong: record by record, it is read after all, or told with its line
            reader = LineReader(path, header, taxonomy, named)
            return reader.read_blocks(read_blocks(path, header, reader.numbers()), metadata)
    return LineReader(path, header, taxonomy, named).read(progress(records, what=f"reading {path.name}"), metadata)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.manifest.json")


def _lines(table: LabelTable, start: int, stop: int) -> Iterator[str]:
    """Image by image, so that the order of the images is the order in which the file names them."""
    ends = np.searchsorted(table.rows, np.arange(start, stop + 1))
    labels = slice(int(ends[0]), int(ends[-1]))
    words = Memo(quoted)
    names = [words[name] for name in table.taxonomy.names]
    lines = [
        f",{words[source]},{names[label]},{value},{'' if score != score else repr(score)},{words[who]},{time!r},"
        for source, label, value, score, who, time in zip(
            table.sources[labels].tolist(),
            table.labels[labels].tolist(),
            table.values[labels].tolist(),
            table.scores[labels].tolist(),
            table.annotators[labels].tolist(),
            table.times[labels].tolist(),
            strict=True,
        )
    ]
    flags = [str(int(flag)) for flag in table.shown[labels].tolist()]
    first = 0
    for row, last in zip(range(start, stop), (ends[1:] - ends[0]).tolist(), strict=True):
        image, split = quoted(table.image_ids[row]), SPLIT_NAMES[int(table.split[row])]
        if first == last:
            yield f"{image},,,,,,,{split},\n"
        for place in range(first, last):
            yield f"{image}{lines[place]}{split},{flags[place]}\n"
        first = last
