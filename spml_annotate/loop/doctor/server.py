"""Is Label Studio there, does it take our token, which version is it, and do its clock and ours agree?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from spml_annotate.errors import RemoteError
from spml_annotate.loop.connecting import Reply, call
from spml_annotate.loop.doctor.case import Case
from spml_annotate.project.checkup import Check

CLOCK_SECONDS = 60.0
_PERSONAL = (
    "make a personal access token in Label Studio (top right > Account & Settings > Personal Access Token) and set "
    "LABEL_STUDIO_API_KEY to it"
)


def look_at_server(case: Case) -> Iterator[Check]:
    """Address, token, version, clock."""
    reply = call(case.client.url, "/health")
    address = _address(case, reply)
    yield address
    if address.level == "fail":
        case.ended = True
        return
    token = _token(case)
    yield token
    if token.level == "fail":
        case.ended = True
        return
    yield Check("version", "ok", f"Label Studio {case.client.version()}")
    yield _clock(reply)


def _address(case: Case, reply: Reply) -> Check:
    url = case.client.url
    if reply.status == 0:
        remedy = "start Label Studio, or set LABEL_STUDIO_URL to its address as this machine reaches it"
        return Check("address", "fail", f"{url} does not answer ({reply.body})", remedy)
    body = reply.body if isinstance(reply.body, dict) else {}
    if "model_class" in body:
        remedy = "set LABEL_STUDIO_URL to Label Studio's own address"
        return Check("address", "fail", f"{url} is an ML backend, not Label Studio", remedy)
    if reply.status != 200 or body.get("status") != "UP":
        remedy = "set LABEL_STUDIO_URL to the address at which Label Studio opens in a browser, with its path if any"
        return Check("address", "fail", f"{url} is not Label Studio (HTTP {reply.status} on /health)", remedy)
    return Check("address", "ok", f"{url} answers in {1000 * reply.seconds:.0f} ms")


def _token(case: Case) -> Check:
    kind = case.client.token_kind
    try:
        me = case.client.whoami()
    except RemoteError as error:
        if error.status not in (401, 403):
            raise
        if kind == "legacy":
            remedy = f"legacy tokens are off unless the organisation allows them: {_PERSONAL}"
        else:
            remedy = f"the personal access token is not valid any more: {_PERSONAL}"
        return Check("token", "fail", f"the {kind} token is refused (HTTP {error.status})", remedy)
    return Check("token", "ok", f"{kind} token of {me.get('email') or me.get('username')}")


def _clock(reply: Reply) -> Check:
    said = reply.headers.get("date")
    if said is None:
        return Check("clock", "ok", "Label Studio does not tell its time")
    difference = parsedate_to_datetime(said).timestamp() - time.time()
    if abs(difference) > CLOCK_SECONDS:
        found = f"Label Studio's clock differs from this machine's by {abs(difference):.0f} s"
        return Check("clock", "warn", found, "set both by a time server: times of answers are compared")
    return Check("clock", "ok", "Label Studio's clock and this machine's agree")
