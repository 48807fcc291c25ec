"""The controller's HTTP server on loopback (design 10; requirement 9.4).

Open to everybody who can connect: /healthz, /readyz, /metrics. Everything else wants the bearer token of the file
`token` (0600) in the state directory, a Host header that names this server (a page in a browser cannot rebind a name
of its own to it), and no Origin but its own. `http.json` beside it says where the server is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from controller.errors import Terminal
from controller.files.atomic import write_atomic
from controller.files.versions import known
from controller.settings import Settings
from controller.telemetry.health import Answer, Health
from controller.telemetry.metrics import CONTENT_TYPE, Metrics

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN_FILE, ADDRESS_FILE = "token", "http.json"
TOKEN_BYTES = 32
PUBLISH_AGAIN_SECONDS = 5.0
SHUTDOWN_SECONDS = 1.0

Rows = Callable[[str | None, str | None], list[dict[str, Any]]]
Page = Callable[[], Awaitable[tuple[int, Any]]]


class Routes(Protocol):
    """A group of routes."""

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add them."""


_log = structlog.get_logger("controller.web")


class Server:
    """See the module.

    Args:
        rows: JSON-ready rows of `GET /queue`, for a namespace and a queue or None for all.
        pages: path -> status and JSON-ready body of further pages, all of which want the token.
        routes: groups of routes that are more than a page to look at; they want the token too.
    """

    def __init__(
        self,
        settings: Settings,
        health: Health,
        metrics: Metrics,
        rows: Rows,
        pages: Mapping[str, Page] = MappingProxyType({}),
        routes: Sequence[Routes] = (),
    ) -> None:
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._rows = rows
        self._pages = pages
        self._routes = routes
        self._runner: web.AppRunner | None = None
        self._publisher: asyncio.Task[None] | None = None
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self.url = ""

    async def start(self) -> None:
        """Listen, then say where. A state directory that cannot be written to is tried again in the background.

        Raises:
            Terminal: the address is taken or not ours.
        """
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        app.router.add_get("/queue", self._queue)
        for path, page in self._pages.items():
            app.router.add_get(path, _shown(page))
        for routes in self._routes:
            routes.add_to(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        host, port = self._settings.http_host, self._settings.http_port
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            text = f"cannot listen on {host}:{port}: {error.strerror}; set HOLDFAST_HTTP_HOST and HOLDFAST_HTTP_PORT"
            raise Terminal("AddressInUse", text) from error
        bound = self._runner.addresses[0]
        self.url = f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
        if not self._publish():
            self._publisher = asyncio.create_task(self._publish_later(), name="publish-http")

    async def stop(self) -> None:
        """Stop listening and take back `http.json`."""
        if self._publisher is not None:
            self._publisher.cancel()
            await asyncio.gather(self._publisher, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            with contextlib.suppress(OSError):  # a stale one names a pid that is gone: readers check it
                (self._settings.home / ADDRESS_FILE).unlink()

    async def _publish_later(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_AGAIN_SECONDS)
            if self._publish():
                return

    def _publish(self) -> bool:
        home = self._settings.home
        told = {
            "version": known(ADDRESS_FILE),
            "url": self.url,
            "pid": os.getpid(),
            "maxRunning": self._settings.running_limit,
            "executor": self._settings.enabled_executors[0],
        }
        address = json.dumps(told).encode()
        try:
            self._token = _token_in(home / TOKEN_FILE) or self._new_token(home / TOKEN_FILE)
            write_atomic(home / ADDRESS_FILE, address, 0o600)
        except OSError as error:
            _log.error("cannot write where the HTTP server is", path=str(error.filename), error=str(error))
            return False
        return True

    def _new_token(self, path: Path) -> str:
        write_atomic(path, self._token.encode(), 0o600)
        return self._token

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        if request.path not in OPEN_PATHS:
            self._check(request)
        response: web.StreamResponse = await handler(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _check(self, request: web.Request) -> None:
        """Raise the HTTP answer of a request that may not be served."""
        if _hostname(f"//{request.host}") not in LOOPBACK | {self._settings.http_host}:
            raise web.HTTPForbidden(text="the Host header does not name this server\n")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            raise web.HTTPForbidden(text="requests from other origins are refused\n")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            text = f"send `Authorization: Bearer` with the content of {self._settings.home / TOKEN_FILE}\n"
            raise web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": "Bearer"})

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._health.healthz())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._health.readyz())

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _queue(self, request: web.Request) -> web.Response:
        rows = self._rows(request.query.get("namespace"), request.query.get("queue"))
        return web.json_response({"items": rows})


def _shown(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def show(_: web.Request) -> web.Response:
        status, body = await page()
        return web.json_response(body, status=status)

    return show


def _token_in(path: Path) -> str | None:
    """The token of an earlier controller, unless others could have read or written it."""
    try:
        status, token = path.stat(), path.read_text().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return token if status.st_mode & 0o077 == 0 and status.st_uid == os.geteuid() and len(token) >= 32 else None


def _hostname(text: str) -> str:
    """The host of a URL without its port, "" where it is none."""
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def _answer(answer: Answer) -> web.Response:
    return web.Response(text=answer.text(), status=200 if answer.ok else 503)
