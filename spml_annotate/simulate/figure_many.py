"""Figures for many losses at once: a few are named in colour, the others are grey company."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spml_annotate.simulate.curves import Curve, curves
from spml_annotate.simulate.figure import COLOURS, MARKERS, hour_ticks, mean_curve
from spml_annotate.simulate.plan import BASELINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Entry = Mapping[str, Any]
PLAIN = "an"  # what every paper compares with
BEST = 5  # losses in colour
GREY, REFERENCE = "#BBBBBB", "#B9975B"


def draw_many(rows: Sequence[Mapping[str, Any]], entries: Sequence[Entry], title: str, note: str = "") -> Figure:
    """MAP against hours, one panel per strategy, one line per loss; `entries` as `compare` orders them."""
    found = curves(rows)
    strategies = list(dict.fromkeys(c.strategy for c in found))
    columns = min(len(strategies), 3) or 1
    lines = -(-len(strategies) // columns) or 1
    figure = _figure((1.2 + 4.6 * columns, 1.9 + 3.7 * lines))
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    best = _best(entries)
    for place, axis in enumerate(axes.flat):
        if place >= len(strategies):
            axis.set_axis_off()
            continue
        lanes = [c for c in found if c.strategy == strategies[place]]
        for entry in reversed(entries):  # the best lie on top
            _line(axis, entry, best, [c for c in lanes if c.loss == entry["loss"]])
        _dress(axis, strategies[place], found)
        if place % columns == 0:
            axis.set_ylabel("test mAP")
    _legend(figure, axes.flat[0], [*best, PLAIN], note)
    figure.suptitle(title, fontsize=12)
    return figure


def draw_levels(entries: Sequence[Entry], title: str, note: str = "") -> Figure:
    """One row per loss: mAP at one positive per image, on full checks for the same hours, and on all labels."""
    figure = _figure((8.0, 1.8 + 0.24 * len(entries)))
    axis = figure.subplots()
    kinds = (
        ("map_single", "one positive per image", COLOURS[0], "o"),
        ("map_checks", "full checks of random images, same hours", "#999999", "|"),
        ("map_full", "all labels", COLOURS[1], "D"),
    )
    for row, entry in enumerate(entries):
        ends = [entry[key] for key in ("map_single", "map_full") if math.isfinite(entry[key])]
        axis.plot(ends, [row] * len(ends), color="#DDDDDD", linewidth=2, zorder=1)
    for key, label, colour, marker in kinds:
        values = np.array([entry[key] for entry in entries], dtype=float)
        spread = np.nan_to_num(np.array([entry[f"{key}_deviation"] for entry in entries], dtype=float))
        axis.errorbar(
            values, np.arange(len(entries)), xerr=spread, fmt=marker, color=colour, markersize=5, linewidth=1,
            capsize=0, label=label, zorder=2,
        )  # fmt: skip
    axis.set_yticks(range(len(entries)), [_name(entry) for entry in entries], fontsize=8)
    for tick, entry in zip(axis.get_yticklabels(), entries, strict=True):
        tick.set_color("#8A6A2F" if entry["told"] else "black")
    axis.set_ylim(len(entries) - 0.4, -0.6)
    axis.set_xlabel("test mAP, mean ± standard deviation over the seeds")
    axis.grid(axis="x", alpha=0.25, linewidth=0.6)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    handles, names = axis.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9, title=note or None,
        title_fontproperties={"size": 8},
    )  # fmt: skip
    figure.suptitle(title, fontsize=12)
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _best(entries: Sequence[Entry]) -> list[str]:
    return [entry["loss"] for entry in entries if not entry["told"] and entry["loss"] != PLAIN][:BEST]


def _name(entry: Entry) -> str:
    return f"{entry['loss']} (told {entry['told']})" if entry["told"] else str(entry["loss"])


def _line(axis: Axes, entry: Entry, best: list[str], lanes: list[Curve]) -> None:
    if not lanes:
        return
    hours, table = mean_curve(lanes)
    mean = table.mean(axis=0)
    if entry["loss"] in best:
        place = best.index(entry["loss"])
        look: dict[str, Any] = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 4, "linewidth": 1.6}
    elif entry["loss"] == PLAIN:
        look = {"color": "black", "marker": "o", "markersize": 4, "linewidth": 1.6, "linestyle": "--"}
    elif entry["told"]:
        look = {"color": REFERENCE, "linewidth": 0.9, "linestyle": ":", "label": "references (told more)"}
    else:
        look = {"color": GREY, "linewidth": 0.8, "label": "other losses"}
    axis.plot(hours, mean, **{"label": entry["loss"], **look})


def _dress(axis: Axes, strategy: str, found: Sequence[Curve]) -> None:
    low, high = min(float(c.hours[0]) for c in found), max(float(c.hours[-1]) for c in found)
    axis.set_xscale("log")
    hour_ticks(axis, low, high)
    axis.set_xlim(low * 0.95, high * 1.05)  # the same in all panels, so that they can be compared
    axis.set_title(f"{strategy} (full checks)" if strategy == BASELINE else f"SPL, then {strategy}", fontsize=10)
    axis.set_xlabel("hours of human time")
    axis.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _legend(figure: Figure, axis: Axes, first: Sequence[str], note: str) -> None:
    """Each name once, the highlighted losses first."""
    handles, names = axis.get_legend_handles_labels()
    named = dict(zip(names, handles, strict=True))
    order = [*(name for name in first if name in named), *(name for name in sorted(named) if name not in first)]
    figure.legend(
        [named[name] for name in order], order, loc="outside lower center", ncols=min(4, len(order)), frameon=False,
        fontsize=9, title=note or None, title_fontproperties={"size": 8},
    )  # fmt: skip
