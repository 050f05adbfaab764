"""``python -m spml_annotate`` is the command ``spml-annotate``."""

from __future__ import annotations

from spml_annotate.cli import main

main(prog_name="spml-annotate")
