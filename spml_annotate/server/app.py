"""The ML backend's routes, as Label Studio 1.23 calls them.

Label Studio waits for every answer while a person looks at the screen: one second for `/health` and for a webhook,
three for `/setup`, a hundred for `/predict`, and it is silent about errors. So `/health` touches nothing, `/setup` and
`/webhook` touch a few rows on the disk in threads of their own, and only `/predict` waits for a model.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spml_annotate.server.backend import Backend
from spml_annotate.server.metrics import CONTENT, Metrics
from spml_annotate.server.security import Access, RequestError, access, parse_object, read_body
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.version import __version__

logger = logging.getLogger(__name__)

NAME = "SPML"
_ROUTES = ("/", "/health", "/setup", "/predict", "/webhook", "/versions", "/metrics")


def create_app(settings: StudioSettings, project: Path | None = None, *, backend: Backend | None = None) -> FastAPI:
    """The server as an ASGI application; whatever it holds is claimed when it starts and let go when it stops.

    Args:
        settings: see `settings_from`.
        project: folder of the one project to serve; without it, projects are made below ``settings.model_dir``.
        backend: what answers, if it was made before; it is opened if it is not open.
    """
    inner = backend or Backend(settings, project)
    quick = ThreadPoolExecutor(4, "quick")
    slow = ThreadPoolExecutor(8, "predict")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        inner.start()
        try:
            yield
        finally:
            await asyncio.get_running_loop().run_in_executor(None, inner.stop)
            quick.shutdown(wait=False, cancel_futures=True)
            slow.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(title="spml-annotate", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.lifespan_context = lifespan
    app.router.redirect_slashes = False  # it would answer to whatever host the request names
    app.state.backend = inner
    _add_routes(app, inner, quick, slow)
    _add_errors(app)
    app.add_middleware(_Outermost, metrics=inner.hub.metrics)
    return app


def _add_routes(app: FastAPI, inner: Backend, quick: ThreadPoolExecutor, slow: ThreadPoolExecutor) -> None:
    settings = inner.settings

    async def work(pool: ThreadPoolExecutor, request: Request, function: Callable[..., Any], *more: object) -> Response:
        if request.headers.get("origin"):  # a page in the browser of somebody who may reach this server, who may not
            raise RequestError(403, "web pages may not ask this server to do anything; Label Studio itself does")
        body = await read_body(request, settings.max_body)
        answer = await asyncio.get_running_loop().run_in_executor(pool, _answer, function, body, *more)
        return Response(answer, media_type="application/json")

    @app.post("/setup")
    async def setup(request: Request) -> Response:
        _require(request, settings)
        return await work(quick, request, inner.setup, settings.basic is not None)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        _require(request, settings)
        return await work(slow, request, inner.predict)

    @app.post("/webhook")
    async def webhook(request: Request) -> Response:
        # Label Studio sends no password with the events of annotators; such a request is a hint and nothing more.
        found = _access(request, settings)
        if found == "wrong":
            _require(request, settings)
        return await work(quick, request, inner.webhook, found == "granted")

    _add_readings(app, inner, quick)


def _add_readings(app: FastAPI, inner: Backend, quick: ThreadPoolExecutor) -> None:
    """Routes without a body."""
    settings = inner.settings

    @app.get("/")
    async def root() -> JSONResponse:
        return JSONResponse({"status": "UP", "model_class": NAME})  # for watchdogs, that need no password

    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        # A watchdog needs no password. Label Studio does: it tells its user of a refusal here, not of one at /setup.
        label_studio = request.headers.get("user-agent", "").startswith("heartex/")
        if label_studio or _access(request, settings) == "wrong":
            _require(request, settings)
        return JSONResponse({"status": "UP", "model_class": NAME, "version": __version__})

    @app.get("/versions")
    async def versions(request: Request) -> JSONResponse:
        _require(request, settings)
        return JSONResponse(await asyncio.get_running_loop().run_in_executor(quick, inner.versions))

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        _require(request, settings)
        text = await asyncio.get_running_loop().run_in_executor(quick, inner.hub.metrics.text)
        return Response(text, media_type=CONTENT)


def _access(request: Request, settings: StudioSettings) -> Access:
    return access(request.headers.get("authorization"), settings.basic)


def _require(request: Request, settings: StudioSettings) -> None:
    if _access(request, settings) != "granted":
        raise RequestError(401, "user and password are wanted (BASIC_AUTH_USER, BASIC_AUTH_PASS)")


def _answer(function: Callable[..., Any], body: bytes, *more: object) -> bytes:
    """Runs in a thread, reading and writing of JSON included: a large body must not keep `/health` waiting."""
    return json.dumps(function(parse_object(body), *more), allow_nan=False).encode()


class _Outermost:
    """Counts every request, and turns a failure of ours into short JSON.

    Args:
        app: what answers.
        metrics: where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, route = time.perf_counter(), scope["path"] if scope["path"] in _ROUTES else "other"
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:  # a failure of ours: the log says where, the caller that it happened
            logger.error("a request to %s failed", route, exc_info=error)
            if not status:
                answer = JSONResponse({"error": "a failure of the server; its log says more"}, 500)
                await answer(scope, receive, noting)
        finally:
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - begun)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestError)
        headers = {"WWW-Authenticate": 'Basic realm="spml-annotate"'} if error.status == 401 else None
        return JSONResponse({"error": str(error)}, error.status, headers)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
