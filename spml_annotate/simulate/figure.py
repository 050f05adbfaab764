"""The cost curves as a figure: mAP against hours of human time, one panel per loss, one line per strategy."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.simulate.curves import Curve, curves
from spml_annotate.simulate.plan import BASELINE
from spml_annotate.simulate.references import told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, safe for colour-blind readers; the baseline is always black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F5539", "#6A4C93")
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")


def draw(rows: Sequence[Mapping[str, Any]], title: str, note: str = "") -> Figure:
    """The figure of all curves; ``note`` stands small above the legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = curves(rows)
    losses = list(dict.fromkeys(c.loss for c in found))
    columns = min(len(losses), 3) or 1
    lines = -(-len(losses) // columns) or 1
    figure = Figure(figsize=(1.2 + 4.6 * columns, 1.5 + 3.5 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for place, axis in enumerate(axes.flat):
        if place < len(losses):
            _panel(axis, losses[place], [c for c in found if c.loss == losses[place]], place % columns == 0)
        else:
            axis.set_axis_off()
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False, fontsize=9,
        title=note or None, title_fontproperties={"size": 8},
    )  # fmt: skip
    figure.suptitle(title, fontsize=12)
    return figure


def _panel(axis: Axes, loss: str, found: list[Curve], first: bool) -> None:
    strategies = list(dict.fromkeys(c.strategy for c in found))
    for strategy in strategies:
        _line(axis, strategy, strategies, [c for c in found if c.strategy == strategy])
    spl = max(float(c.hours[0]) for c in found)
    full = [float(c.map[-1]) for c in found if c.known_share[-1] == 1.0]
    axis.axvline(spl, color="#999999", linewidth=0.8, linestyle=":")
    axis.annotate(
        "SPL", (spl, 0), xycoords=("data", "axes fraction"), xytext=(3, 4), textcoords="offset points", fontsize=8,
        color="#555555",
    )  # fmt: skip
    if full:
        axis.axhline(float(np.mean(full)), color="#999999", linewidth=0.8, linestyle="--")
        axis.annotate(
            "all labels (FAL)", (0, float(np.mean(full))), xycoords=("axes fraction", "data"), xytext=(4, 3),
            textcoords="offset points", fontsize=8, color="#555555",
        )  # fmt: skip
    axis.set_xscale("log")
    hour_ticks(axis, min(float(c.hours[0]) for c in found), max(float(c.hours[-1]) for c in found))
    axis.set_title(f"reference: {loss} (is told {told(loss)})" if told(loss) else f"loss: {loss}", fontsize=10)
    axis.set_xlabel("hours of human time")
    axis.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if first:
        axis.set_ylabel("test mAP")


def mean_curve(lanes: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hours [R] at which the curves of several seeds are drawn, and the mAP of each there, [seeds, R]."""
    hours = np.unique(np.concatenate([c.hours for c in lanes]))
    if len(lanes) > 1:  # seeds end their rounds a few seconds apart; one point per round is enough
        hours = np.mean([c.hours for c in lanes], axis=0) if len({len(c.hours) for c in lanes}) == 1 else hours
    return hours, np.array([c.at(hours) for c in lanes])


def _line(axis: Axes, strategy: str, strategies: list[str], lanes: list[Curve]) -> None:
    hours, table = mean_curve(lanes)
    mean, deviation = table.mean(axis=0), table.std(axis=0, ddof=1) if len(lanes) > 1 else np.zeros(len(hours))
    others = [s for s in strategies if s != BASELINE]
    place = others.index(strategy) if strategy != BASELINE else 0
    colour = "black" if strategy == BASELINE else COLOURS[place % len(COLOURS)]
    marker = "o" if strategy == BASELINE else MARKERS[place % len(MARKERS)]
    style = "--" if strategy == BASELINE else "-"
    label = f"{strategy} (full checks)" if strategy == BASELINE else f"SPL, then {strategy}"
    axis.plot(hours, mean, color=colour, marker=marker, markersize=4, linewidth=1.6, linestyle=style, label=label)
    axis.fill_between(hours, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)


def hour_ticks(axis: Axes, low: float, high: float) -> None:
    """Round numbers of hours as the ticks of a logarithmic axis."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    steps = [m * 10.0**e for e in range(-4, 7) for m in (1, 1.5, 2, 3, 4, 5, 7)]
    inside = [s for s in steps if low * 0.95 <= s <= high * 1.05]
    if len(inside) > 8:
        inside = [s for s in inside if round(s / 10 ** np.floor(np.log10(s)), 1) in (1, 2, 5)]
    if len(inside) > 1:
        axis.xaxis.set_major_locator(FixedLocator(inside))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())


def rendered(figure: Figure, form: str) -> bytes:
    """PNG or SVG bytes, the same for the same figure (no dates, no random ids)."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    with mpl.rc_context({"svg.hashsalt": "spml-annotate", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=form, dpi=150, metadata=metadata, bbox_inches="tight", pad_inches=0.15)
    return buffer.getvalue()
