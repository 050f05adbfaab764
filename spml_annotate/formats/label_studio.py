"""Label Studio JSON: exports of a project, and tasks with predictions."""

from __future__ import annotations

from pathlib import Path

from spml_annotate.errors import DataError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.classes import Classes
from spml_annotate.formats.export import LabelTable
from spml_annotate.formats.json_places import read_json
from spml_annotate.formats.label_studio_read import TaskReader
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

    The smaller format "JSON_MIN" is read, too; unless every image has several choices, it does not show which of its
    keys is the control: name it.

    Choices that people ticked are positives; those ticked in a control ``absent`` are negatives; ``unsure`` leaves a
    class unknown, and so does a skipped task. Predictions are proposals with their scores; those that an export names
    only by number are left out. Annotators are called "ls:user-<number>", or by e-mail where the export has it.

    Args:
        path: the file.
        classes: the classes and their order; by default those of the config, else those named, in order.
        root: a folder of pictures; image ids become the paths below it, found by the end of their addresses, and by
            the name that an upload gave them. Without it, the id is ``image_id`` of the task, else what the address
            says.
        name: not needed; a table has none.
        config: the labelling config (file); by default ``NAME.config.xml`` beside the file, if it is there.
        control: name of the Choices or Taxonomy with the classes, where there are several.
        complete: read what an annotation leaves without a tick as negative, as the question about every class means.

    Raises:
        DataError: for a missing or malformed file, an unknown choice, or a picture that ``root`` lacks; it names the
            task.
    """
    path = Path(path)
    read = _config(path, config, control)
    reader = TaskReader(_classes(classes, read), read, control, Path(root) if root is not None else None)
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{path}: this is not a list of tasks; export the project in the format JSON")
    for number, task in enumerate(progress(content, what=f"reading {path.name}")):
        try:
            reader.add(task)
        except DataError as error:
            raise DataError(f"{path}, [{number}]: {error}") from None
    try:
        return reader.table(complete=complete)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _config(path: Path, given: str | Path | None, control: str) -> LabellingConfig | None:
    file = Path(given) if given is not None else config_path(path)
    if given is None and not file.is_file():
        return None
    try:
        return parse_config(read_text(file), control=control)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None


def _classes(given: Classes | None, config: LabellingConfig | None) -> Classes | None:
    if given is not None:
        return given
    if config is None or not config.classes or config.main.name == VERDICT:
        return None  # tasks name the classes
    return Taxonomy(config.classes)
