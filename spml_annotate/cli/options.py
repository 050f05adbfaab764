"""Options that several commands share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from spml_annotate.errors import SettingError

C = TypeVar("C", bound=Callable[..., Any])


def _set_verbosity(context: click.Context, parameter: click.Parameter, value: int) -> None:
    from spml_annotate.progress import set_quiet

    if parameter.name == "quiet" and value:
        set_quiet(True)
        logging.getLogger("spml_annotate").setLevel(logging.ERROR)
    if parameter.name == "verbose" and value:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("spml_annotate").setLevel(logging.DEBUG if value > 1 else logging.INFO)


def verbosity(function: C) -> C:
    """Add -v and -q."""
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_verbosity,
        help="No progress bars, errors only.",
    )
    verbose = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_set_verbosity, help="Say more (-vv: much more)."
    )
    return quiet(verbose(function))


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:1, ... (auto takes a GPU if there is one).",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Drives everything random."
)
as_published_option = click.option(
    "--as-published",
    is_flag=True,
    help="Read known negatives as unknown, as the papers' code does (except for methods that need them).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of text.")


def _set_threads(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    if value is not None:
        from spml_annotate.device import set_threads

        set_threads(value)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    expose_value=False,
    callback=_set_threads,
    help="CPU threads to use (default: all).",
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME.SETTING=VALUE",
    help="Set a setting of a loss or of a kind of question, such as en.momentum=0.9 or page.size=5. Repeatable.",
)


def parse_assignments(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``NAME.SETTING=VALUE`` strings as {name: {setting: value}}.

    Raises:
        SettingError: for a string of another form.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in assignments:
        target, equals, value = text.partition("=")
        name, dot, setting = target.strip().partition(".")
        if not (equals and dot and name and setting):
            raise SettingError(f"--set {text!r}: write NAME.SETTING=VALUE, such as en.momentum=0.9")
        found.setdefault(name, {})[setting.replace("-", "_")] = value.strip()
    return found


def settings_for(name: str, assignments: Sequence[str], why: str) -> dict[str, Any]:
    """The settings of ``name`` among ``NAME.SETTING=VALUE`` strings; ``why`` says why only it is meant.

    Raises:
        SettingError: for a string of another form, or one about something else.
    """
    found = parse_assignments(assignments)
    if strange := sorted(set(found) - {name}):
        raise SettingError(f"--set {strange[0]}...: {why} as {name}; write --set {name}.SETTING=VALUE")
    return found.get(name, {})


def parse_hours(text: str | None) -> tuple[float, ...]:
    """Hours separated by commas; a trailing h is allowed."""
    if text is None:
        return ()
    try:
        return tuple(float(part.strip().removesuffix("h")) for part in text.split(","))
    except ValueError:
        raise SettingError(f"--budget {text!r}: write hours, such as 2 or 0.5,1,2") from None


def echo_json(value: Any) -> None:  # noqa: ANN401  (any JSON value)
    """Print a value as JSON; what is not a number is null."""
    click.echo(json.dumps(_finite(value), indent=1, ensure_ascii=False))


def _finite(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value
