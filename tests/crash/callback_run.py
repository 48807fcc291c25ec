"""A run of jobs with callbacks: whatever instant the controller dies at, the receiver is told everything (6.1-6.3).

The receiver is a real HTTP server in the process of the tests, which no kill touches. It refuses the first try of every
other delivery, so that retries are in the run too.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from tests.crash.cases import Case
from tests.crash.cluster import Object
from tests.crash.controllers import Controller
from tests.crash.scenario import Result, Run

KINDS = ("success", "seven", "retry")
EVENTS = {
    "success": [("Started", 1), ("Succeeded", 1)],
    "seven": [("Started", 1), ("Failed", 1)],
    "retry": [("Started", 1), ("Retrying", 1), ("Started", 2), ("Succeeded", 2)],
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """What arrived.

    Args:
        taken: (job, webhook-id) of each request that was answered with 2xx, in their order.
        tried: how often each id was sent.
    """

    taken: list[tuple[str, str]] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        event = Webhook(SECRET).verify(body, headers)
        id_ = headers["webhook-id"]
        self.tried[id_] = self.tried.get(id_, 0) + 1
        if self.tried[id_] == 1 and len(self.tried) % 2 == 0:
            return 503
        self.taken.append((event["data"]["job"]["name"], id_))
        return 204


class CallbackRun(Run):
    """See the module."""

    _server: ThreadingHTTPServer
    _receiver: Receiver

    def _case(self, kind: str, name: str, ledgers: Path) -> Case:
        made = super()._case(kind, name, ledgers)
        if not hasattr(self, "_server"):
            self._listen()
        url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        use = {"name": "hook", "url": url, "secretRef": {"name": "hook", "key": "key"}, "schedule": ["200ms"] * 30}
        return replace(made, spec={**made.spec, "callbacks": [{**use, "events": sorted({e for e, _ in EVENTS[kind]})}]})

    def _listen(self) -> None:
        receiver = self._receiver = Receiver()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                code = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(code)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing: what arrived is judged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def play(self) -> Result:
        try:
            return super().play()
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _settings(self) -> dict[str, str]:
        return {"HOLDFAST_CALLBACK_ALLOW_CIDRS": "127.0.0.0/8", "HOLDFAST_CALLBACK_PORTS": "1-65535"}

    def _declare(self) -> None:
        super()._declare()
        self._world.cluster.secret(self._name, "hook", key=SECRET)

    def _quiet(self) -> bool:
        jobs = self._world.cluster.jobs(self._name)
        return super()._quiet() and not any(self._undelivered(job) for job in jobs.values())

    def _conclude(self, controller: Controller, status: int | None, finished: bool) -> None:
        super()._conclude(controller, status, finished)
        jobs = self._world.cluster.jobs(self._name)
        for case in self.facts.cases:
            found = self._wrong(case, jobs.get(case.name, {}))
            self.facts.violations += [f"{case.name}: {text}" for text in found]
        known = {each["id"] for job in jobs.values() for each in _deliveries(job)}
        self.facts.violations += [f"{id_}: nobody recorded it" for _, id_ in self._receiver.taken if id_ not in known]
        again = len(self._receiver.taken) - len({id_ for _, id_ in self._receiver.taken})
        if again:
            print(f"callbacks: {again} of {len(self._receiver.taken)} arrived again", file=sys.stderr, flush=True)

    def _undelivered(self, job: Object) -> list[str]:
        return [each["event"] for each in _deliveries(job) if each["state"] != "Delivered"]

    def _wrong(self, case: Case, job: Object) -> Iterator[str]:
        """6.1: what happened is recorded, all of it arrived, in its order, with the id that was recorded."""
        told = [(each["event"], each["attempt"]) for each in _deliveries(job)]
        if told != EVENTS[case.kind]:
            yield f"deliveries {told}, expected {EVENTS[case.kind]}"
        if left := self._undelivered(job):
            yield f"not delivered: {left}"
        first: dict[str, None] = dict.fromkeys(id_ for name, id_ in self._receiver.taken if name == case.name)
        if [*first] != [each["id"] for each in _deliveries(job)]:
            yield f"arrived as {[*first]}, recorded are {json.dumps(_deliveries(job))}"


def _deliveries(job: Object) -> list[Object]:
    return list(job.get("status", {}).get("deliveries", ()))
