"""Label Studio JSON: exports of a project, and tasks with predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.json_places import begins_as_json, read_json
from spml_annotate.formats.label_studio_min import from_min, is_min, key_of_classes, read_table
from spml_annotate.formats.label_studio_read import TaskReader
from spml_annotate.formats.label_studio_regions import RegionLabels, as_choices, of_config, of_results
from spml_annotate.formats.label_studio_write import config_path, save_label_studio
from spml_annotate.formats.text import read_text
from spml_annotate.progress import progress
from spml_annotate.studio.config import LabellingConfig, parse_config
from spml_annotate.studio.forms import VERDICT
from spml_annotate.taxonomy import Taxonomy

__all__ = ["load_label_studio", "save_label_studio"]


@FORMATS.register(
    "label-studio",
    loads="table",
    saves=save_label_studio,
    suffixes=(),
    is_folder=False,
    can=frozenset({"several", "negatives", "unknown", "splits", "scores", "provenance"}),
    notes="Choices of the control `label` are positives, of `absent` negatives; a class in neither is unknown.",
)
def load_label_studio(
    path: str | Path,
    *,
    classes: Classes | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    config: str | Path | None = None,
    control: str = "",
    complete: bool = False,
) -> LabelTable:
    """Labels of an export of Label Studio (its format "JSON") or of tasks to import.

    The smaller formats "JSON_MIN", "CSV" and "TSV" are read, too; unless an image has several choices, they do not show
    which of their keys is the control: name it, or give the config.

    Labels of regions (boxes, polygons, ellipses, brushes, points) say that the class is there, however often, and
    nothing about others. Where the config or the results have choices for the whole picture, those count instead.

    Choices that people ticked are positives; those ticked in a control ``absent`` are negatives; ``unsure`` leaves a
    class unknown, and so does a skipped task. Predictions are proposals with their scores; those that an export names
    only by number are left out. Annotators are called "ls:user-<number>", or by e-mail where the export has it.

    Args:
        path: the file: a list of tasks or one, or a table.
        classes: the classes and their order; by default those of the config, else those named, in order.
        root: a folder of pictures; image ids become the paths below it, found by the end of their addresses, and by
            the name that an upload gave them. Without it, the id is ``image_id`` of the task, else what the address
            says.
        name: not needed; a table has none.
        config: the labelling config (file); by default ``NAME.config.xml`` beside the file, if it is there.
        control: name of the Choices, Taxonomy or labels of regions with the classes, where there are several.
        complete: read what an annotation leaves without a tick as negative, as the question about every class means.

    Raises:
        DataError: for a missing or malformed file, an unknown choice, or a picture that ``root`` lacks; it names the
            task.
    """
    path = Path(path)
    entries = _entries(path)
    try:
        known, regions = _read_config(path, config, control)
        key = control if regions is not None or known is None else known.main.name
        least = None if regions is not None or not any(map(is_min, entries)) else key_of_classes(entries, key)
        if known is None and least is None:
            regions = of_results((from_min(e, None) if is_min(e) else e for e in entries), control)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    control = regions.control if regions is not None else least or control
    reader = TaskReader(_classes(classes, known), known, control, Path(root) if root is not None else None)
    for number, entry in enumerate(progress(entries, what=f"reading {path.name}")):
        try:
            task = from_min(entry, least) if is_min(entry) else entry
            reader.add(as_choices(task, regions) if regions is not None and isinstance(task, Mapping) else task)
        except DataError as error:
            raise DataError(f"{path}, [{number}]: {error}") from None
    try:
        return reader.table(complete=complete)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _entries(path: Path) -> list[Any]:
    """The tasks or annotations of a file, be it JSON or a table."""
    if not begins_as_json(path):
        return read_table(path)
    content = read_json(path)
    if isinstance(content, Mapping) and ("data" in content or is_min(content)):
        return [content]
    if not isinstance(content, list):
        raise DataError(f"{path}: this is not a list of tasks; export the project in the format JSON")
    return content


def _read_config(
    path: Path, given: str | Path | None, control: str
) -> tuple[LabellingConfig | None, RegionLabels | None]:
    """The labelling config, and what it says of regions if they have the classes."""
    file = Path(given) if given is not None else config_path(path)
    if given is None and not file.is_file():
        return None, None
    text = read_text(file)
    try:
        return of_config(text, control) or (parse_config(text, control=control), None)
    except DataError as error:
        raise DataError(f"labelling config {file.name}: {error}") from None


def _classes(given: Classes | None, config: LabellingConfig | None) -> Classes | None:
    if given is not None:
        return given
    if config is None or not config.controls or not config.classes or config.main.name == VERDICT:
        return None  # tasks name the classes
    return Taxonomy(config.classes)
