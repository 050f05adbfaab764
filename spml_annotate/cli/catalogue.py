"""``spml-annotate losses`` and ``spml-annotate strategies``: what there is to choose from."""

from __future__ import annotations

from typing import Any

import click

from spml_annotate.cli.options import echo_json, json_option


@click.command()
@click.argument("name", required=False)
@json_option
def losses(name: str | None, as_json: bool) -> None:
    """List the losses, or show one: paper, settings with their defaults, what it needs and how ours differs."""
    from spml_annotate.losses import LOSSES

    entries = {n: _loss_facts(LOSSES[n]) for n in ([name] if name else LOSSES)}
    if as_json:
        echo_json(entries[name] if name else entries)
    elif name:
        _show(name, entries[name])
    else:
        _table([(n, facts["needs"], facts["paper"], facts["summary"]) for n, facts in entries.items()])


def _loss_facts(entry: Any) -> dict[str, Any]:  # noqa: ANN401  (an Entry; naming the type would import torch)
    facts = dict(entry.facts)
    facts["label_kinds"] = [getattr(kind, "value", kind) for kind in facts.get("label_kinds", ())]
    needs = ["all true negatives (reference)"] if facts.get("oracle") else []
    needs += ["known negatives"] if facts.get("needs_negatives") else []
    needs += [f"state {facts['state']}"] if facts.get("state") else []
    return {
        "summary": entry.summary,
        "settings": dict(entry.settings),
        "inputs": list(entry.inputs),
        "needs": ", ".join(needs) or "labels only",
        **facts,
    }


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


def _show(name: str, facts: dict[str, Any]) -> None:
    click.echo(f"{name}: {facts.pop('summary')}\n")
    for key, value in facts.items():
        if value not in (None, "", (), {}, [], False):
            text = (
                _settings(value) if isinstance(value, dict) else ", ".join(value) if isinstance(value, list) else value
            )
            click.echo(f"  {key.replace('_', ' ')}: {text}")


def _table(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(("  " + "  ".join(cells)).rstrip())
