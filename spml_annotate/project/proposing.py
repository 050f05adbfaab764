"""Expected positives and negatives by the current model, calibrated on the checked sample, kept with the model."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.project.evidence import evidence_of
from spml_annotate.project.sample import Sample, checked_sample
from spml_annotate.project.scoring import require_model
from spml_annotate.propose import PROPOSERS, Evidence
from spml_annotate.propose import propose as propose_cells
from spml_annotate.propose.proposals import Proposals
from spml_annotate.propose.thresholds import Basis, Thresholds, calibrate_thresholds, default_thresholds
from spml_annotate.stores.atomic import write_atomically
from spml_annotate.workspace import ModelVersion, Workspace

PROPOSER = "combined"
DEFAULT_PRECISION = 0.9


@dataclass(frozen=True, eq=False)
class Proposed:
    """Proposals with the thresholds they were made by.

    ``sample`` checked images calibrated them (0: all thresholds are stated defaults).
    """

    proposals: Proposals
    thresholds: Thresholds
    precision: float
    sample: int
    model: str
    time: float
    images: int

    def basis(self) -> dict[str, int]:
        """How many classes have thresholds of which basis: own, pooled, default."""
        return {basis.name.lower(): int((self.thresholds.positive_basis == basis).sum()) for basis in Basis}

    def strongest(self, limit: int | None = None) -> Proposals:
        """Expected positives, most believed first, then expected negatives, least believed first."""
        found = self.proposals
        positive = found.values == POSITIVE
        certainty = np.where(positive, found.scores, 1.0 - found.scores)
        return found.select(np.lexsort((found.labels, found.rows, -certainty, ~positive))[:limit])


def propose(
    workspace: Workspace, *, precision: float = DEFAULT_PRECISION, proposer: str = PROPOSER, seed: int = 0
) -> Proposed:
    """Propose values for the unknown cells of all embedded images outside the checked sample, and keep them.

    Args:
        workspace: the project, with a trained model.
        precision: wanted share of true positives among expected positives; it needs a checked sample.
        proposer: name in `PROPOSERS`.
        seed: drives the clustering of prototypes.

    Raises:
        DataError: without a model. SettingError: for an unknown proposer or a precision outside (0, 1).
    """
    with workspace.writing("propose"):
        model = require_model(workspace)
        made = make_proposals(workspace, model, precision=precision, proposer=proposer, seed=seed)
        _save(workspace, model, made)
    return made


def make_proposals(
    workspace: Workspace, model: ModelVersion, *, precision: float, proposer: str = PROPOSER, seed: int = 0
) -> Proposed:
    """`propose` without keeping the result."""
    sample = checked_sample(workspace)
    evidence = evidence_of(workspace, model, sample, seed=seed)
    thresholds = thresholds_of(evidence, sample, precision, proposer)
    rows = np.setdiff1d(_readable(workspace, evidence.shape[0]), sample.rows)
    found = propose_cells(evidence, rows, proposer=proposer, thresholds=thresholds)
    # the evidence hides what is known of validation and test images; a known cell is not proposed there either
    found = found.select(_unknown(workspace, found))
    return Proposed(
        found,
        thresholds,
        precision,
        len(sample) if sample.enough else 0,
        model.name,
        time.time(),
        len(rows),
    )


def thresholds_of(evidence: Evidence, sample: Sample, precision: float, proposer: str = PROPOSER) -> Thresholds:
    """Thresholds calibrated on the sample if it is large enough, else the stated defaults."""
    if not sample.enough:
        return default_thresholds(evidence.shape[1])
    belief = PROPOSERS[proposer].function(evidence, sample.rows)
    return calibrate_thresholds(belief, sample.found, positive_precision=precision)


def _readable(workspace: Workspace, count: int) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(count), list(workspace.images.errors()))


def _unknown(workspace: Workspace, found: Proposals, block: int = 1 << 16) -> NDArray[np.bool_]:
    """Which of the proposals [M] are of cells that are unknown now."""
    matrix = workspace.folded().matrix
    unknown = np.zeros(len(found), dtype=bool)
    for start in range(0, len(found), block):
        part = slice(start, start + block)
        rows, place = np.unique(found.rows[part], return_inverse=True)
        unknown[part] = matrix.dense(rows)[place, found.labels[part]] == UNKNOWN
    return unknown


def stored_proposals(workspace: Workspace, model: ModelVersion) -> Proposed | None:
    """What `propose` kept with a model, without the cells that were answered since; None if it was not run.

    Raises:
        DataError: if the file is damaged. MismatchError: if it is of another project.
    """
    if not model.proposals.exists():
        return None
    made, facts = _load(model.proposals)
    workspace.check_fits(facts["images_fingerprint"], int(facts["count"]), str(model.proposals))
    workspace.taxonomy.check_prefix(facts["classes_fingerprint"], len(made.thresholds.positive), str(model.proposals))
    return replace(made, proposals=made.proposals.select(_unknown(workspace, made.proposals)))


def _save(workspace: Workspace, model: ModelVersion, made: Proposed) -> None:
    found, limits = made.proposals, made.thresholds
    count = workspace.embedded()
    facts = {
        "proposer": found.proposer,
        "precision": made.precision,
        "sample": made.sample,
        "model": made.model,
        "time": made.time,
        "images": made.images,
        "count": count,
        "images_fingerprint": workspace.images.fingerprint(count),
        "classes_fingerprint": workspace.taxonomy.fingerprint(),
    }

    columns: dict[str, Any] = {
        "facts": np.array(json.dumps(facts, sort_keys=True)),
        "rows": found.rows,
        "labels": found.labels,
        "values": found.values,
        "scores": found.scores,
        **{f"source.{name}": column for name, column in found.sources.items()},
        **{f"threshold.{name}": column for name, column in vars(limits).items()},
    }

    def write(file: BinaryIO) -> None:
        np.savez_compressed(file, **columns)

    write_atomically(model.proposals, write)


def _load(path: Path) -> tuple[Proposed, dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            columns = {name: archive[name] for name in archive.files if name != "facts"}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}); run `spml-annotate propose` again") from None
    sources = {name.removeprefix("source."): column for name, column in columns.items() if name.startswith("source.")}
    limits = {name.removeprefix("threshold."): c for name, c in columns.items() if name.startswith("threshold.")}
    found = Proposals(
        columns["rows"], columns["labels"], columns["values"], columns["scores"], sources, facts["proposer"]
    )
    made = Proposed(
        found, Thresholds(**limits), facts["precision"], facts["sample"], facts["model"], facts["time"], facts["images"]
    )
    return made, facts
