"""The resumable sweep: sessions, training, measuring, round after round, until everything is known."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION, Dataset
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.progress import progress
from spml_annotate.propose import estimate_priors
from spml_annotate.simulate.lanes import Annotator, Lane, Pool, start_lanes, trained_codes
from spml_annotate.simulate.plan import Plan
from spml_annotate.simulate.state import SweepState
from spml_annotate.training.frozen import fit_heads
from spml_annotate.training.heads import HeadRun, LinearHead
from spml_annotate.training.inputs import resolve
from spml_annotate.training.metrics import average_precision, f1

logger = logging.getLogger(__name__)


def simulate(
    dataset: Dataset,
    plan: Plan,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    after_round: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Simulate the plan on a fully labelled data set with features; write curves and a report into ``out``.

    Each finished round is kept in ``out/state`` until the sweep ends, so that an interrupted sweep goes on with
    ``resume`` and ends with the same bytes.

    Returns:
        The summary that is also written to ``summary.json``.

    Raises:
        DataError: if labels are not complete or a split is missing.
        MismatchError: if ``out`` holds another simulation and neither ``overwrite`` nor another folder was chosen.
    """
    from spml_annotate.simulate.report import write_report

    check_truth(dataset)
    if dataset.features is None:
        raise DataError(f"{dataset.name} has no features; embed its pictures first")
    sweep = _Sweep(dataset, plan, device)  # whatever the plan and the data cannot do together is said before writing
    state = SweepState.open(Path(out), plan.describe(dataset), resume=resume, overwrite=overwrite)
    before = state.finished()
    if before is not None:
        logger.info("%s holds this simulation, finished", out)
        state.close()
        return before
    finished = state.restore(sweep.lanes, sweep.rows, sweep.class_precision)
    targets = plan.targets(dataset)
    for number in range(finished, len(targets)):
        sweep.round(number, len(targets), targets[number])
        state.commit(number, sweep.lanes, sweep.rows, sweep.class_precision)
        logger.info("round %d of %d is kept in %s", number + 1, len(targets), state.folder)
        if after_round is not None:
            after_round(number)
    summary = write_report(Path(out), dataset, plan, sweep.rows, np.stack(sweep.class_precision))
    state.close()
    return summary


def check_truth(dataset: Dataset) -> None:
    """Whether a set can be simulated on, features aside.

    Raises:
        DataError: if labels are not complete, a split is missing, or no class could be measured.
    """
    dataset.require_splits(TRAIN, TEST)
    for split, name in ((TRAIN, "training"), (VALIDATION, "validation"), (TEST, "test")):
        if (dataset.truth[dataset.rows(split)] == UNKNOWN).any():
            raise DataError(
                f"{dataset.name}: the {name} labels have unknown cells; simulating needs the complete truth. "
                "If the file names every positive of its images, say `--map-missing negative`; for data without the "
                "truth make a project with `spml-annotate init`"
            )
    for split, name in ((TRAIN, "training"), (TEST, "test")):
        if not (dataset.truth[dataset.rows(split)] == POSITIVE).any():
            raise DataError(f"{dataset.name}: no {name} image has a positive label; check the labels and the splits")


class _Sweep:
    """All lanes, and what has been measured so far: one row per lane and round, average precision beside it."""

    def __init__(self, dataset: Dataset, plan: Plan, device: str) -> None:
        assert dataset.features is not None
        self.dataset, self.plan, self.device = dataset, plan, device
        train, validation, test = (dataset.rows(s) for s in (TRAIN, VALIDATION, TEST))
        self.test = (dataset.features[test], dataset.truth[test])
        self.validation = (dataset.features[validation], dataset.truth[validation]) if len(validation) else None
        unknown = LabelMatrix.from_dense(np.full((len(train), len(dataset.taxonomy)), UNKNOWN, dtype=np.int8))
        prior = estimate_priors(
            unknown,
            validation=self.validation[1] if self.validation else None,
            expected_positives=plan.expected_positives,
        )
        self.expected_positives = plan.expected_positives or prior.expected_positives
        self.pool = Pool(dataset.features[train], dataset.truth[train], prior.priors)
        self.annotator = Annotator(plan, dataset, self.pool)
        self.lanes = start_lanes(plan, self.pool)
        self.methods = {loss: resolve(loss, plan.settings.get(loss)) for loss in plan.losses}
        self.rows: list[dict[str, Any]] = []
        self.class_precision: list[NDArray[np.float64]] = []

    def round(self, number: int, rounds: int, target: float) -> None:
        """Sessions, training and measuring of one round."""
        for lane in progress(self.lanes, total=len(self.lanes), what=f"round {number + 1}/{rounds}: asking"):
            self.annotator.session(lane, number, target)
        heads = self._train(f"round {number + 1}/{rounds}: training")
        for lane, head in zip(self.lanes, heads, strict=True):
            self._measure(lane, number, head)

    def _train(self, what: str) -> list[tuple[LinearHead, int, float] | None]:
        """A head for every lane that can train; lanes with the same loss, seed and labels share one."""
        jobs: dict[tuple[str, int, bytes], int] = {}
        tables: list[NDArray[np.int8]] = []
        runs: list[HeadRun] = []
        wanted: list[int | None] = []
        for lane in self.lanes:
            codes = trained_codes(lane, self.pool.truth, oracle=self.methods[lane.loss].oracle)
            if not self._trainable(lane, codes):
                wanted.append(None)
                continue
            key = (lane.loss, lane.seed, codes.tobytes())
            if key not in jobs:
                jobs[key] = len(runs)
                tables.append(codes)
                runs.append(self._run(lane, len(runs)))
            wanted.append(jobs[key])
        if not runs:
            return [None] * len(self.lanes)
        result = fit_heads(
            self.pool.features,
            tables,
            runs,
            validation=self.validation,
            expected_positives=self.expected_positives,
            epochs=self.plan.epochs,
            batch_size=self.plan.batch_size,
            seed=self.plan.seed,
            device=self.device,
            what=what,
        )
        trained: list[tuple[LinearHead, int, float] | None] = []
        for lane, job in zip(self.lanes, wanted, strict=True):
            if job is None:
                trained.append(None)
                continue
            lane.scores = result.ema[job]
            epoch = int(result.epochs[job])
            trained.append((result.heads[job], epoch, float(result.validation_map[job, epoch])))
        return trained

    def _trainable(self, lane: Lane, codes: NDArray[np.int8]) -> bool:
        method = self.methods[lane.loss]
        needs = method.loss.facts.get("needs_negatives", False) or method.oracle
        return lane.touched and (not needs or bool((codes == NEGATIVE).any()))

    def _run(self, lane: Lane, label_set: int) -> HeadRun:
        return HeadRun(
            lane.loss,
            self.plan.settings.get(lane.loss, {}),
            label_set,
            lane.seed,
            self.plan.learning_rate,
            self.plan.weight_decay,
        )

    def _measure(self, lane: Lane, number: int, trained: tuple[LinearHead, int, float] | None) -> None:
        precision: NDArray[np.float64] = np.full(len(self.dataset.taxonomy), np.nan)
        row: dict[str, Any] = {
            "dataset": self.dataset.name,
            "loss": lane.loss,
            "strategy": lane.strategy,
            "seed": lane.seed,
            "round": number,
            "hours": (lane.seconds + self._extra_seconds()) / 3600.0,
            "known_share": float((lane.codes != UNKNOWN).mean()),
            "labels": LabelMatrix.from_dense(lane.codes).kind().value,
            "images_touched": int((lane.codes != UNKNOWN).any(axis=1).sum()),
            "positives_known": int((lane.codes == POSITIVE).sum()),
            "negatives_known": int((lane.codes == NEGATIVE).sum()),
            **{f"answers_{kind}": int(lane.questions.get(kind, 0)) for kind in KIND_COLUMNS},
        }
        quality: dict[str, Any] = dict.fromkeys(("map", "cf1", "of1", "validation_map", "epoch"), float("nan"))
        if trained is not None:
            head, epoch, validation_map = trained
            scores = head.predict(self.test[0])
            precision = average_precision(scores, self.test[1])
            thresholded = f1(scores, self.test[1])
            quality = {
                "map": float(np.nanmean(precision)),
                "cf1": thresholded.class_f1,
                "of1": thresholded.overall_f1,
                "validation_map": validation_map,
                "epoch": epoch,
            }
        row |= quality | {"classes_left_out": int((~(self.test[1] == POSITIVE).any(axis=0)).sum())}
        self.rows.append(row)
        self.class_precision.append(precision)

    def _extra_seconds(self) -> float:
        return self.plan.validation_seconds(self.dataset) if self.plan.count_validation else 0.0


KIND_COLUMNS = ("pick", "list", "verify", "page", "exhaust")
