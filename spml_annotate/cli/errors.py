"""What the command line does with errors: one line, exit code 2 for a user's mistake and 1 for a failure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
        except BrokenPipeError:
            sys.stderr.close()
            result = 0
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
