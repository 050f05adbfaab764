"""Does Label Studio let itself be connected with a backend at this address at all?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from spml_annotate.errors import RemoteError
from spml_annotate.loop.connecting import BLOCKED, join, same_place
from spml_annotate.loop.doctor.case import Case
from spml_annotate.project.checkup import Check

Verdict = Literal["allowed", "blocked", "unresolved"]


def look_at_blocking(case: Case) -> Iterator[Check]:
    """Find our backend's row there, then ask whether its address and that of its webhook are allowed."""
    rows = case.client.backends(case.number)
    if case.backend_url:
        case.row = next((row for row in rows if same_place(str(row["url"]), case.backend_url)), None)
    if case.row is None:
        wanted = case.link.backend if case.link is not None else None
        case.row = next((row for row in rows if row["id"] == wanted), rows[0] if len(rows) == 1 else None)
    # Label Studio looks at the URL before the project, so a project that cannot exist makes this a question only.
    url = str(case.row["url"]) if case.row is not None else case.address
    backend = _ask(case, "/api/ml", url)
    webhook = _ask(case, "/api/webhooks/", join(url, "/webhook"))
    if "unresolved" in (backend, webhook):
        remedy = "give the backend an address whose name Label Studio's machine (or container) can resolve"
        yield Check("blocking", "fail", f"Label Studio cannot find the host of {url}", remedy)
    elif backend == webhook == "allowed":
        yield Check("blocking", "ok", f"Label Studio may call {url}")
    elif backend == "allowed":
        found = f"Label Studio connects {url} but refuses its webhook: ML_BLOCK_LOCAL_IP=false without the other"
        yield Check("blocking", "fail", found, f"{BLOCKED}; then run `spml-annotate studio create` again")
    else:
        yield Check("blocking", "fail", f"Label Studio refuses to call {url}", BLOCKED)


def _ask(case: Case, route: str, url: str) -> Verdict:
    try:
        case.client.request("POST", route, json={"url": url, "project": "none", "title": "question"})
    except RemoteError as error:
        if error.status == 403:
            return "blocked"
        if error.status == 400:
            return "unresolved" if "resolve hostname" in str(error) else "allowed"
        if error.status == 500 and "resolve hostname" in str(error):
            return "unresolved"
        raise
    raise RemoteError(f"{case.client.url}{route} accepted a question without a project; report this")
