"""Runs the server in this process until it is told to stop."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import uvicorn

from spml_annotate.errors import SettingError
from spml_annotate.loop.recipe import check_loss
from spml_annotate.server.app import create_app
from spml_annotate.server.backend import Backend
from spml_annotate.server.connections import patient_protocol
from spml_annotate.server.security import SECRETS, set_up_logging
from spml_annotate.studio.environment import settings_from
from spml_annotate.version import __version__

logger = logging.getLogger(__name__)


def serve_until_stopped(
    folder: Path | None,
    host: str,
    *,
    port: int | None = None,
    model_dir: Path | None = None,
    log_level: str | None = None,
) -> None:
    """Listen at an address; settings come from the environment, arguments that are not None win.

    Raises:
        SettingError: if a setting or the loss cannot be used, or the port is taken. MismatchError: if the folder is
            served already. DataError: if it is no project.
    """
    settings = settings_from(port=port, model_dir=model_dir, log_level=log_level)
    SECRETS.add(settings.token, *(settings.basic or ())[1:])
    set_up_logging(settings.log_level)
    check_loss(settings.loss)
    listener = _listen(host, settings.port)
    with listener:
        backend = Backend(settings, folder)
        backend.open()
        place = f"http://{host}:{listener.getsockname()[1]}"
        logger.info("spml-annotate %s serves %s at %s", __version__, (folder or settings.model_dir).resolve(), place)
        if folder is None:
            logger.info("no --project is given: one is made there for each Label Studio project that connects")
        if not settings.url or not settings.token:
            logger.warning(
                "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not both set: without them no answers, and maybe no "
                "images, can be read from Label Studio"
            )
        config = uvicorn.Config(
            create_app(settings, folder, backend=backend),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            lifespan="on",
            http=patient_protocol(),
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            backend.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # the protocol by name: asyncio switches delays off (TCP_NODELAY) only where it can tell that this is TCP
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        raise SettingError(
            f"cannot listen at {host}:{port} ({error.strerror or error}); choose another with --host and --port"
        ) from None
    listener.set_inheritable(False)
    listener.listen(512)
    return listener
