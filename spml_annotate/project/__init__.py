"""`Project`: the verbs of a labelling project, from images and one positive each to an exported data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.classes import Classes, as_taxonomy
from spml_annotate.labels import LabelMatrix, Observation
from spml_annotate.oracles import Oracle
from spml_annotate.project.answering import Answered, Undone, answer_file, undo
from spml_annotate.project.asking import Asking, OpenQuestion, ask, ask_picks, ask_validation, open_questions
from spml_annotate.project.checkup import Check, doctor
from spml_annotate.project.embedding import Embedded, embed
from spml_annotate.project.estimating import Estimated, estimate_expected_positives
from spml_annotate.project.exporting import Exported, export
from spml_annotate.project.importing import Imported, import_labels
from spml_annotate.project.judging import Evaluated, evaluate
from spml_annotate.project.learning import Trained, train
from spml_annotate.project.pictures import AddedImages, add_images, move_images
from spml_annotate.project.proposing import Proposed, propose
from spml_annotate.project.reporting import Status, status
from spml_annotate.project.sample import checked_sample
from spml_annotate.project.scoring import extend_scores, read_scores, require_model
from spml_annotate.stores.images import TRAIN
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.workspace import Workspace


class Project:
    """A labelling project in a folder.

        with Project.create("birds", ["heron", "gull", "tern"]) as project:
            project.add_images("photographs")
            project.import_labels("one_positive_each.csv")
            project.embed()
            project.train()
            project.ask(budget=1800)

    Every verb has the name and the options of its command; what the functions behind them say of arguments and errors
    holds here, too. A verb that writes takes the project's lock while it runs.

    Args:
        folder: of an existing project; `Project.create` makes a new one.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.workspace = Workspace.open(folder)

    @classmethod
    def create(cls, folder: str | Path, classes: Classes, *, name: str = "") -> Project:
        """Make a project for classes: a taxonomy, a list of names, or the path of a class list."""
        taxonomy = as_taxonomy(classes)
        if not len(taxonomy):
            raise DataError("a project needs at least one class; name some")
        Workspace.create(folder, taxonomy, name=name).close()
        return cls(folder)

    # What is there

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self.workspace.taxonomy

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Ids of the N images, row by row."""
        return self.workspace.images.ids()

    @property
    def labels(self) -> LabelMatrix:
        """What is known, [N, L]."""
        return self.workspace.folded().matrix

    def features(self) -> NDArray[np.float16]:
        """Features [n, D] of the embedded images, read-only."""
        return self.workspace.read_features()

    def scores(self) -> NDArray[np.float16]:
        """Scores [n, L] of the current model on the embedded images; classes that came after it have 0."""
        zeros = np.zeros(len(self.taxonomy))
        return read_scores(self.workspace, require_model(self.workspace), zeros)

    def open_questions(self, annotator: str | None = None) -> list[OpenQuestion]:
        """Questions that wait for an answer."""
        return open_questions(self.workspace, annotator)

    def status(self) -> Status:
        """Where the project stands, and the next sensible step."""
        return status(self.workspace)

    def doctor(self) -> list[Check]:
        """Whether this machine and this project have all that is needed."""
        return doctor(self.workspace.root)

    # Images and classes

    def add_images(
        self, sources: str | Path | Sequence[str | Path], *, split: int = TRAIN, prefix: str = ""
    ) -> AddedImages:
        """Add folders and files; see `add_images`."""
        return add_images(self.workspace, sources, split=split, prefix=prefix)

    def move_images(self, old: str | Path, new: str | Path) -> int:
        """Note that a folder of images lies elsewhere now; see `move_images`."""
        return move_images(self.workspace, old, new)

    def add_classes(self, names: Iterable[str]) -> None:
        """Add classes after the present ones."""
        with self.workspace.writing("classes add"):
            self.workspace.change_taxonomy(self.taxonomy.extended(names))

    def rename_class(self, old: str, new: str) -> None:
        """Give a class another name; the old one stays as an alias."""
        with self.workspace.writing("classes rename"):
            self.workspace.change_taxonomy(self.taxonomy.renamed(old, new))

    def alias_class(self, name: str, alias: str) -> None:
        """Let another spelling mean a class, in files that are imported.

        Raises:
            DataError: if there is no such class, or the alias means another one.
        """
        with self.workspace.writing("classes alias"):
            column = self.taxonomy.column(name)
            meant = {*self.taxonomy.names, *self.taxonomy.keys, *self.taxonomy.aliases}
            if not alias.strip() or (alias in meant and self.taxonomy.column(alias) != column):
                raise DataError(f"{alias!r} cannot be an alias of {name!r}: it is empty or means another class")
            aliases = {**self.taxonomy.aliases, alias: self.taxonomy.keys[column]}
            self.workspace.change_taxonomy(replace(self.taxonomy, aliases=aliases))

    # Labels

    def observe(self, observations: Iterable[Observation]) -> int:
        """Append answers as they are; returns how many were new."""
        found = list(observations)
        count, classes = self.workspace.shape
        for said in found:
            if said.row >= count or said.label >= classes:
                raise DataError(
                    f"there is no image {said.row} or class {said.label}; the project is {count} x {classes}"
                )
        return self.workspace.log.append(found)

    def collect(self, oracle: Oracle) -> int:
        """Append the answers of an oracle that have arrived since the last call; returns how many were new."""
        return self.observe(oracle.answers())

    def import_labels(self, path: str | Path, **options: Any) -> Imported:  # noqa: ANN401  (those of the function)
        """Add the labels of a file; see `import_labels`."""
        return import_labels(self.workspace, path, **options)

    def answer(self, path: str | Path, *, annotator: str = "human") -> Answered:
        """Store the answers of a file; see `answer_file`."""
        return answer_file(self.workspace, path, annotator=annotator)

    def undo(self, question: str | None = None) -> Undone:
        """Take back the answers to a question, the one answered last by default."""
        return undo(self.workspace, question)

    # The loop

    def embed(self, **options: Any) -> Embedded:  # noqa: ANN401  (those of the function)
        """Embed the images that have no features yet; see `embed`."""
        return embed(self.workspace, **options)

    def train(self, **options: Any) -> Trained:  # noqa: ANN401  (those of the function)
        """Train, score all images, and make the result the current model; see `train`."""
        return train(self.workspace, **options)

    def score(self) -> NDArray[np.float16]:
        """Scores [n, L] of all embedded images; those that came after the training are scored now, and kept."""
        with self.workspace.writing("score"):
            extend_scores(self.workspace)
        return self.scores()

    def propose(self, **options: Any) -> Proposed:  # noqa: ANN401  (those of the function)
        """Propose values for unknown cells and keep them with the model; see `propose`."""
        return propose(self.workspace, **options)

    def ask(self, strategy: str = "expected-positives", **options: Any) -> Asking:  # noqa: ANN401  (those of the function)
        """Put the questions worth the next seconds; see `ask`."""
        return ask(self.workspace, strategy, **options)

    def ask_picks(self, **options: Any) -> Asking:  # noqa: ANN401  (those of the function)
        """Ask for one positive on images about which nothing is known; see `ask_picks`."""
        return ask_picks(self.workspace, **options)

    def ask_validation(self, images: int = 200, **options: Any) -> Asking:  # noqa: ANN401  (those of the function)
        """Ask for full checks of random images; see `ask_validation`."""
        return ask_validation(self.workspace, images, **options)

    def evaluate(self, **options: Any) -> Evaluated:  # noqa: ANN401  (those of the function)
        """Judge the current model on the checked sample; see `evaluate`."""
        return evaluate(self.workspace, **options)

    def estimate_expected_positives(self, **options: Any) -> Estimated:  # noqa: ANN401  (those of the function)
        """Estimate k and the class priors from every source; see `estimate_expected_positives`."""
        return estimate_expected_positives(self.workspace, **options)

    def checked(self) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Rows [V] and codes [V, L] of the checked validation sample."""
        sample = checked_sample(self.workspace)
        return sample.rows, sample.codes

    def export(self, out: str | Path, **options: Any) -> Exported:  # noqa: ANN401  (those of the function)
        """Write the labelled data set; see `export`."""
        return export(self.workspace, out, **options)

    def close(self) -> None:
        """Let go of the files."""
        self.workspace.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


__all__ = [
    "AddedImages",
    "Answered",
    "Asking",
    "Check",
    "Embedded",
    "Estimated",
    "Evaluated",
    "Exported",
    "Imported",
    "OpenQuestion",
    "Project",
    "Proposed",
    "Status",
    "Trained",
    "Undone",
    "doctor",
]
