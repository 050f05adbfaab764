"""Progress bars for everything that may take more than two seconds, in terminals and notebooks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Show no bars at all (``-q``, tests, services)."""
    global _quiet
    _quiet = quiet


def progress(items: Iterable[T], *, total: int | None = None, what: str) -> Iterator[T]:
    """Yield ``items``, drawing a bar on standard error when they take more than two seconds.

    Nothing is drawn when standard error is neither a terminal nor a notebook.
    """
    if _quiet or not (_in_notebook() or sys.stderr.isatty()):
        yield from items
        return
    from tqdm.auto import tqdm

    yield from tqdm(items, total=total, desc=what, delay=2.0, leave=False, dynamic_ncols=True)


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel; to have loaded the library of kernels is not enough."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return hasattr(shell, "kernel")
