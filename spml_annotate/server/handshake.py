"""What must be equal at Label Studio for its queue to work, mended where it is not.

Label Studio names the project's model version after the backend's title; predictions count, and sort the queue, only if
they carry that version. Its webhooks carry no password. It never mends either by itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spml_annotate.errors import RemoteError
from spml_annotate.loop.connecting import SAMPLING, agree_on_version, ensure_webhook, order_by_score
from spml_annotate.loop.links import Link
from spml_annotate.loop.pushing import our_backend

if TYPE_CHECKING:
    from spml_annotate.server.hub import Hub, Served

logger = logging.getLogger(__name__)


def mend(hub: Hub, served: Served, link: Link) -> bool:
    """Make title, version and webhook of a main link what they must be; False if no backend is connected yet.

    Label Studio calls `/health` and `/setup` while it is asked for its backends: never from a handler of those.

    Raises:
        RemoteError: if Label Studio does not answer.
    """
    client = hub.client(link)
    row = our_backend(client.backends(link.project), link, hub.settings.port)
    if row is None:
        return False
    number, basic = int(row["id"]), hub.settings.basic
    if link.backend is None and order_by_score(client, link):
        logger.info('%s: the most useful task comes first now ("%s")', served.folder.name, SAMPLING)
    if link.backend != number:
        link = served.links.update(link.id, backend=number)
    agree_on_version(client, link, dict(row), basic)
    try:
        ensure_webhook(client, link, str(row["url"]), basic)
    except RemoteError as error:
        hub.say_once(
            f"{served.folder.name}: Label Studio has no webhook for this backend, so answers are read only every "
            f"{hub.settings.poll_seconds:.0f} s: {error}"
        )
    return True
