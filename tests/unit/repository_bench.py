"""The book of the repositories on the real store, scheduler and work queue, told of objects as the watch tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from controller.kube.store import Store
from controller.reconcile.index import AttemptIndex
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.telemetry.metrics import Metrics
from tests.unit.builders import START, at
from tests.unit.world import VirtualLoop

METRICS = Metrics("test")
SHOP = ("default", "shop")
COMMIT = "c" * 40
Object = dict[str, Any]


class Bench:
    """A scheduler with a book, told of objects as the watch tells of them; time moves only by `wait`."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.commit = COMMIT  # of every ref in the mirror
        self.store = Store(METRICS, clock=self.loop.time)
        self.queue = WorkQueue(clock=self.loop.time)
        index = AttemptIndex()
        index.load([])
        self.scheduler = Scheduler(self.queue, index, 8)
        self.book = RepositoryBook(self.queue, self.scheduler, self.store, lambda *_: self.commit)
        self.store.listen(self.book.observe)
        self.store.listen(self.scheduler.observe)
        self.scheduler.also_ask(self.book)
        self.version = 100
        self.deleted: list[str] = []  # what is made again under their name has another uid
        self.task = self.loop.create_task(self.scheduler.run())
        self.call(lambda: self.scheduler.gate.wait_for(set()))

    def call(self, what: Callable[[], object]) -> None:
        """Do `what` in the loop; cycles that it makes due run after it."""

        async def body() -> None:
            what()
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(body())
        self.loop.seconds += 0.05

    def tell(self, kind: str, name: str, spec: Object, status: Object | None = None, created: float = 0) -> None:
        """An object was added or changed."""
        self.call(lambda: self.store.update(kind, self._raw(name, spec, status or {}, created)))
        self.call(lambda: None)

    def delete(self, kind: str, name: str, spec: Object) -> None:
        """An object is gone."""
        self.call(lambda: self.store.delete(kind, self._raw(name, spec, {}, 0)))
        self.call(lambda: None)
        self.deleted.append(name)

    def _raw(self, name: str, spec: Object, status: Object, created: float) -> Object:
        self.version += 1
        managers = [{"manager": "kubectl", "time": START.isoformat()}]
        uid = f"uid-{name}" + "-again" * self.deleted.count(f"{name}")
        meta = {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(self.version)}
        more = {"generation": 1, "managedFields": managers, "creationTimestamp": at(created).isoformat()}
        return {"metadata": meta | more, "spec": spec, "status": status}

    def repository(
        self, lock: Object | None = None, *, ready: bool = True, refreshed: float | None = None, **spec: Any
    ) -> None:
        """The Repository `shop`; nobody holds it unless said otherwise; `refreshed`: seconds after START."""
        condition = {"type": "Ready", "status": "True" if ready else "False", "reason": "R", "message": "m"}
        status = {"conditions": [condition | {"lastTransitionTime": START.isoformat()}], "lock": lock or {"token": 0}}
        if refreshed is not None:
            status["refreshedAt"] = at(refreshed).isoformat()
        self.tell("Repository", "shop", {"url": "https://example.org/shop.git"} | spec, status)

    def job(self, name: str, mode: str = "Exclusive", created: float = 0, **use: Any) -> None:
        """A job that waits."""
        spec = {"command": ["true"], "repository": {"name": "shop", "lock": mode} | use}
        self.tell("BatchJob", name, spec, created=created)

    def claim_of(self, job: str, mode: str = "Exclusive") -> None:
        """The claim of a job's first attempt."""
        self.tell("RepositoryLock", f"claim-{job}", job_claim_spec(job, mode))

    def person(self, name: str, sequence: int | None, mode: str = "Exclusive") -> None:
        """A person's claim, whose place is known where a sequence is given."""
        status = {} if sequence is None else {"phase": "Waiting", "sequence": sequence}
        self.tell("RepositoryLock", name, person_spec(mode), status)

    def pending(self) -> list[str]:
        """Names of the claims that are to be recorded as holders, once all cycles that are due have run."""
        for _ in range(3):
            self.call(lambda: None)
        return [claim.name for claim in self.book.pending(SHOP)]

    def woken(self, kind: str) -> set[str]:
        """Names of all objects of a kind that are to be reconciled."""
        names = set()
        while self.queue.depth().ready:
            key = self.loop.run_until_complete(self.queue.get())
            assert key is not None
            self.queue.done(key)
            if key.kind == kind:
                names.add(key.name)
        return names


def person_spec(mode: str = "Exclusive") -> Object:
    return {"repository": "shop", "mode": mode, "holder": {"name": "ann"}}


def job_claim_spec(job: str, mode: str = "Exclusive") -> Object:
    holder = {"kind": "BatchJob", "name": job, "uid": f"uid-{job}", "attempt": f"uid-{job}.1"}
    return {"repository": "shop", "mode": mode, "holder": holder}


def holder(name: str, token: int, attempt: str = "") -> Object:
    return {"claim": name, "uid": f"uid-{name}", "mode": "Exclusive", "token": token, "attempt": attempt}
