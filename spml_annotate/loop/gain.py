"""Is choosing the images worth it? The answers of the chosen arm beside those of the random arm, in the live run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import POSITIVE, UNKNOWN, Codes
from spml_annotate.loop.comparing import Estimate
from spml_annotate.loop.links import FILE, MAIN, Exposure, Link, LinkStore
from spml_annotate.loop.recipe import AUTO, BATCH_SIZE, training_plan
from spml_annotate.project.sample import checked_sample, trainable
from spml_annotate.workspace import Workspace

RESAMPLES = 1000
DRAWS = 20
LEAST = 5
"""Answers of each arm below which no interval and no heads are computed: they would say nothing."""

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class ArmGain:
    """One arm: answers, hours, positives named; rates are None where nothing was measured.

    ``surprise`` is the mean of -log p of the answers under the model that was in use, in nats: what the answers
    taught, as far as the model can tell. ``per_minute``: the same by the minutes that those answers took.
    """

    answers: int
    hours: float
    positives: int
    positives_per_hour: Estimate
    surprise: Estimate
    per_minute: Estimate


@dataclass(frozen=True)
class HeadsGain:
    """Heads trained on equally many answers of each arm, judged on the checked sample: mean mAP and 95 % intervals."""

    answers: int
    draws: int
    sample: int
    chosen: Estimate
    random: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Gain:
    """Both arms of a link; differences are chosen minus random, ``ratio`` is chosen by random positives per hour.

    ``heads`` is None where there is no checked sample or an arm has too few answers; ``missing`` says which.
    """

    project: int
    chosen: ArmGain
    random: ArmGain
    ratio: Estimate
    surprise: Estimate
    per_minute: Estimate
    heads: HeadsGain | None
    missing: str


def report_gain(workspace: Workspace, links: LinkStore, link: Link, *, draws: int = DRAWS, seed: int = 0) -> Gain:
    """Compare the arms of a link. Intervals are percentiles over resampled answers (bootstrap), 95 %.

    Args:
        workspace: the project.
        links: where the answers' circumstances are noted.
        link: the main Label Studio project.
        draws: heads per arm.
        seed: of all that is drawn.
    """
    arms = _arms(links, link)
    chosen, random = (_resampled(arms[name], seed + place) for place, name in enumerate(("chosen", "random")))
    heads, missing = _heads(workspace, links, link, arms, draws, seed)
    return Gain(
        link.project,
        _arm(arms["chosen"], chosen),
        _arm(arms["random"], random),
        _between(chosen, random, _rate, np.divide),
        _between(chosen, random, _surprise, np.subtract),
        _between(chosen, random, _surprise_rate, np.subtract),
        heads,
        missing,
    )


def gain_summary(links: LinkStore, link: Link) -> dict[str, dict[str, float | None]]:
    """Arm → answers, hours, positives, positives per hour, surprise, surprise per minute; for status and metrics."""
    found: dict[str, dict[str, float | None]] = {}
    for name, exposures in _arms(links, link).items():
        table = _table(exposures)
        found[name] = {
            "answers": len(exposures),
            "hours": float(table[:, 0].sum() / 3600.0),
            "positives": int(table[:, 1].sum()),
            "positives_per_hour": _value(_rate(table[None])),
            "surprise": _value(_surprise(table[None])),
            "surprise_per_minute": _value(_surprise_rate(table[None])),
        }
    return found


def gain_line(folder: str | Path) -> str | None:
    """One line about both arms of a project's Label Studio project, None while nothing was answered there."""
    if not (Path(folder) / FILE).exists():
        return None
    with closing(LinkStore(folder)) as links:
        main = links.of_kind(MAIN)
        summary = gain_summary(links, main) if main is not None else {}
    if not any(arm["answers"] for arm in summary.values()):
        return None
    return "; ".join(_in_words(name, arm) for name, arm in summary.items()) + " (`spml-annotate report-gain`)"


def _in_words(name: str, arm: Mapping[str, float | None]) -> str:
    rate, nats = arm["positives_per_hour"], arm["surprise"]
    words = [f"{name}: {arm['answers']} answers"]
    words += [f"{rate:.0f} positives an hour"] if rate is not None else []
    words += [f"{nats:.2f} nats each"] if nats is not None else []
    return ", ".join(words)


def as_json(gain: Gain) -> dict[str, Any]:
    """For machines."""
    found = asdict(gain)
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, Estimate):
        return value._asdict()
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _arms(links: LinkStore, link: Link) -> dict[str, list[Exposure]]:
    """Arm → its answers; those that are gone from Label Studio are left out."""
    there = {(item.task, item.annotator) for item in links.said(link.id)}
    exposures = [one for one in links.exposures(link.id) if (one.task, one.annotator) in there]
    return {name: [one for one in exposures if one.arm == name] for name in ("chosen", "random")}


# Figures: tables [R, n, 3] of R resamples of n answers, columns seconds, positives, surprise (NaN: not known)


def _table(exposures: Sequence[Exposure]) -> Figures:
    rows = [(one.seconds, len(one.given), np.nan if one.surprise is None else one.surprise) for one in exposures]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _resampled(exposures: Sequence[Exposure], seed: int) -> Figures:
    """The answers themselves, and `RESAMPLES` draws of as many of them with replacement."""
    table = _table(exposures)
    count = len(table)
    if count < LEAST:
        return table[None]
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    return np.concatenate([table[None], table[drawn]])


def _rate(tables: Figures) -> Figures:
    """Positives per hour [R], of answers whose seconds were measured."""
    measured = tables[..., 0] > 0
    return _ratio((tables[..., 1] * measured).sum(axis=1) * 3600.0, tables[..., 0].sum(axis=1))


def _surprise(tables: Figures) -> Figures:
    """Nats per answer [R]."""
    known = ~np.isnan(tables[..., 2])
    return _ratio(np.where(known, tables[..., 2], 0.0).sum(axis=1), known.sum(axis=1))


def _surprise_rate(tables: Figures) -> Figures:
    """Nats per minute [R], of answers whose seconds were measured and whose surprise is known."""
    used = ~np.isnan(tables[..., 2]) & (tables[..., 0] > 0)
    nats = np.where(used, tables[..., 2], 0.0).sum(axis=1)
    return _ratio(nats * 60.0, (tables[..., 0] * used).sum(axis=1))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Figures:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=np.asarray(whole) > 0))


def _arm(exposures: Sequence[Exposure], tables: Figures) -> ArmGain:
    return ArmGain(
        len(exposures),
        float(tables[0, :, 0].sum() / 3600.0),
        int(tables[0, :, 1].sum()),
        _estimate(_rate(tables)),
        _estimate(_surprise(tables)),
        _estimate(_surprise_rate(tables)),
    )


def _between(
    chosen: Figures,
    random: Figures,
    figure: Callable[[Figures], Figures],
    combine: Callable[[Figures, Figures], Figures],
) -> Estimate:
    one, other = figure(chosen), figure(random)
    if combine is np.divide:
        other = np.where(other > 0, other, np.nan)
    if len(one) != len(other):  # one arm has too few answers for an interval
        one, other = one[:1], other[:1]
    return _estimate(combine(one, other))


def _estimate(values: Figures) -> Estimate:
    """The first value, and the interval of the others."""
    value, others = float(values[0]), values[1:]
    if np.isnan(value):
        return Estimate()
    others = others[np.isfinite(others)]
    if not len(others):
        return Estimate(value)
    low, high = np.percentile(others, (2.5, 97.5))
    return Estimate(value, float(low), float(high))


def _value(values: Figures) -> float | None:
    return None if np.isnan(values[0]) else float(values[0])


# Heads


def _heads(
    workspace: Workspace, links: LinkStore, link: Link, arms: dict[str, list[Exposure]], draws: int, seed: int
) -> tuple[HeadsGain | None, str]:
    """Heads on equally many answers of each arm, and why there are none."""
    sample = checked_sample(workspace)
    if not sample.enough or not workspace.embedded():
        return None, "no checked sample of 10 images or more: spml-annotate ask --validation 200"
    tables = {name: _positives(workspace, links, link, exposures) for name, exposures in arms.items()}
    count = min(len(rows) for rows, _ in tables.values())
    if count < LEAST:
        return None, f"an arm has fewer than {LEAST} images with a positive"
    drawn = {
        name: _judged(workspace, rows, codes, count, draws, seed + place)
        for place, (name, (rows, codes)) in enumerate(tables.items())
    }
    chosen, random = drawn["chosen"], drawn["random"]
    found = HeadsGain(count, draws, len(sample), _spread(chosen), _spread(random), _spread(chosen - random))
    return found, ""


def _spread(values: Figures) -> Estimate:
    if np.isnan(values).any():
        return Estimate()
    low, high = np.percentile(values, (2.5, 97.5))
    return Estimate(float(values.mean()), float(low), float(high))


def _positives(
    workspace: Workspace, links: LinkStore, link: Link, exposures: Sequence[Exposure]
) -> tuple[NDArray[np.int64], Codes]:
    """Images of an arm that may be trained on, and the positives that were named there: rows [n], codes [n, L]."""
    tasks, usable, count = links.tasks(link.id), trainable(workspace), workspace.embedded()
    named: dict[int, set[int]] = {}
    for one in exposures:
        task = tasks.get(one.task)
        if task is not None and one.given and task.row < count and usable[task.row]:
            named.setdefault(task.row, set()).update(one.given)
    rows = np.array(sorted(named), dtype=np.int64)
    codes = np.full((len(rows), len(workspace.taxonomy)), UNKNOWN, dtype=np.int8)
    for place, row in enumerate(rows):
        codes[place, sorted(named[int(row)])] = POSITIVE
    return rows, codes


def _judged(workspace: Workspace, rows: NDArray[np.int64], codes: Codes, count: int, draws: int, seed: int) -> Figures:
    """The mAP of heads trained on ``count`` images drawn with replacement, one per draw."""
    from spml_annotate.training import HeadRun, fit_heads
    from spml_annotate.training.metrics import mean_average_precision

    features, sample = workspace.read_features(), checked_sample(workspace)
    values = []
    for draw in range(draws):
        picked = np.random.default_rng([seed, draw]).integers(len(rows), size=count)
        loss, epochs = training_plan(AUTO, int((codes[picked] == POSITIVE).sum()), count)
        fitted = fit_heads(
            features[rows[picked]], codes[picked], [HeadRun(loss)], epochs=epochs, batch_size=BATCH_SIZE, device="cpu"
        )
        scores = fitted.heads[0].predict(features[sample.rows])
        values.append(mean_average_precision(scores, sample.codes).value)
    return np.array(values, dtype=np.float64)
