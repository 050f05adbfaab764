"""What the command line does with errors: one line, exit code 2 for a user's mistake and 1 for a failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from spml_annotate.errors import SpmlError


class ErrorHandlingGroup(click.Group):
    """A group whose commands end in one line on standard error instead of a traceback (unless ``--debug``)."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401  (click's own signature)
    ) -> Any:  # noqa: ANN401  (click's own signature)
        """Run, and exit with the code that the outcome deserves."""
        debug = "--debug" in (sys.argv[1:] if args is None else args)
        try:
            result = super().main(
                args, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra
            )
        except click.exceptions.Exit as stop:
            result = stop.exit_code
        except click.ClickException as mistake:
            mistake.show()
            result = mistake.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("stopped; everything finished so far is kept", err=True)
            result = 130
        except SpmlError as error:
            if debug:
                raise
            click.echo(f"error: {error}", err=True)
            result = error.exit_code
        except Exception as error:
            if debug:
                raise
            click.echo(
                f"error: {type(error).__name__}: {error} (a failure of spml-annotate; --debug shows where)", err=True
            )
            result = 1
        if standalone_mode:
            sys.exit(result if isinstance(result, int) else 0)
        return result

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401  (click's own signature)
    ) -> click.Context:
        """Parse, which prints where help is asked for."""
        with _closed_pipe_is_no_failure():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  (click's own signature)
        """Run the command."""
        with _closed_pipe_is_no_failure():
            return super().invoke(ctx)


@contextmanager
def _closed_pipe_is_no_failure() -> Iterator[None]:
    """End quietly when whoever reads the output has closed it, as ``| head`` does on purpose."""
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # what is still to be written at the end of the process
        raise click.exceptions.Exit(0) from None
