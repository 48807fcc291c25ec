"""Jobs of one namespace as a user makes and reads them, over the API server's plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from tests.integration.controller.waits import PATIENCE, soon

GROUP = "/apis/holdfast.dev/v1alpha1/namespaces"
MERGE = {"Content-Type": "application/merge-patch+json"}
Object = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Jobs:
    """See the module."""

    http: httpx.Client
    namespace: str

    def create(self, name: str, *command: str, **spec: Any) -> Object:
        """A BatchJob that runs `command` (default: true)."""
        body = {"command": list(command or ("true",)), **spec}
        return self.make("batchjobs", "BatchJob", name, spec=body)

    def shell(self, name: str, script: str, **spec: Any) -> Object:
        """A BatchJob that runs a shell script."""
        return self.create(name, "/bin/sh", "-c", script, **spec)

    def queue(self, name: str, **spec: Any) -> Object:
        return self.make("jobqueues", "JobQueue", name, spec=spec)

    def make(self, plural: str, kind: str, name: str, **parts: Any) -> Object:
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, **parts}
        return _done(self.http.post(f"{GROUP}/{self.namespace}/{plural}", json=body))

    def config_map(self, name: str, **data: str) -> Object:
        return self._core("configmaps", {"metadata": {"name": name}, "data": data})

    def secret(self, name: str, **data: str) -> Object:
        return self._core("secrets", {"metadata": {"name": name}, "stringData": data})

    def _core(self, plural: str, body: Object) -> Object:
        return _done(self.http.post(f"/api/v1/namespaces/{self.namespace}/{plural}", json=body))

    def get(self, name: str, plural: str = "batchjobs") -> Object:
        return _done(self.http.get(f"{GROUP}/{self.namespace}/{plural}/{name}"))

    def all(self) -> list[Object]:
        return list(_done(self.http.get(f"{GROUP}/{self.namespace}/batchjobs"))["items"])

    def exists(self, name: str) -> bool:
        return self.http.get(f"{GROUP}/{self.namespace}/batchjobs/{name}").status_code != 404

    def patch(self, name: str, spec: Object, plural: str = "batchjobs") -> Object:
        url = f"{GROUP}/{self.namespace}/{plural}/{name}"
        return _done(self.http.patch(url, content=json.dumps({"spec": spec}), headers=MERGE))

    def wipe(self, name: str) -> Object:
        """Delete the status, as a person would."""
        url = f"{GROUP}/{self.namespace}/batchjobs/{name}/status"
        return _done(self.http.patch(url, content=json.dumps({"status": None}), headers=MERGE))

    def delete(self, name: str) -> None:
        _done(self.http.delete(f"{GROUP}/{self.namespace}/batchjobs/{name}"))

    def events(self, name: str) -> list[Object]:
        """The Events about a job, oldest first."""
        events = _done(self.http.get(f"/api/v1/namespaces/{self.namespace}/events"))["items"]
        about = [event for event in events if event["involvedObject"]["name"] == name]
        return sorted(about, key=lambda event: int(event["metadata"]["resourceVersion"]))

    # --- waits

    def wait(self, name: str, condition: str, status: str = "True", timeout: float = PATIENCE) -> Object:
        """Wait for a condition of the job; returns the job."""

        def look() -> Object | None:
            job = self.get(name)
            now = condition_of(job, condition)
            assert now is not None and now["status"] == status, job.get("status")
            return job

        return found(soon(look, f"{name}: {condition} is {status}", timeout))

    def finished(self, name: str, phase: str | None = None, timeout: float = PATIENCE) -> Object:
        """Wait for the end of a job; with `phase` it must be that one."""
        job = self.wait(name, "Finished", timeout=timeout)
        assert phase in (None, job["status"]["phase"]), job["status"]
        return job

    def all_finished(self, names: Iterable[str], timeout: float = 2 * PATIENCE) -> dict[str, Object]:
        """Wait for the end of many jobs with one LIST a look."""
        wanted = set(names)

        def look() -> dict[str, Object] | None:
            there = {job["metadata"]["name"]: job for job in self.all()}
            missing = [n for n in wanted if n not in there or condition_of(there[n], "Finished") is None]
            status = there.get(missing[0], {}).get("status") if missing else None
            assert not missing, f"{len(missing)} not finished, for example {missing[0]}: {status}"
            return there

        return found(soon(look, "all jobs have ended", timeout))

    def phase(self, name: str, phase: str, timeout: float = PATIENCE, reason: str | None = None) -> Object:
        """Wait for a phase, and a reason where one is given; returns the job."""

        def look() -> Object | None:
            job = self.get(name)
            status = job.get("status") or {}
            assert status.get("phase") == phase and reason in (None, status.get("reason")), status
            return job

        return found(soon(look, f"{name} is {phase}", timeout))

    def running(self, name: str, timeout: float = PATIENCE) -> Object:
        """Wait until the job is recorded as running; returns it."""
        return self.phase(name, "Running", timeout)


def condition_of(obj: Object, kind: str) -> Object | None:
    """The condition of this type."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), None)


def uid_of(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def found(value: T | None) -> T:
    """What a wait returned: it is there."""
    assert value is not None
    return value


def _done(response: httpx.Response) -> Object:
    assert response.is_success, response.text
    return dict(response.json())
