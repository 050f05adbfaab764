"""The command line: thin commands; whatever is heavy is imported inside the command that needs it."""

from __future__ import annotations

import os

import click

from spml_annotate.cli.catalogue import losses, strategies
from spml_annotate.cli.costs import cost, report_bias
from spml_annotate.cli.errors import ErrorHandlingGroup
from spml_annotate.cli.estimate import estimate_k
from spml_annotate.cli.export import export, formats
from spml_annotate.cli.gain import report_gain
from spml_annotate.cli.labelling import answer, ask, import_labels, undo
from spml_annotate.cli.learning import embed, evaluate, propose, train
from spml_annotate.cli.options import verbosity
from spml_annotate.cli.results import doctor, status
from spml_annotate.cli.serve import serve
from spml_annotate.cli.setup import classes, images, init
from spml_annotate.cli.simulate import simulate
from spml_annotate.cli.studio import studio
from spml_annotate.version import __version__

# Read by the thread library when torch or faiss loads it: threads with nothing to do give their core back instead of
# spinning, which made small products many times slower on a machine that somebody else uses too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@click.group(
    cls=ErrorHandlingGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="spml-annotate")
@verbosity
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Label images with one positive each, and make the most of it.

    Start with `spml-annotate simulate` (built-in data: what does each hour of labelling buy?), or with
    `spml-annotate init DIR` for a project of your own.
    """


_COMMANDS = (
    simulate, init, images, classes, import_labels, embed, train, propose, ask, answer, undo, evaluate, estimate_k,
    export, formats, status, losses, strategies, doctor, serve,
    cost, report_bias, report_gain,
    studio,
)  # fmt: skip
for _command in _COMMANDS:
    main.add_command(_command)
