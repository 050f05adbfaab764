"""``serve``: the ML backend that Label Studio speaks with."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.option(
    "--project",
    "folder",
    envvar="SPML_PROJECT",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Folder of the project to serve. [default: the current folder if it is one, unless MODEL_DIR is set; else one "
    "is made below MODEL_DIR for each Label Studio project]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen at. [default: PORT, or 9090]")
@click.option(
    "--model-dir", type=click.Path(path_type=Path), help="Where projects are made. [default: MODEL_DIR, or models]"
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
    help="How much is logged. [default: LOG_LEVEL, or INFO]",
)
def serve(folder: Path | None, host: str, port: int | None, model_dir: Path | None, log_level: str | None) -> None:
    """Serve Label Studio: proposals, training behind the annotators, and what to label next.

    LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY say where Label Studio is and who asks; BASIC_AUTH_USER and
    BASIC_AUTH_PASS protect this server. docs/label-studio.md lists all variables.
    """
    from spml_annotate.server.serving import serve_until_stopped
    from spml_annotate.workspace.folder import SETTINGS

    if folder is None and model_dir is None and "MODEL_DIR" not in os.environ and Path(SETTINGS).is_file():
        folder = Path()  # its models/ would be taken for a folder of projects
    serve_until_stopped(folder, host, port=port, model_dir=model_dir, log_level=log_level)
