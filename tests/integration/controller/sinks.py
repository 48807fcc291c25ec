"""A receiver of callbacks in the process of the tests, and callbacks as a user declares and reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.integration.controller.jobs import GROUP, Jobs, Object

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLBACKS = "callbacks"
SETTINGS = {"HOLDFAST_CALLBACK_ALLOW_CIDRS": "127.0.0.0/8", "HOLDFAST_CALLBACK_PORTS": "1-65535"}


@dataclass
class Sink:
    """A receiver that verifies each signature; answers with `code`.

    Args:
        echo: the body of an answer is what was sent, headers and all.
        times: when each request came, seconds since the epoch.
        told: (webhook-id, event) in the order of arrival, of those that were answered with 2xx.
        tries: the webhook-id of each request.
    """

    code: int = 204
    told: list[tuple[str, str]] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    echo: bool = False
    port: int = 0

    def take(self, headers: dict[str, str], body: bytes) -> int:
        event = Webhook(SECRET).verify(body, headers)
        self.tries.append(headers["webhook-id"])
        self.times.append(time.time())
        if self.code < 300:
            self.told.append((headers["webhook-id"], event["data"]["event"]))
        return self.code

    @property
    def events(self) -> list[str]:
        return [event for _, event in self.told]


@contextmanager
def serving() -> Iterator[Sink]:
    """A sink that listens on loopback."""
    one = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(one.take({k.lower(): v for k, v in self.headers.items()}, body))
            answer = str(self.headers).encode() + body if one.echo else b""
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing: the test looks at what arrived."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield one
    server.shutdown()
    server.server_close()
    thread.join(10)


def hook(sink: Sink, **more: Any) -> Object:
    """An entry of spec.callbacks that is tried every second."""
    use = {"name": "hook", "url": f"http://127.0.0.1:{sink.port}/x", "secretRef": {"name": "hook", "key": "key"}}
    return {**use, "schedule": ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"], **more}


def callbacks(jobs: Jobs, job: str | None = None) -> list[Object]:
    """All of the namespace, or those that tell of one job."""
    found = jobs.http.get(f"{GROUP}/{jobs.namespace}/{CALLBACKS}").json()["items"]
    return [each for each in found if job in (None, each["spec"]["job"]["name"])]


def deliveries(jobs: Jobs, name: str) -> list[tuple[str, str]]:
    """(event, state) of the job's summary."""
    return [(each["event"], each["state"]) for each in jobs.get(name).get("status", {}).get("deliveries", [])]
