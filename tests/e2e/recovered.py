"""The story whose end `test_recovery_criteria` judges: work of every sort, an outage, and three starts in a row.

before   105 queued jobs, a job that prints, a lock with a waiter, a shared preparation, a callback that cannot be
         delivered, three jobs of twelve processes each
outage   SIGKILL; half a minute; the three jobs are deleted, a state file is overwritten with garbage, and the
         fence of a repository cannot be read
degraded a start with all that
aborted  a start that is killed in the middle of its recovery
whole    the fence is back: the start that is judged
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from controller.executors.process.identity import Identity
from controller.repositories.places import FENCE, Places
from tests.integration.controller.jobs import Jobs, Object, uid_of
from tests.integration.controller.reports import Reports
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import RunningController, processes_of
from tests.integration.controller.waits import soon

QUEUED = 105
OUTAGE_SECONDS = 30.0
ORPHANS = ("orphan-0", "orphan-1", "orphan-2")
PROCESSES = 12  # of each of them
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = {"HOLDFAST_CALLBACK_ALLOW_CIDRS": "127.0.0.0/8", "HOLDFAST_CALLBACK_PORTS": "1-65535"}


class Receiver:
    """Refuses every delivery until it is opened; remembers the ids that it took."""

    def __init__(self) -> None:
        self.open = False
        self.taken: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if receiver.open:
                    receiver.taken.append(self.headers["webhook-id"])
                self.send_response(204 if receiver.open else 503)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Before:
    """What there was before the outage."""

    order: list[str] = field(default_factory=list)
    recorder: Identity | None = None
    output: bytes = b""
    holder: Object = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)  # name -> uid
    delivery: str = ""
    orphans: dict[str, str] = field(default_factory=dict)  # name -> uid
    processes: int = 0


@dataclass
class After:
    """The reports of the three starts, and what was seen of the world during them."""

    degraded: Object = field(default_factory=dict)
    aborted: Object = field(default_factory=dict)
    whole: Object = field(default_factory=dict)
    output: bytes = b""
    while_degraded: Object = field(default_factory=dict)  # a job that was made and ended during the degraded start
    seconds: float = 0.0  # from the start of the process to the end of the recovery, of the whole one


class Story:
    """See the module."""

    def __init__(self, controller: RunningController, jobs: Jobs, directory: Path) -> None:
        self.controller = controller
        self.jobs = jobs
        self.repositories = Repositories(jobs, directory)
        self.receiver = Receiver()
        self.reports = Reports(jobs.http)
        self.before, self.after = Before(), After()
        self._go = directory / "go"

    def tell(self) -> None:
        """From the beginning to the end."""
        self.controller.start()
        self._make_work()
        self._note_what_there_is()
        self._outage()
        self._degraded()
        self._aborted()
        self._whole()

    # --- before

    def _make_work(self) -> None:
        jobs = self.jobs
        jobs.queue("line", concurrency=1, paused=True)
        for number in range(QUEUED):
            jobs.create(f"queued-{number:03d}", queue="line")
        jobs.secret("hook", key=SECRET)
        jobs.shell("prints", f"n=0; until [ -e {self._go} ]; do n=$((n+1)); echo line $n; sleep 0.2; done")
        for name in ORPHANS:
            many = f"for n in $(seq {PROCESSES - 2}); do sleep 3000 & done; sleep 3000 & wait"
            jobs.shell(name, many, gracePeriod="1s")
        self.repositories.ready("shop", prepare={"command": ["true"]})
        self.repositories.job("holds", f"until [ -e {self._go} ]; do sleep 0.1; done")
        jobs.running("holds")
        self.repositories.job("waits", "true")
        hook = {"name": "hook", "url": self.receiver.url, "secretRef": {"name": "hook", "key": "key"}}
        jobs.create("tells", callbacks=[{**hook, "events": ["Succeeded"], "schedule": ["5s"] * 8 + ["20s"] * 24}])
        for name in ("prints", *ORPHANS):
            jobs.running(name)
        jobs.finished("tells", "Succeeded")
        jobs.phase("waits", "Queued")
        jobs.phase(f"queued-{QUEUED - 1:03d}", "Queued")

    def _note_what_there_is(self) -> None:
        jobs, before = self.jobs, self.before
        before.order = soon(self._whole_order, "all of them stand in line")
        before.recorder = self.controller.recorder(uid_of(jobs.get("prints")))
        before.orphans = {name: uid_of(jobs.get(name)) for name in ORPHANS}
        before.processes = soon(self._all_started, "all processes run")
        before.holder = self.repositories.holders()[0]
        before.batches = self.batches()
        before.delivery = jobs.get("tells")["status"]["deliveries"][0]["id"]

    # --- the outage

    def _outage(self) -> None:
        self.controller.kill()
        began = time.monotonic()
        self.before.output = self.controller.output(uid_of(self.jobs.get("prints")))
        for name in ORPHANS:
            self.jobs.delete(name)
        results = self.controller.home / "results"
        results.mkdir(exist_ok=True)
        (results / "garbage.json").write_bytes(b"\xff\x00 no JSON")
        fence = self._fence()
        fence.rename(fence.with_name("kept"))
        fence.mkdir()
        soon(lambda: time.monotonic() - began > OUTAGE_SECONDS, "the outage is over")

    def _degraded(self) -> None:
        known = self.reports.names()
        self.controller.start()
        self.after.output = self.controller.output(uid_of(self.jobs.get("prints")))
        self.jobs.create("meanwhile")
        self.after.while_degraded = self.jobs.finished("meanwhile")
        self.after.degraded = self.reports.after(known, "Degraded")
        soon(lambda: self._processes() == 0, "what has no owner is stopped")
        name = self.after.degraded["metadata"]["name"]
        runs = [self.controller.runs / f"{uid}.1" for uid in self.before.orphans.values()]
        soon(lambda: not any(run.exists() for run in runs), "their run directories are removed")
        soon(lambda: self.controller.metric("holdfast_recovery_running") == 0, "the recovery is over")
        self.after.degraded = soon(lambda: self._told(name), "the report tells of what was stopped")
        self.controller.kill()

    def _aborted(self) -> None:
        known = self.reports.names()
        self.controller.spawn()
        name = self.reports.after(known, "Running")["metadata"]["name"]
        self.controller.kill()
        fence = self._fence()
        fence.rmdir()
        fence.with_name("kept").rename(fence)
        self.after.aborted = {"metadata": {"name": name}}

    def _whole(self) -> None:
        known, began = self.reports.names(), time.monotonic()
        self.controller.start()
        self.after.whole = self.reports.after(known, "Complete")
        self.after.seconds = time.monotonic() - began
        self.after.aborted = self.reports.get(self.after.aborted["metadata"]["name"])

    # --- what there is

    def order(self) -> list[str]:
        """Names of those that wait in line, as GET /queue tells them."""
        _, page = self.controller.page(f"/queue?namespace={self.jobs.namespace}&queue=line")
        return [row["name"] for row in page["items"]]

    def batches(self) -> dict[str, str]:
        """Name and uid of each JobBatch."""
        listed = self.jobs.http.get(f"/apis/holdfast.dev/v1alpha1/namespaces/{self.jobs.namespace}/jobbatches").json()[
            "items"
        ]
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in listed}

    def _whole_order(self) -> list[str]:
        """Each of them is put there by itself: the last one may be there first."""
        found = self.order()
        assert len(found) == QUEUED, len(found)
        return found

    def _told(self, name: str) -> Object:
        """The report with what is written after the last phase: what a stopped process gave back is found then."""
        report = self.reports.get(name)
        told = counts(report)
        assert told.get("reattached") == 2 and told.get("memoryReclaimedBytes", 0) > 0, told
        assert sum(each["count"] for each in told.get("orphans", ()) if each["kind"] == "process") >= len(ORPHANS), told
        return report

    def let_go(self) -> None:
        """Let what runs end."""
        self._go.touch()

    def startup_log(self) -> list[str]:
        return [each["name"] for each in self.controller.page("/startup-log")[1]["items"]]

    def quarantined(self) -> list[str]:
        """Names of everything below quarantine/."""
        return [path.name for path in (self.controller.home / "quarantine").rglob("*")]

    def _all_started(self) -> int:
        """How many there are, with recorders and supervisors where they carry the marker."""
        found = self._processes()
        assert found >= PROCESSES * len(ORPHANS), found
        return found

    def _processes(self) -> int:
        return sum(len(processes_of(uid)) for uid in self.before.orphans.values())

    def _fence(self) -> Path:
        return Places(self.controller.home).repository(self.jobs.namespace, "shop") / FENCE

    def end(self) -> None:
        """Let go of everything."""
        self.let_go()
        self.receiver.close()
        self.controller.stop()
        self.controller.clean()


def counts(report: Object) -> Object:
    """The counts of a report."""
    return dict(json.loads(json.dumps(report["status"]["counts"])))
