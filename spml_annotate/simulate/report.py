"""What a simulation leaves behind: tables for machines, a figure, and one self-contained page for people."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.acquire import PRICES
from spml_annotate.formats.dataset import VALIDATION, Dataset
from spml_annotate.labels import POSITIVE
from spml_annotate.resources import resource
from spml_annotate.simulate.comparing import MANY, compare, compares, comparison_table
from spml_annotate.simulate.curves import SHARES, summarize
from spml_annotate.simulate.figure import draw, rendered
from spml_annotate.simulate.figure_many import draw_levels, draw_many
from spml_annotate.simulate.plan import BASELINE, Plan
from spml_annotate.simulate.references import told
from spml_annotate.simulate.training import Trials
from spml_annotate.stores.atomic import write_atomically, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
# Title, key in the summary, digits.
COLUMNS = (
    ("loss", "loss", None),
    ("strategy", "strategy", None),
    ("mAP at SPL hours", "map_start", 3),
    ("AUBC", "aubc", 3),
    ("gain over full checks", "aubc_gain_over_baseline", 3),
    ("± (95 %)", "aubc_gain_half_width_95", 3),
    *((f"h to {share:.0%}", f"hours_to_{share:.0%}", 2) for share in SHARES),
    ("h to all", "hours_to_everything", 2),
    ("mAP, all labels", "map_full", 3),
)

_LANES = (
    "<em>random-images</em> spends the same hours on whole random images, fully checked, from hour zero. "
    "The other lines start with one positive on every training image (SPL), go through partial labels and end with "
    "everything known (FAL)."
)


def write_report(
    out: Path,
    dataset: Dataset,
    plan: Plan,
    rows: Sequence[Row],
    class_precision: NDArray[np.float64],
    trials: Trials,
) -> dict[str, Any]:
    """Write curves.csv, classes.csv, summary.json, curves.png, curves.svg and report.html; return the summary."""
    summary: dict[str, Any] = {
        "plan": plan.describe(dataset),
        "validation": _validation(dataset, plan),
        "curves": summarize(rows, BASELINE),
        "classes_left_out": int(rows[0]["classes_left_out"]),
    }
    if compares(plan) or plan.learning_rates or any(map(told, plan.losses)):
        summary["losses"] = compare(rows, plan, trials)
    write_text(out / "curves.csv", _csv(list(rows[0]), rows))
    write_text(out / "classes.csv", _class_csv(dataset, rows, class_precision))
    write_text(out / "summary.json", json.dumps(_plain(summary), indent=1, sort_keys=True, allow_nan=False) + "\n")
    figure = _figure(dataset, plan, rows, summary)
    png, svg = rendered(figure, "png"), rendered(figure, "svg")
    write_atomically(out / "curves.png", lambda file: _put(file, png))
    write_atomically(out / "curves.svg", lambda file: _put(file, svg))
    write_text(out / "report.html", _page(dataset, summary, rows, svg.decode()))
    return summary


def _figure(dataset: Dataset, plan: Plan, rows: Sequence[Row], summary: Mapping[str, Any]) -> Figure:
    note = _validation_note(summary["validation"])
    if not compares(plan):
        return draw(rows, f"{dataset.name}: what each hour of labelling buys", note)
    if plan.rounds == 0 and not plan.hours:
        return draw_levels(summary["losses"], f"{dataset.name}: one positive per image beside everything known", note)
    return draw_many(rows, summary["losses"], f"{dataset.name}: what each hour of labelling buys", note)


def _put(file: Any, content: bytes) -> None:  # noqa: ANN401  (any binary file)
    file.write(content)


def _validation(dataset: Dataset, plan: Plan) -> dict[str, Any]:
    seconds = plan.validation_seconds(dataset)
    sample = dataset.truth[dataset.rows(VALIDATION)]
    return {
        "images": len(sample),
        "hours": seconds / 3600.0,
        "counted": plan.count_validation,
        "selection": "validation mAP" if (sample == POSITIVE).any() else "last epoch",  # as `fit_heads` does
    }


def _validation_note(facts: Mapping[str, Any]) -> str:
    if not facts["images"]:
        return "no labelled validation sample: models of the last epoch"
    counted = "counted in" if facts["counted"] else "not counted; --count-validation adds them"
    return f"validation sample: {facts['images']} full checks, {facts['hours']:.2f} h ({counted})"


def _number(value: Any) -> str:  # noqa: ANN401  (a cell of any plain type)
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}"
    return str(value)


def _csv(columns: list[str], rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_number(row[column]) for column in columns] for row in rows)
    return text.getvalue()


def _class_csv(dataset: Dataset, rows: Sequence[Row], class_precision: NDArray[np.float64]) -> str:
    keys = ("dataset", "loss", "strategy", "seed", "round")
    cells = [
        {**{k: row[k] for k in keys}, "class": name, "average_precision": float(value)}
        for row, per_class in zip(rows, class_precision, strict=True)
        for name, value in zip(dataset.taxonomy.names, per_class, strict=True)
    ]
    return _csv([*keys, "class", "average_precision"], cells)


def _plain(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """JSON has no NaN: what could not be measured is null; floats keep nine significant digits."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value


def table(summary: Mapping[str, Any]) -> list[list[str]]:
    """The summary as text cells, a heading first."""
    lines = [[title for title, _, _ in COLUMNS]]
    for entry in summary["curves"]:
        lines.append([_cell(entry[key], digits, key) for _, key, digits in COLUMNS])  # noqa: PERF401  (clearer so)
    return lines


def _cell(value: Any, digits: int | None, key: str) -> str:  # noqa: ANN401  (a cell of any plain type)
    if digits is None:
        return str(value)
    if value is None or math.isnan(value):
        return "–"
    return f"{value:+.{digits}f}" if key == "aubc_gain_over_baseline" else f"{value:.{digits}f}"


def text_table(summary: Mapping[str, Any]) -> str:
    """The summary as an aligned table for a terminal: one line per loss and strategy."""
    return _aligned(table(summary), words=2)


def text_comparison(summary: Mapping[str, Any]) -> str:
    """The comparison of the losses as an aligned table for a terminal: one line per loss, what it shows below."""
    note = "test mAP, mean ± standard deviation over the seeds; full checks: of random images, for the same hours"
    if "aubc" in summary["losses"][0]:
        note += "\nAUBC: test mAP, mean over log hours and over the strategies that start from one positive per image"
    return f"{_aligned(comparison_table(summary['losses']), words=1)}\n\n{note}"


def _aligned(lines: Sequence[Sequence[str]], *, words: int) -> str:
    """Text cells in columns; the first ``words`` of them, and the last if it is none of numbers, begin on the left."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = {*range(words), *([len(widths) - 1] if lines[0][-1].startswith("reference") else [])}
    text = [
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([text[0].rstrip(), "  ".join("-" * w for w in widths), *(t.rstrip() for t in text[1:])])


def _page(dataset: Dataset, summary: Mapping[str, Any], rows: Sequence[Row], svg: str) -> str:
    plan = summary["plan"]
    facts = {
        "data set": f"{dataset.name}: {plan['images']['train']} training, {plan['images']['validation']} validation, "
        f"{plan['images']['test']} test images, {plan['classes']} classes",
        "losses": ", ".join(plan["losses"]),
        "strategies": ", ".join(plan["strategies"]),
        "seeds": str(plan["seeds"]),
        "first label": plan["first_label"],
        **({"known negatives": "read as unknown, as published"} if plan.get("as_published") else {}),
        "validation": _validation_note(summary["validation"]),
        "classes without a test positive": f"{summary['classes_left_out']} (left out of every mean)",
    }
    shown = ("loss", "strategy", "seed", "round", "hours", "labels", "known_share", "map", "positives_known")
    prices = [["action", "seconds", "pays for", "source"]] + [
        [name, f"{plan['prices'][name]:g}", price.pays, price.source] for name, price in PRICES.items()
    ]
    template = Template(resource("templates/report.html").read_text("utf-8"))
    return template.substitute(
        title=html.escape(f"{dataset.name}: what each hour of labelling buys"),
        figure=svg[svg.index("<svg") :],
        facts="".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()),
        caption=_caption(plan),
        comparison=_comparison(summary),
        table=_html_table(table(summary)),
        prices=_html_table(prices, numbers=False),
        rounds=_html_table([list(shown), *([_number(row[c]) for c in shown] for row in rows)]),
        version=html.escape(plan["version"]),
    )


def _comparison(summary: Mapping[str, Any]) -> str:
    if "losses" not in summary:
        return ""
    note = (
        "Test mAP, mean ± standard deviation over the seeds. References are told more than people say: not to choose."
    )
    shown = _html_table(comparison_table(summary["losses"]))
    return f'<h2>Losses side by side</h2>\n<div class="scroll">{shown}</div>\n<p class="note">{note}</p>'


def _caption(plan: Mapping[str, Any]) -> str:
    """What the lines of the figure are; `_figure` decides which figure it is."""
    if not plan["rounds"] and not plan["hours"]:
        return "Each mark is the mean over the seeds, the line through it one standard deviation to either side."
    spread = "" if len(plan["losses"]) > MANY else ", the band one standard deviation"
    return f"Each line is the mean over the seeds{spread}. {_LANES}"


def _html_table(lines: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in lines[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in line) + "</tr>\n" for line in lines[1:])
    kind = ' class="numbers"' if numbers else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"
