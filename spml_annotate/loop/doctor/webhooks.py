"""Does Label Studio tell our backend about new answers, quickly, with the password, and nobody who is gone?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spml_annotate.loop.connecting import basic_header, call, join, oldest, same_place
from spml_annotate.loop.doctor.case import Case
from spml_annotate.project.checkup import Check

WEBHOOK_SECONDS = 1.0
"""How long Label Studio, and with it the annotator who submits, waits for a webhook."""
_AGAIN = "spml-annotate studio create --backend URL mends it"


def look_at_webhooks(case: Case) -> Iterator[Check]:
    """The backend's webhook, what it answers, and webhooks that nobody needs."""
    hooks = case.client.webhooks(case.number)
    if case.row is not None:
        target = join(str(case.row["url"]), "/webhook")
        yield _webhook(case, [hook for hook in hooks if same_place(str(hook["url"]), target)], target)
    yield _leftovers(case, hooks)


def _webhook(case: Case, hooks: list[dict[str, Any]], target: str) -> Check:
    if not hooks:
        return Check("webhook", "fail", f"no webhook calls {target}; answers are noticed late", _AGAIN)
    hook = hooks[0]
    if not hook.get("is_active", True):
        return Check("webhook", "fail", f"the webhook to {target} is switched off", _AGAIN)
    if not hook.get("send_for_all_actions", True):
        found = f"the webhook to {target} is sent for some actions only"
        return Check("webhook", "warn", found, "switch on 'Send for all actions' in Settings > Webhooks")
    basic = case.settings.basic
    sent = (hook.get("headers") or {}).get("Authorization")
    if basic is not None and sent != basic_header(basic)["Authorization"]:
        found = "the backend wants a user and password, and the webhook does not carry them"
        return Check("webhook", "fail", found, _AGAIN + " (Label Studio never sends them by itself)")
    return _answer(case, len(hooks))


def _answer(case: Case, count: int) -> Check:
    reply = call(
        case.address, "/webhook", case.settings.basic, body={"action": "DOCTOR", "project": {"id": case.number}}
    )
    if not 200 <= reply.status < 300:
        said = f"HTTP {reply.status}" if reply.status else str(reply.body)
        remedy = "look into the backend's log; Label Studio neither shows this nor tries again"
        return Check("webhook", "fail", f"the backend refuses webhooks ({said})", remedy)
    if reply.seconds > WEBHOOK_SECONDS:
        found = f"a webhook takes {reply.seconds:.1f} s; Label Studio gives up after 1 s, and annotators wait for it"
        return Check(
            "webhook", "fail", found, "the backend must answer first and train later; run `spml-annotate serve`"
        )
    if count > 1:
        return Check(
            "webhook", "warn", f"{count} webhooks call the backend", "delete all but one in Settings > Webhooks"
        )
    return Check("webhook", "ok", f"answered in {1000 * reply.seconds:.0f} ms")


def _leftovers(case: Case, hooks: list[dict[str, Any]]) -> Check:
    """Backends that are no longer there: Label Studio keeps their webhooks, and calls them at every answer."""
    rows = case.client.backends(case.number)
    others = [row for row in rows if case.row is not None and row["id"] != case.row["id"]]
    if others:
        elder = oldest(rows)
        remedy = f"delete the one at {(elder if elder in others else others[0])['url']} in Settings > Model"
        if elder in others:
            found = f"Label Studio shows what the oldest backend proposes, and of these {len(rows)} that is not ours"
            return Check("leftovers", "fail", found, remedy)
        found = f"{len(rows)} backends are connected; Label Studio tells all of them of every answer"
        return Check("leftovers", "warn", found, f"{remedy} if it is not wanted, and its webhook")
    ours = [join(str(row["url"]), "/webhook") for row in rows]
    left = [
        str(hook["url"])
        for hook in hooks
        if str(hook["url"]).rstrip("/").endswith("/webhook")
        and hook.get("is_active", True)
        and not any(same_place(str(hook["url"]), url) for url in ours)
    ]
    if left:
        found = f"a webhook still calls {left[0]}, which is no connected backend"
        return Check("leftovers", "warn", found, "delete it in Settings > Webhooks if no other program wants it")
    return Check("leftovers", "ok", "no second backend, and no webhooks of deleted ones")
