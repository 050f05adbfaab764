"""Many linear heads (loss x settings x seed x label set) on stored features in one batched pass."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from spml_annotate.device import choose_device
from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import POSITIVE, UNKNOWN, LabelMatrix
from spml_annotate.progress import progress
from spml_annotate.states.memory import Kept
from spml_annotate.states.neighbours import ImageFeatures
from spml_annotate.training.groups import HeadGroup, make_groups
from spml_annotate.training.heads import Features, HeadRun, HeadsResult, LinearHead, Scaling
from spml_annotate.training.inputs import DEFAULT_EXPECTED_POSITIVES, Method, resolve, usable_labels
from spml_annotate.training.matrix import HeadMatrix
from spml_annotate.training.metrics import average_precision

logger = logging.getLogger(__name__)

Labels = LabelMatrix | NDArray[np.int8]
Validation = tuple[Features, NDArray[np.int8]]


def fit_heads(
    features: Features,
    labels: Labels | Sequence[Labels],
    runs: Sequence[HeadRun],
    *,
    validation: Validation | None = None,
    expected_positives: float | None = None,
    priors: NDArray[np.float64] | None = None,
    epochs: int = 25,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    as_published: bool = False,
    start: HeadsResult | None = None,
    keep_states: bool = False,
    what: str = "training",
) -> HeadsResult:
    """Train every run and return its head of the best epoch by validation mAP, of the last epoch without a sample.

    Runs whose labels touch the same images share every batch and every product; ``seed`` gives the batch order, a
    run's own seed its initialisation. A run alone and the same run in company differ by floating-point rounding only
    (float32 sums in another order: scores within 1e-4 after 25 epochs on the data sets of the tests). Images about
    which nothing is known do not train.

    Args:
        features: [N, D], in memory or memory-mapped.
        labels: codes [N, L] or a `LabelMatrix`, or a list of label sets that the runs point into.
        validation: features [V, D] and codes int8 [V, L] of a labelled sample that is never trained on.
        expected_positives: k, the mean number of positives per image, for methods that use it.
        priors: share of images that have each class, [L], for losses that ask for it and have no state that fills it.
        as_published: read known negatives as unknown, as the papers' code does.
        start: an earlier result, with states kept, of the same losses on the same labels and features. Every run begins
            with the head and the state of its selected epoch (LinearInit); epochs and optimiser start anew.
        keep_states: the result also holds what every run's state held at its selected epoch.
        what: name on the progress bar.

    Raises:
        SettingError: for an unknown loss or setting, a loss that cannot use these labels, or a learning rate so high
            that the weights become infinite.
        DataError: if a label set says nothing at all, features are not finite, or a prior is no share.
        MismatchError: if the shapes do not fit together, or the start is of other losses, labels or features.
    """
    tables = _tables(labels, features)
    methods = [resolve(run.loss, run.settings, expected_positives=expected_positives, epochs=epochs) for run in runs]
    codes = [
        usable_labels(method, _label_set(tables, run), as_published=as_published)
        for run, method in zip(runs, methods, strict=True)
    ]
    scaling = Scaling.of(features)
    if not (np.isfinite(scaling.mean).all() and np.isfinite(scaling.scale).all()):
        raise DataError("features: some values are not finite; embed the images again")
    k, place = expected_positives or DEFAULT_EXPECTED_POSITIVES, choose_device(device)
    shares = _shares(priors, tables[0].shape[1], place)
    fit = _Fit(features, scaling, _judge(validation, scaling), k, shares, epochs, batch_size, seed, place, what)
    if start is not None or keep_states:
        fit.origins = _origins(runs, codes)
    if start is not None:
        _require_alike(start, fit.origins, scaling)
    fit.start, fit.keep_states = start, keep_states
    for rows, members in _by_rows(codes):
        logger.info("training %d runs on %d images, %d epochs, %s", len(members), len(rows), epochs, fit.device)
        fit.part(rows, members, runs, methods, codes)
    return fit.result(len(runs), tables[0].shape)


def _tables(labels: Labels | Sequence[Labels], features: Features) -> list[NDArray[np.int8]]:
    sets = [labels] if isinstance(labels, LabelMatrix | np.ndarray) else list(labels)
    tables = [s.dense() if isinstance(s, LabelMatrix) else np.asarray(s, dtype=np.int8) for s in sets]
    for table in tables:
        if table.ndim != 2 or len(table) != len(features) or table.shape[1] != tables[0].shape[1]:
            raise MismatchError(
                f"labels {table.shape} do not fit features {features.shape}; both need one row per training image"
            )
    return tables


def _shares(priors: NDArray[np.float64] | None, classes: int, device: torch.device) -> torch.Tensor | None:
    if priors is None:
        return None
    if np.shape(priors) != (classes,):
        raise MismatchError(f"priors have shape {np.shape(priors)}; there must be one for each of {classes} classes")
    if not ((np.asarray(priors) >= 0.0) & (np.asarray(priors) <= 1.0)).all():
        raise DataError("priors: a share of images is below 0, above 1 or not a number")
    return torch.as_tensor(priors, dtype=torch.float32, device=device)


def _label_set(tables: list[NDArray[np.int8]], run: HeadRun) -> NDArray[np.int8]:
    if not 0 <= run.label_set < len(tables):
        raise MismatchError(f"a run asks for label set {run.label_set}, there are {len(tables)}")
    return tables[run.label_set]


def _by_rows(codes: list[NDArray[np.int8]]) -> list[tuple[NDArray[np.int64], list[int]]]:
    """Runs that train on the same images, together; in the order of their first member."""
    parts: dict[bytes, tuple[NDArray[np.int64], list[int]]] = {}
    for index, table in enumerate(codes):
        touched = (table != UNKNOWN).any(axis=1)
        if not touched.any():
            raise DataError("nothing is known about any image; label at least one before training")
        parts.setdefault(touched.tobytes(), (np.flatnonzero(touched), []))[1].append(index)
    return list(parts.values())


def _origins(runs: Sequence[HeadRun], codes: list[NDArray[np.int8]]) -> tuple[str, ...]:
    """Of each run what a second training must have in common with the first, but for the features."""
    return tuple(
        f"{run.loss} {table.shape} {hashlib.sha256(table.tobytes()).hexdigest()}"
        for run, table in zip(runs, codes, strict=True)
    )


def _require_alike(start: HeadsResult, origins: tuple[str, ...], scaling: Scaling) -> None:
    if not start.origins:
        raise MismatchError("start: the states of that training were not kept; train it with keep_states=True")
    if start.origins != origins:
        raise MismatchError("start: that training had other losses or labels; give the same runs in the same order")
    known = start.heads[0].scaling if start.heads else scaling
    if not (np.array_equal(known.mean, scaling.mean) and np.array_equal(known.scale, scaling.scale)):
        raise MismatchError("start: that training had other features; give the same, of the same images")


class _Judge:
    """Validation mAP of heads."""

    def __init__(self, features: NDArray[np.float32], codes: NDArray[np.int8]) -> None:
        self.features = torch.from_numpy(features)
        self.codes = codes
        self.left_out = int((~(codes == POSITIVE).any(axis=0)).sum())

    def judge(self, group: HeadGroup, logits: torch.Tensor) -> NDArray[np.float64]:
        scores = group.own(logits).float().cpu().numpy()
        return np.asarray(np.nanmean(average_precision(scores, self.codes), axis=-1))


def _judge(validation: Validation | None, scaling: Scaling) -> _Judge | None:
    if validation is None or not (validation[1] == POSITIVE).any():
        return None
    return _Judge(scaling.apply(validation[0]), validation[1])


class _Fit:
    """One call of `fit_heads`: what its parts share, and what they have produced so far."""

    def __init__(
        self,
        features: Features,
        scaling: Scaling,
        judge: _Judge | None,
        expected_positives: float,
        priors: torch.Tensor | None,
        epochs: int,
        batch_size: int,
        seed: int,
        device: torch.device,
        what: str,
    ) -> None:
        self.features, self.scaling, self.judge = features, scaling, judge
        self.expected_positives, self.priors = expected_positives, priors
        self.epochs, self.batch_size, self.seed, self.device, self.what = epochs, batch_size, seed, device, what
        self.start: HeadsResult | None = None
        self.keep_states = False
        self.origins: tuple[str, ...] = ()
        self.heads: dict[int, LinearHead] = {}
        self.states: dict[int, Kept] = {}
        self.chosen: dict[int, int] = {}
        self.history: dict[int, list[float]] = {}
        self.ema: dict[int, tuple[NDArray[np.int64], NDArray[np.float16]]] = {}

    def part(
        self,
        rows: NDArray[np.int64],
        members: list[int],
        runs: Sequence[HeadRun],
        methods: list[Method],
        codes: list[NDArray[np.int8]],
    ) -> None:
        """Train the runs that share these images."""
        scaled = torch.from_numpy(self.scaling.apply(self.features[rows])).to(self.device)
        tables = {member: codes[member][rows] for member in members}
        groups, matrix = make_groups(
            members, runs, methods, tables, ImageFeatures(scaled), self.expected_positives, self.priors, self.device
        )
        if self.start is not None:
            for group in groups:
                group.begin_with(self.start.heads, self.start.states, matrix)
        learned = [extra for group in groups for extra in group.optimizer_groups()]
        optimizer = torch.optim.AdamW(matrix.optimizer_groups() + learned, fused=_fused(self.device))
        order = torch.Generator().manual_seed(self.seed)
        for epoch in progress(range(self.epochs), total=self.epochs, what=self.what):
            for batch in torch.split(torch.randperm(len(rows), generator=order), self.batch_size):
                self._step(groups, matrix, optimizer, scaled, batch.to(self.device), epoch)
            self._end_epoch(groups, matrix, epoch)
        for group in groups:
            self._collect(group, matrix, rows)

    def _step(
        self,
        groups: list[HeadGroup],
        matrix: HeadMatrix,
        optimizer: torch.optim.Optimizer,
        scaled: torch.Tensor,
        batch: torch.Tensor,
        epoch: int,
    ) -> None:
        part = scaled.index_select(0, batch)
        logits = matrix.logits(part)
        optimizer.zero_grad(set_to_none=True)
        own = [group.own(logits).contiguous().requires_grad_() for group in groups]  # [H, B, L] each
        losses = [group.loss(mine, batch, (epoch, self.epochs)) for group, mine in zip(groups, own, strict=True)]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]  # torch ships it without annotations
        gradient = torch.empty_like(logits)
        for group, mine in zip(groups, own, strict=True):
            assert mine.grad is not None  # every loss depends on its logits
            group.own(gradient).copy_(mine.grad)
        matrix.backward(part, gradient)
        optimizer.step()
        matrix.remember(batch, logits, epoch)
        for group, mine in zip(groups, own, strict=True):
            group.remember(batch, mine)

    def _end_epoch(self, groups: list[HeadGroup], matrix: HeadMatrix, epoch: int) -> None:
        if not matrix.finite():
            raise SettingError(
                f"training ran out of numbers in epoch {epoch + 1}; "
                "lower the learning rate, or check the settings of the loss"
            )
        logits = matrix.logits(self.judge.features.to(self.device)) if self.judge else None
        for group in groups:
            judged = self.judge.judge(group, logits) if self.judge and logits is not None else None
            group.end_epoch(epoch, matrix, judged, keep_states=self.keep_states)

    def _collect(self, group: HeadGroup, matrix: HeadMatrix, rows: NDArray[np.int64]) -> None:
        for place, run in enumerate(group.members):
            weight, bias, ema = group.selected(place, matrix)
            self.heads[run] = LinearHead(weight, bias, self.scaling)
            self.chosen[run], self.history[run] = group.epoch[place], group.history[place]
            self.ema[run] = (rows, ema)
            if self.keep_states:
                self.states[run] = group.selected_state(place)

    def result(self, count: int, shape: tuple[int, ...]) -> HeadsResult:
        """Everything, in the order of the runs."""
        ema = np.empty((count, *shape), dtype=np.float16)
        for run in range(count):
            rows, trained = self.ema[run]
            others = np.setdiff1d(np.arange(shape[0]), rows, assume_unique=True)
            ema[run, rows] = trained
            if others.size:
                ema[run, others] = self.heads[run].predict(self.features[others])
        history = [self.history[run] if self.judge else [float("nan")] * self.epochs for run in range(count)]
        return HeadsResult(
            heads=tuple(self.heads[run] for run in range(count)),
            selected_by="validation mAP" if self.judge else "last epoch",
            epochs=np.array([self.chosen[run] for run in range(count)], dtype=np.int64),
            validation_map=np.array(history, dtype=np.float64),
            left_out=self.judge.left_out if self.judge else 0,
            ema=ema,
            states=tuple(self.states[run] for run in range(count)) if self.keep_states else (),
            origins=self.origins if self.keep_states else (),
        )


def _fused(device: torch.device) -> bool:
    """One kernel per step where torch has one."""
    return device.type in ("cpu", "cuda")
