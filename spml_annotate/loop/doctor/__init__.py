"""``studio doctor``: does the chain from annotator to model hang together, and what mends the link that is broken?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spml_annotate.errors import SpmlError
from spml_annotate.loop.doctor.backend import look_at_backend
from spml_annotate.loop.doctor.case import Case
from spml_annotate.loop.doctor.images import look_at_images
from spml_annotate.loop.doctor.predictions import look_at_predictions
from spml_annotate.loop.doctor.reach import look_at_blocking
from spml_annotate.loop.doctor.server import look_at_server
from spml_annotate.loop.doctor.standing import look_at_project
from spml_annotate.loop.doctor.webhooks import look_at_webhooks
from spml_annotate.project.checkup import Check

_ORDER: tuple[tuple[str, Callable[[Case], Iterable[Check]]], ...] = (
    ("server", look_at_server),
    ("project", look_at_project),
    ("blocking", look_at_blocking),
    ("backend", look_at_backend),
    ("webhook", look_at_webhooks),
    ("predictions", look_at_predictions),
    ("images", look_at_images),
)


def examine(case: Case) -> list[Check]:
    """Look at everything between Label Studio and this folder, in the order in which it must work.

    A check that cannot be made counts as failed; what depends on a broken link is not looked at. Nothing is changed
    in Label Studio, and nothing is stored.
    """
    checks: list[Check] = []
    for name, look in _ORDER:
        if case.ended:
            break
        try:
            checks.extend(look(case))
        except SpmlError as error:
            checks.append(Check(name, "fail", str(error), "see the message"))
    return checks


__all__ = ["Case", "examine"]
