"""The resumable sweep: sessions, training, measuring, round after round, until everything is known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION, Dataset
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.progress import progress
from spml_annotate.propose import estimate_priors
from spml_annotate.simulate.lanes import Annotator, Lane, Pool, start_lanes
from spml_annotate.simulate.plan import BASELINE, Plan
from spml_annotate.simulate.references import drawn_negatives, told, with_told
from spml_annotate.simulate.state import SweepState
from spml_annotate.simulate.training import Job, Model, Trainer
from spml_annotate.training.metrics import average_precision, f1

JobKey = tuple[str, int, bytes]
Quality = tuple[dict[str, Any], NDArray[np.float64]]  # columns of a row, average precision of every class

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
    plan.check(dataset)
    if dataset.features is None:
        raise DataError(f"{dataset.name} has no features; embed its pictures first")
    sweep = _Sweep(dataset, plan, device)  # whatever the plan and the data cannot do together is said before writing
    state = SweepState.open(Path(out), plan.describe(dataset), resume=resume, overwrite=overwrite)
    before = state.finished()
    if before is not None:
        logger.info("%s holds this simulation, finished", out)
        state.close()
        return before
    finished = state.restore(sweep.lanes, sweep.rows, sweep.class_precision, sweep.trainer.trials)
    targets = plan.targets(dataset)
    for number in range(finished, len(targets)):
        sweep.round(number, len(targets), targets[number])
        state.commit(number, sweep.lanes, sweep.rows, sweep.class_precision, sweep.trainer.trials)
        logger.info("round %d of %d is kept in %s", number + 1, len(targets), state.folder)
        if after_round is not None:
            after_round(number)
    summary = write_report(Path(out), dataset, plan, sweep.rows, np.stack(sweep.class_precision), sweep.trainer.trials)
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
        self.drawn = {seed: drawn_negatives(self.pool.truth, seed) for seed in plan.run_seeds()}
        self.trainer = Trainer(
            plan, self.pool.features, self.validation, self.expected_positives, device, self.pool.priors
        )
        self.rows: list[dict[str, Any]] = []
        self.class_precision: list[NDArray[np.float64]] = []

    def round(self, number: int, rounds: int, target: float) -> None:
        """Sessions, training and measuring of one round."""
        for lane in progress(self.lanes, total=len(self.lanes), what=f"round {number + 1}/{rounds}: asking"):
            self.annotator.session(lane, number, target)
        models = self._train(f"round {number + 1}/{rounds}: training")
        judged: dict[int, Quality] = {}
        for lane, model in zip(self.lanes, models, strict=True):
            if model is not None and id(model) not in judged:
                judged[id(model)] = self._judge(model)
            self._measure(lane, number, judged.get(id(model)))

    def _train(self, what: str) -> list[Model | None]:
        """A model for every lane that can train; lanes with the same loss, seed and labels share one."""
        jobs: dict[JobKey, Job] = {}
        keys: list[JobKey | None] = []
        for lane in self.lanes:
            job = Job(lane.loss, lane.seed, self._labels(lane))
            if not self._trainable(job):
                keys.append(None)
                continue
            keys.append(job.key)
            jobs.setdefault(job.key, job)
        models = self._choose(jobs, keys, what) if self.plan.learning_rates and not self.trainer.trials else {}
        rest = [key for key in jobs if key not in models]
        models |= zip(rest, self.trainer.train([jobs[key] for key in rest], what), strict=True)
        trained = [None if key is None else models[key] for key in keys]
        for lane, model in zip(self.lanes, trained, strict=True):
            if model is not None:
                lane.scores = model.scores
        return trained

    def _choose(self, jobs: dict[JobKey, Job], keys: Sequence[JobKey | None], what: str) -> dict[JobKey, Model]:
        """Learning rates, chosen where one positive per image is known; only if no lane is there, on full checks."""
        single = {k for lane, k in zip(self.lanes, keys, strict=True) if k is not None and lane.strategy != BASELINE}
        chosen = [key for key in jobs if key in single or not single]
        return dict(zip(chosen, self.trainer.choose([jobs[key] for key in chosen], what), strict=True))

    def _labels(self, lane: Lane) -> NDArray[np.int8]:
        return with_told(lane.loss, lane.codes, self.pool.truth, self.drawn[lane.seed])

    def _trainable(self, job: Job) -> bool:
        if told(job.loss):
            return bool((job.codes == NEGATIVE).any())
        return bool((job.codes == POSITIVE if self.plan.as_published else job.codes != UNKNOWN).any())

    def _measure(self, lane: Lane, number: int, judged: Quality | None) -> None:
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
        none: dict[str, Any] = dict.fromkeys(("map", "cf1", "of1", "validation_map", "epoch"), float("nan"))
        quality, precision = judged or (none, np.full(len(self.dataset.taxonomy), np.nan))
        row |= quality | {"classes_left_out": int((~(self.test[1] == POSITIVE).any(axis=0)).sum())}
        row |= self._asked_for(lane.loss)
        self.rows.append(row)
        self.class_precision.append(precision)

    def _asked_for(self, loss: str) -> dict[str, Any]:
        """Columns that only some plans have: what references are told, learning rates that were chosen."""
        columns: dict[str, Any] = {"told": told(loss)} if any(map(told, self.plan.losses)) else {}
        return columns | ({"learning_rate": self.trainer.rate(loss)} if self.plan.learning_rates else {})

    def _judge(self, model: Model) -> Quality:
        scores = model.head.predict(self.test[0])
        precision = average_precision(scores, self.test[1])
        thresholded = f1(scores, self.test[1])
        quality = {
            "map": float(np.nanmean(precision)),
            "cf1": thresholded.class_f1,
            "of1": thresholded.overall_f1,
            "validation_map": model.validation_map,
            "epoch": model.epoch,
        }
        return quality, precision

    def _extra_seconds(self) -> float:
        return self.plan.validation_seconds(self.dataset) if self.plan.count_validation else 0.0


KIND_COLUMNS = ("pick", "list", "verify", "page", "exhaust")
