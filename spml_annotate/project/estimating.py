"""How many positives an image has (k), and how common each class is, from every source that a project has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import POSITIVE, Codes, LabelMatrix
from spml_annotate.project.evidence import priors_of, training_labels
from spml_annotate.project.sample import LEAST, Sample, checked_sample
from spml_annotate.project.scoring import read_scores, require_model
from spml_annotate.propose import Prior
from spml_annotate.propose.estimating import Estimate, from_sample, from_scores
from spml_annotate.workspace import ModelVersion, Workspace

SourceName = Literal["validation", "crisp", "crisp-held-out", "given"]
SOURCES: tuple[SourceName, ...] = get_args(SourceName)
FOLDS = 5
"""Parts into which the images are cut for scores of images that a head has not seen."""
AUTOMATIC = "automatic"

_AT_RANDOM = "assumes that the known positives are a random draw from all positives of their class"
_NOTES = {
    "validation": "assumes nothing: randomly drawn images, every class answered",
    "crisp": f"{_AT_RANDOM}; scores of images trained on, mostly too low: fitted to the known positives",
    "crisp-held-out": f"{_AT_RANDOM}; scores of images not trained on, too high where classes are rare or hard to see",
    "given": "the given number; class priors in proportion to what is known",
}


@dataclass(frozen=True, eq=False)
class Source:
    """One source of k: its estimate, None where there is none, and a ``note`` on what it assumes or lacks."""

    name: SourceName
    estimate: Estimate | None
    note: str


@dataclass(frozen=True, eq=False)
class Estimated:
    """What every source says, in the order of `SOURCES`; ``used`` is what the project trains and asks with now.

    ``saved`` says whether this call changed that.
    """

    classes: tuple[str, ...]
    sources: tuple[Source, ...]
    used: Prior
    saved: bool


def estimate_expected_positives(
    workspace: Workspace,
    *,
    expected_positives: float | None = None,
    held_out: bool = False,
    save: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Estimated:
    """Estimate k and the class priors from every source, and say what the project uses.

    Args:
        workspace: the project.
        expected_positives: a k that the user knows, shown beside the others.
        held_out: also train five heads, each without a fifth of the images, for scores of images not trained on.
        save: ``validation``, ``crisp``, ``crisp-held-out``, ``given`` or a number makes that the project's k, which
            goes before the checked sample; ``automatic`` forgets it.
        seed: cuts the images into fifths.
        device: where the five heads train.

    Raises:
        SettingError: for a k that cannot be, or a name to save that is no source. DataError: if what is to be saved
            could not be estimated.
    """
    count = workspace.embedded() or len(workspace.images)
    labels, sample = training_labels(workspace, count), checked_sample(workspace)
    sources = (
        _validation(sample),
        _crisp(workspace, labels, sample),
        _held_out(workspace, labels, seed, device) if held_out else Source("crisp-held-out", None, "add --held-out"),
        _given(workspace, labels, sample, expected_positives),
    )
    if save is not None:
        with workspace.writing("estimate-k"):
            workspace.update(**_setting(save, sources))
    used = priors_of(workspace, labels, sample)
    return Estimated(tuple(workspace.taxonomy.names), sources, used, save is not None)


def _validation(sample: Sample) -> Source:
    if not len(sample):
        return Source("validation", None, "no image is fully checked: spml-annotate ask --validation 200")
    note = _NOTES["validation"] if sample.enough else f"fewer than {LEAST} images: not used"
    return Source("validation", from_sample(sample.codes), note)


def _model(workspace: Workspace) -> tuple[ModelVersion | None, str]:
    """The current model, or None and why it cannot be used."""
    if workspace.models.current() is None:
        return None, "no model yet: spml-annotate train"
    try:
        return require_model(workspace), ""
    except MismatchError as error:  # the other sources stand nevertheless
        return None, str(error)


def _crisp(workspace: Workspace, labels: LabelMatrix, sample: Sample) -> Source:
    model, why = _model(workspace)
    if model is None:
        return Source("crisp", None, why)
    scores = read_scores(workspace, model, priors_of(workspace, labels, sample).priors)
    return _from_scores("crisp", scores, labels, model.classes)


def _held_out(workspace: Workspace, labels: LabelMatrix, seed: int, device: str) -> Source:
    model, why = _model(workspace)
    if model is None:
        return Source("crisp-held-out", None, why)
    if not labels.count(POSITIVE).any():
        return _from_scores("crisp-held-out", np.zeros(labels.shape, dtype=np.float16), labels, model.classes)
    scores = held_out_scores(
        workspace.read_features(), labels.dense(), model.settings, model.metrics["expected_positives"], seed, device
    )
    return _from_scores("crisp-held-out", scores, labels, model.classes)


def _from_scores(name: SourceName, scores: NDArray[np.float16], labels: LabelMatrix, scored: int) -> Source:
    """CRISP's estimate from the images of which something is known; ``scored`` classes have scores."""
    rows = np.flatnonzero(labels.known_per_row() > 0)
    codes = labels.dense(rows)[:, :scored]
    if not (codes == POSITIVE).any():
        return Source(name, None, "no positive is known: spml-annotate import-labels FILE, or ask --pick")
    found = from_scores(scores[rows, :scored], codes)
    missing = labels.shape[1] - scored
    if missing:  # classes that came after the model
        nothing = np.full(missing, np.nan)
        found = replace(
            found,
            priors=np.concatenate([found.priors, np.zeros(missing)]),
            prior_low=np.concatenate([found.prior_low, nothing]),
            prior_high=np.concatenate([found.prior_high, nothing]),
            unseen=found.unseen + missing,
        )
    return Source(name, found, _NOTES[name])


def held_out_scores(
    features: NDArray[np.floating],
    codes: Codes,
    trained: dict[str, Any],
    expected_positives: float | None,
    seed: int,
    device: str,
) -> NDArray[np.float16]:
    """Scores float16 [n, L] of every image by a head that was trained, like the model, on the other four fifths."""
    from spml_annotate.training import HeadRun, fit_heads

    known = np.flatnonzero((codes >= 0).any(axis=1))
    folds = min(FOLDS, len(known))
    if folds < 2:
        raise DataError("only one image is labelled; label more before holding any out")
    part = np.full(len(codes), -1)
    part[known] = np.random.default_rng(seed).permutation(len(known)) % folds
    tables = [np.where((part == fold)[:, None], np.int8(-1), codes) for fold in range(folds)]
    run = {name: trained[name] for name in ("loss", "settings", "seed", "learning_rate", "weight_decay")}
    result = fit_heads(
        features,
        tables,
        [HeadRun(label_set=fold, **run) for fold in range(folds)],
        expected_positives=expected_positives,
        epochs=trained["epochs"],
        batch_size=trained["batch_size"],
        seed=seed,
        device=device,
        what="held out",
    )
    scores: NDArray[np.float16] = result.ema[0].copy()
    for fold in range(folds):
        scores[part == fold] = result.ema[fold][part == fold]
    return scores


def _given(workspace: Workspace, labels: LabelMatrix, sample: Sample, given: float | None) -> Source:
    if given is None:
        return Source("given", None, "add --expected-positives K")
    prior = priors_of(workspace, labels, sample, given)
    nothing = np.full(labels.shape[1], np.nan)
    estimate = Estimate(given, np.nan, np.nan, given, given, 0, prior.priors, nothing, nothing, 0)
    return Source("given", estimate, _NOTES["given"])


def _setting(save: str, sources: tuple[Source, ...]) -> dict[str, object]:
    """The settings to change so that a source, or a number, becomes the project's k."""
    if save == AUTOMATIC:
        return {"expected_positives": None, "expected_positives_from": ""}
    source = next((source for source in sources if source.name == save), None)
    if source is None:
        return {"expected_positives": _number(save), "expected_positives_from": "given"}
    if source.estimate is None:
        raise DataError(f"--save {save}: there is no such estimate ({source.note})")
    origin = f"{save}, {source.estimate.images} images" if source.estimate.images else save
    return {"expected_positives": source.estimate.expected_positives, "expected_positives_from": origin}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"--save {text!r}: give a number, or one of {', '.join((*SOURCES, AUTOMATIC))}") from None
