"""What questions really cost: prices fitted to measured acts, as the project's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spml_annotate.acquire.cost import PRICES, Prices
from spml_annotate.acquire.fitting import LEAST, USUAL, Fit, fit_prices
from spml_annotate.errors import DataError
from spml_annotate.project.measuring import Measured, measured_acts
from spml_annotate.stores.atomic import write_text
from spml_annotate.workspace import Workspace

_IMPLAUSIBLE = 0.25
"""Share of the lowest published price of an action below which nobody believes a fit."""


@dataclass(frozen=True)
class FittedCosts:
    """What `fit_costs` found: the fit, the acts it rests on, and the prices from now on (if ``applied``)."""

    fit: Fit
    measured: Measured
    before: Prices
    prices: Prices
    applied: bool
    warnings: tuple[str, ...]


def fit_costs(
    workspace: Workspace,
    *,
    least: int = LEAST,
    level: float = 0.95,
    seed: int = 0,
    apply: bool = True,
    out: str | Path | None = None,
) -> FittedCosts:
    """Fit the prices of actions to the seconds in the log and, if wanted, use them from now on.

    Prices that the log cannot tell stay as they are in the project. What was fitted goes into the table ``[seconds]``
    of ``spml.toml``, from where `ask` takes it.

    Args:
        workspace: the project.
        least: acts that must have paid a price before it is fitted.
        level: of the intervals.
        seed: of the bootstrap.
        apply: whether to keep the result.
        out: a TOML file for all prices, see `save_prices`.

    Raises:
        DataError: if nothing was measured, or ``out`` cannot be written; then nothing was changed.
    """
    measured = measured_acts(workspace)
    if not measured.acts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(measured.left_out.items()))
        raise DataError(
            f"no answer in {workspace.root} has usable seconds{f' ({reasons})' if reasons else ''}; answer questions "
            "with `spml-annotate answer` or in Label Studio, both measure"
        )
    before = workspace.settings.prices
    fit = fit_prices(measured.acts, base=before, least=least, level=level, seed=seed)
    prices = Prices(**{**workspace.settings.seconds, **fit.seconds})
    kept = apply and bool(fit.seconds)
    costs = FittedCosts(fit, measured, before, prices, kept, _warnings(fit, measured, least))
    if out is not None:
        save_prices(out, costs)
    if kept:
        with workspace.writing("cost fit"):
            workspace.update(seconds={**workspace.settings.seconds, **fit.seconds})
    return costs


def _warnings(fit: Fit, measured: Measured, least: int) -> tuple[str, ...]:
    found = []
    if fit.acts < USUAL:
        found.append(f"only {fit.acts} measured answers: intervals are wide; fit again once there are {USUAL}")
    if not fit.seconds:
        found.append(f"no price was paid by {least} acts that tell it: every price stays as it is")
    found += [
        f"`{price.name}` comes out at {price.seconds:.2g} s, and nobody is known to be faster than "
        f"{PRICES[price.name].low:g} s: were these times measured? seconds that were made up mislead `ask`; the table "
        "[seconds] of spml.toml takes better ones"
        for price in fit.prices
        if price.fitted and price.seconds < _IMPLAUSIBLE * PRICES[price.name].low
    ]
    if measured.picks_shown and next(price.fitted for price in fit.prices if price.name == "pick"):
        found.append(
            f"{measured.picks_shown} of {measured.picks} picks took a class that was proposed, and others may have "
            "corrected one: `pick` is what they cost like that"
        )
    return tuple(found)


def save_prices(path: str | Path, costs: FittedCosts) -> None:
    """Write all prices as the TOML file that `simulate --costs` reads; comments say what each rests on.

    Raises:
        DataError: if it cannot be written.
    """
    lines = [f"# Seconds per action, fitted to {costs.fit.acts} measured answers.", "[seconds]"]
    for price in costs.fit.prices:
        value = getattr(costs.prices, price.name)
        rests = price.note if not price.fitted else f"{price.low:.3g} to {price.high:.3g}, {price.acts} acts"
        lines.append(f"{price.name} = {value!r}  # {rests}")
    write_text(Path(path), "\n".join(lines) + "\n")
