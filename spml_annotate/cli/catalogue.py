"""``spml-annotate losses`` and ``spml-annotate strategies``: what there is to choose from."""

from __future__ import annotations

import shutil
import sys
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from spml_annotate.cli.options import echo_json, json_option

if TYPE_CHECKING:
    from spml_annotate.losses.records import Absent
    from spml_annotate.training.catalogue import Card

_EXAMPLE = (82_081, 80)  # images and classes of COCO's training set, for which memory is worked out


class _ShowsByName(click.Group):
    """A group in which a word that is no command is the name of something to show."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """``losses en`` is ``losses show en``."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_ShowsByName, invoke_without_command=True)
@click.option("--missing", is_flag=True, help="List the published methods that are not here, with the reason.")
@json_option
@click.pass_context
def losses(context: click.Context, missing: bool, as_json: bool) -> None:
    """List the losses; `losses show NAME`, or `losses NAME`, says everything about one of them."""
    if context.invoked_subcommand is not None:
        context.obj = as_json
    elif missing:
        _list_missing(as_json)
    else:
        _list_losses(as_json)


@losses.command("show")
@click.argument("name")
@json_option
@click.pass_obj
def show_loss(before: bool | None, name: str, as_json: bool) -> None:
    """Show one loss: formula, settings, the authors' defaults, what it needs and remembers, how ours differs.

    For a published method that is not here: the reason.
    """
    from spml_annotate.losses import LOSSES
    from spml_annotate.losses.records import absent_method

    name = name.lower() if name.lower() in LOSSES else name
    found = None if name in LOSSES else absent_method(name)
    as_json = as_json or bool(before)
    if found is not None:
        echo_json(_absent_facts(found)) if as_json else _say(_absent_lines(found))
        return
    from spml_annotate.training.catalogue import card

    shown = card(name)
    echo_json(_facts(shown)) if as_json else _say(_card_lines(shown))


@losses.command("states")
@json_option
@click.pass_obj
def loss_states(before: bool | None, as_json: bool) -> None:
    """List what losses remember about every image and class, and what it costs in memory."""
    from spml_annotate.states import STATES
    from spml_annotate.training.catalogue import users
    from spml_annotate.training.footprint import measured

    found = {name: (STATES[name].summary, measured(name), users(name)) for name in STATES}
    if as_json or before:
        echo_json(
            {
                name: {
                    "summary": summary,
                    "bytes_per_cell": memory.cell,
                    "bytes_per_cell_with_adam": memory.with_moments,
                    "bytes_per_image": memory.image,
                    "also_keeps": STATES[name].facts.get("also_keeps", ""),
                    "losses": users,
                }
                for name, (summary, memory, users) in found.items()
            }
        )
        return
    images, classes = _EXAMPLE
    _say([f"Bytes per image and class, and MB at {images:,} x {classes} (Adam's moments included):", ""])
    _table(
        [
            (name, f"{memory.with_moments:g}", f"{memory.total(images, classes) / 1e6:,.0f} MB", ", ".join(users))
            for name, (_, memory, users) in found.items()
        ]
    )
    beside = {name: STATES[name].facts.get("also_keeps", "") for name in found}
    _say(["", *(f"{name} keeps beside it, not counted here: {words}" for name, words in beside.items() if words)])


def _list_losses(as_json: bool) -> None:
    from spml_annotate.training.catalogue import cards

    found = cards()
    if as_json:
        echo_json({card.name: _facts(card) for card in found})
        return
    _table([(card.name, card.needs, card.source, card.summary) for card in found])
    _say(["", "`losses show NAME`: one of them; `losses states`: what they remember; `losses --missing`: not here."])


def _list_missing(as_json: bool) -> None:
    from spml_annotate.losses.records import absent_methods

    if as_json:
        echo_json({found.name: _absent_facts(found) for found in absent_methods()})
        return
    _table(
        [
            (found.name, found.source, found.reason + (f" (losses show {found.loss})" if found.loss else ""))
            for found in absent_methods()
        ]
    )


def _facts(shown: Card) -> dict[str, Any]:
    from dataclasses import asdict

    worded = {"needs": shown.needs, "trainable": shown.trainable, "golden": shown.golden}
    return {**asdict(shown), **worded, "memory": _memory(shown)}


def _memory(shown: Card) -> dict[str, float] | None:
    from spml_annotate.training.footprint import measured

    if shown.state is None:
        return None
    memory = measured(shown.state)
    return {"bytes_per_cell": memory.cell, "with_adam": memory.with_moments, "bytes_per_image": memory.image}


def _absent_facts(found: Absent) -> dict[str, Any]:
    from dataclasses import asdict

    return {"here": False, **asdict(found)}


def _absent_lines(found: Absent) -> list[str]:
    lines = [f"{found.name} is not here: {found.reason}", ""]
    lines += [f"  {found.title}", f"  {found.authors + '; ' if found.authors else ''}{found.source}", f"  {found.link}"]
    lines += [f"  https://github.com/{found.repository}"] if found.repository else []
    return [*lines, f"  see: spml-annotate losses show {found.loss}"] if found.loss else lines


def _card_lines(shown: Card) -> list[str]:
    from spml_annotate.training.catalogue import value_in_words

    rows = {
        "paper": f"{shown.title} ({'; '.join(filter(None, (shown.authors, shown.source)))}) {shown.link}",
        "code": shown.repository or "none released",
        "needs": shown.needs,
        "labels": ", ".join(shown.label_kinds),
        "trains": shown.training,
        "remembers": _remembered(shown),
        "known cells": shown.pulls_known,
        "differs": shown.differs,
        "certainty": shown.certainty,
        "checked": shown.golden,
    }
    lines = [f"{shown.name}: {shown.summary}", *([shown.details] if shown.details else []), ""]
    lines += [f"  {key}: {text}" for key, text in rows.items() if text]
    if shown.inputs:
        lines += ["", "  inputs:", *(f"    {name}: {words}" for name, words in shown.inputs.items())]
    if shown.settings:
        lines += ["", "  settings (--set " + shown.name + ".NAME=VALUE):"]
    for setting in shown.settings:
        published = [("code", setting.code), ("paper", setting.paper)]
        said = "".join(f"; {who}: {value_in_words(value)}" for who, value in published if value is not None)
        lines.append(f"    {setting.name} = {value_in_words(setting.ours)}{said}")
        lines.append(f"        {setting.meaning}{f' ({setting.allowed})' if setting.allowed else ''}")
    return lines


def _remembered(shown: Card) -> str:
    from spml_annotate.training.footprint import measured

    if shown.state is None:
        return ""
    return f"state {shown.state}: " + "; ".join(filter(None, (measured(shown.state).in_words, shown.also_keeps)))


@click.command()
@json_option
def strategies(as_json: bool) -> None:
    """List the strategies, the kinds of question they ask by, and what answers cost."""
    from spml_annotate.acquire import KINDS, PRICES, VALUES

    if as_json:
        echo_json(
            {
                "strategies": {n: {"summary": VALUES[n].summary, **VALUES[n].facts} for n in VALUES},
                "kinds": {n: {**KINDS[n].facts, "settings": dict(KINDS[n].settings)} for n in KINDS},
                "seconds": {n: price._asdict() for n, price in PRICES.items()},
            }
        )
        return
    click.echo("Strategies (write NAME, or NAME:KIND to ask by another kind of question):\n")
    _table([(n, f"asks by {VALUES[n].facts['kind']}", VALUES[n].summary) for n in VALUES])
    click.echo("\nKinds of question:\n")
    _table([(n, KINDS[n].facts["asks"], _settings(KINDS[n].settings)) for n in KINDS])
    click.echo("\nSeconds per action (override with --costs FILE.toml, table [seconds]):\n")
    _table([(n, f"{p.seconds:g} s ({p.low:g}-{p.high:g})", p.pays, p.source) for n, p in PRICES.items()])


def _settings(settings: Any) -> str:  # noqa: ANN401  (a mapping of settings)
    return ", ".join(f"{k}={v}" for k, v in settings.items())


def _room() -> int | None:
    """Columns of the terminal; None where the output goes to a program, which finds one thing per line easier."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _say(lines: list[str]) -> None:
    """Print lines, folded in a terminal; what is folded is indented further than its line."""
    room = _room()
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        click.echo(line if room is None else _folded(line.lstrip(), room, indent, indent + "    "))


def _folded(text: str, room: int, first: str, others: str) -> str:
    return fill(
        text,
        max(room, 40),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(lines: list[tuple[str, ...]]) -> None:
    """Columns; in a terminal that is too narrow for them the words of every line below its name."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    room = _room()
    if room is not None and 2 * len(widths) + sum(widths) > room:
        for name, *middle, last in lines:
            first = f"{name:<{widths[0]}}  " + "; ".join(middle)
            click.echo(_folded(first, room, "  ", " " * 6))
            click.echo(_folded(last, room, " " * 6, " " * 6))
        return
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(("  " + "  ".join(cells)).rstrip())
