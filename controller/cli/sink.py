"""The server of `holdfast webhook-sink`: a receiver of callbacks that verifies, dedupes and tells.

What it shows came from outside: one line each, without control characters, within bounds.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.exceptions import WebhookVerificationError

from controller.errors import Terminal

MAX_BODY = 1024 * 1024
MAX_IDS = 100_000  # remembered; the oldest are forgotten
SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request, judged.

    Args:
        problem: why it was refused, "" where it was taken.
        duplicate: how many times the same id was taken before.
        answered: HTTP status.
    """

    at: str
    id: str
    type: str
    job: str
    attempt: int | None
    problem: str
    duplicate: int
    answered: int

    def line(self) -> str:
        """For people."""
        what = f"{self.type or 'unknown'} of {self.job or 'unknown'}"
        attempt = f" attempt {self.attempt}" if self.attempt is not None else ""
        state = self.problem or ("duplicate" if self.duplicate else "verified")
        return _plain(f"{self.at[11:23]}  {self.answered}  {state:<9}  {what}{attempt}  {self.id}")

    def json(self) -> str:
        """For programs."""
        return json.dumps(asdict(self))


class Sink:
    """See the module.

    Args:
        secrets: each of which may have signed; none: signatures are not looked at.
        show: called with every request.
        fail: how many requests are answered with `status` before the first is taken; None: all of them.
        delay_seconds: wait before each answer.
    """

    def __init__(
        self,
        secrets: tuple[str, ...],
        show: Callable[[Received], None],
        fail: int | None = 0,
        status: int = 503,
        delay_seconds: float = 0.0,
    ) -> None:
        self._webhooks = tuple(Webhook(secret) for secret in secrets)
        self._show = show
        self._fail = fail
        self._status = status
        self._delay = delay_seconds
        self._ids: OrderedDict[str, int] = OrderedDict()
        self._runner: web.AppRunner | None = None
        self.count = 0

    async def start(self, host: str, port: int) -> str:
        """Listen; returns the URL.

        Raises:
            Terminal: the address cannot be listened on.
        """
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            text = f"cannot listen on {host}:{port}: {error.strerror}; choose another one with --port"
            raise Terminal("AddressInUse", text) from error
        bound = self._runner.addresses[0]
        return f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}/"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode("utf-8", errors="replace")
        self.count += 1
        if self._delay:
            await asyncio.sleep(self._delay)
        problem = self._verify(body, dict(request.headers))
        status = 401 if problem else 204
        if not problem and (self._fail is None or self.count <= self._fail):
            problem, status = "told to fail", self._status
        received = self._judged(request.headers.get("webhook-id", ""), body, problem, status)
        self._show(received)
        return web.Response(status=status, text=None if status == 204 else f"{problem}\n")

    def _verify(self, body: str, headers: dict[str, str]) -> str:
        """Why the request is not genuine, "" where it is."""
        problem = ""
        for webhook in self._webhooks:
            try:
                webhook.verify(body, headers, json_parse=False)
            except WebhookVerificationError as error:
                problem = str(error)
            except ValueError:
                problem = "the signature cannot be read"
            else:
                return ""
        return problem

    def _judged(self, id_: str, body: str, problem: str, status: int) -> Received:
        told = _told(body)
        before = 0
        if not problem:
            before = self._ids.pop(id_, 0)
            self._ids[id_] = before + 1
            if len(self._ids) > MAX_IDS:
                self._ids.popitem(last=False)
        data = told.get("data")
        data = data if isinstance(data, dict) else {}
        job = data.get("job")
        job = job if isinstance(job, dict) else {}
        attempt = data.get("attempt")
        number = attempt.get("number") if isinstance(attempt, dict) else None
        name = f"{job.get('namespace')}/{job.get('name')}" if job else ""
        return Received(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            id=id_[:128],
            type=str(told.get("type", ""))[:64],
            job=name[:320],
            attempt=number if isinstance(number, int) else None,
            problem=problem,
            duplicate=before,
            answered=status,
        )


def _told(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
