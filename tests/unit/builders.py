"""Builders of the unit tests: `job("a").queue("q").running(2).build()` is one BatchJob, with defaults for the rest.

Each step returns a new builder; nothing here decides anything. Moments are seconds after START.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, Phase
from controller.api.jobqueue import JobQueue
from controller.api.keys import Key
from controller.decisions.inputs import Host, Observed
from controller.decisions.observed import Evidence, ExitRecord, Observation

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOST = Host(state_id="state-1", name="box")
_LABELS = {"queue_name": "kueue.x-k8s.io/queue-name"}
OVER_PHASES = {
    AttemptState.SUCCEEDED: Phase.SUCCEEDED,
    AttemptState.CANCELED: Phase.CANCELED,
    AttemptState.SUSPENDED: Phase.SUSPENDED,
}


def at(seconds: float) -> datetime:
    """A moment, in seconds after START."""
    return START + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class JobBuilder:
    """See the module."""

    meta: dict[str, Any]
    spec: dict[str, Any] = field(default_factory=lambda: {"command": ["true"]})
    status: dict[str, Any] = field(default_factory=dict)

    def _spec(self, **changes: Any) -> JobBuilder:
        return replace(self, spec=self.spec | changes)

    def _status(self, **changes: Any) -> JobBuilder:
        return replace(self, status=self.status | changes)

    def uid(self, uid: str) -> JobBuilder:
        return replace(self, meta=self.meta | {"uid": uid})

    def namespace(self, name: str) -> JobBuilder:
        return replace(self, meta=self.meta | {"namespace": name})

    def version(self, version: int) -> JobBuilder:
        return replace(self, meta=self.meta | {"resourceVersion": str(version)})

    def deleting(self) -> JobBuilder:
        return replace(self, meta=self.meta | {"deletionTimestamp": START})

    def queue(self, name: str) -> JobBuilder:
        return self._spec(queue=name)

    def priority(self, priority: int) -> JobBuilder:
        return self._spec(priority=priority)

    def cancel(self) -> JobBuilder:
        return self._spec(cancel=True)

    def suspend(self) -> JobBuilder:
        return self._spec(suspend=True)

    def retry(self, limit: int, **more: str) -> JobBuilder:
        return self._spec(retry={"limit": limit, **more})

    def on_lost(self, policy: str, limit: int = 3) -> JobBuilder:
        return self._spec(onLost=policy, lossLimit=limit)

    def active_deadline(self, duration: str) -> JobBuilder:
        return self._spec(activeDeadline=duration)

    def ttl(self, duration: str) -> JobBuilder:
        return self._spec(ttlAfterFinished=duration)

    def decision(self, attempt: int, action: str) -> JobBuilder:
        return self._spec(decision={"attempt": attempt, "action": action})

    def with_spec(self, **changes: Any) -> JobBuilder:
        """Any other field of the spec, by its name on the wire."""
        return self._spec(**changes)

    def sequence(self, number: int) -> JobBuilder:
        return self._status(sequence=number)

    def condition(self, kind: str, status: str, reason: str = "Test", message: str = "") -> JobBuilder:
        new = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": START}
        kept = [c for c in self.status.get("conditions", []) if c["type"] != kind]
        return self._status(conditions=[*kept, new])

    def queued(self, reason: str = "") -> JobBuilder:
        return self._status(phase="Queued", reason=reason).condition("Admitted", "False", reason or "Waiting")

    def backing_off(self, until: float) -> JobBuilder:
        return self.over(AttemptState.FAILED, 1).queued("BackingOff")._status(retryAt=at(until), failures=1)

    def starting(self, number: int = 1) -> JobBuilder:
        return self._attempt(number, AttemptState.STARTING, Phase.STARTING).condition("Admitted", "True")

    def running(self, number: int = 1) -> JobBuilder:
        job = self._attempt(number, AttemptState.RUNNING, Phase.RUNNING, startedAt=START)
        return job.condition("Admitted", "True").condition("Running", "True", "Started")

    def stopping(self, reason: str, number: int = 1) -> JobBuilder:
        job = self.running(number)._attempt(
            number, AttemptState.STOPPING, Phase.STOPPING, startedAt=START, stopReason=reason
        )
        return job._status(reason=reason)

    def over(self, state: AttemptState, number: int = 1) -> JobBuilder:
        """An attempt that is over in `state`; the job is queued again, or suspended."""
        phase = Phase.SUSPENDED if state is AttemptState.SUSPENDED else Phase.QUEUED
        return self._attempt(number, state, phase, startedAt=START, finishedAt=at(5))

    def needs_decision(self, number: int = 1) -> JobBuilder:
        job = self._attempt(number, AttemptState.LOST, Phase.WAITING, reason="Lost")
        return job.condition("NeedsDecision", "True", "Lost")._status(losses=1)

    def finished(self, phase: Phase = Phase.SUCCEEDED, seconds: float = 5) -> JobBuilder:
        kind = "Complete" if phase is Phase.SUCCEEDED else "Failed"
        job = self.condition(kind, "True").condition("Finished", "True", phase.value)
        return job._status(phase=phase, finishedAt=at(seconds))

    def with_status(self, **changes: Any) -> JobBuilder:
        """Any other field of the status, by its name on the wire."""
        return self._status(**changes)

    def on_state(self, state_id: str) -> JobBuilder:
        """The attempt was started under another state directory."""
        return self._status(attempt=self.status["attempt"] | {"stateId": state_id})

    def labeled(self, **labels: str) -> JobBuilder:
        """Labels of the BatchJob; `queue_name` is kueue.x-k8s.io/queue-name."""
        return replace(self, meta=self.meta | {"labels": {_LABELS.get(n, n): value for n, value in labels.items()}})

    def in_outside_queue(self, name: str = "team") -> JobBuilder:
        """The attempt was started as one that an outside queue limits."""
        return self._status(attempt=self.status["attempt"] | {"executor": "Pod", "outsideQueue": name})

    def _attempt(self, number: int, state: AttemptState, phase: Phase, **more: Any) -> JobBuilder:
        attempt = {"id": f"{self.meta['uid']}.{number}", "number": number, "state": state, "stateId": HOST.state_id}
        return self._status(phase=phase, attempt=attempt | more)

    def raw(self) -> dict[str, Any]:
        """As the API server sends it."""
        built = self.build()
        return {"metadata": built.metadata.to_json(), "spec": built.spec.to_json(), "status": built.status.to_json()}

    def build(self) -> BatchJob:
        return BatchJob.model_validate({"metadata": self.meta, "spec": self.spec, "status": self.status})


def job(name: str = "a") -> JobBuilder:
    """A BatchJob of the namespace `default` that was created at START, runs `true`, and has no status."""
    meta = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "resourceVersion": "10",
        "generation": 1,
        "creationTimestamp": START,
    }
    return JobBuilder(meta)


def outside(name: str = "a") -> JobBuilder:
    """A BatchJob that runs as a Pod and names the outside queue `team`."""
    return job(name).with_spec(executor="Pod", pod={"image": "busybox"}).labeled(queue_name="team")


def key(name: str) -> Key:
    """The key of a BatchJob of the namespace `default`."""
    return Key("BatchJob", "default", name)


def queue(name: str, concurrency: int | None = None, *, paused: bool = False, version: int = 1) -> JobQueue:
    """A JobQueue of the namespace `default`."""
    meta = {"name": name, "namespace": "default", "uid": f"uid-queue-{name}", "resourceVersion": str(version)}
    return JobQueue.model_validate({"metadata": meta, "spec": {"concurrency": concurrency, "paused": paused}})


def ended(code: int | None = 0, *, reason: str = "", signal: int | None = None, left: int = 0) -> Observation:
    """exit.json tells how the command ended."""
    record = ExitRecord(code, signal, reason, "", at(5))
    return Observation(Evidence.ENDED, exit=record, started_at=START, output_bytes=3, processes_left=left)


def never_started(reason: str = "", message: str = "voided") -> Observation:
    """exit.json tells that the command never ran and never will."""
    return Observation(Evidence.NEVER_STARTED, exit=ExitRecord(None, None, reason, message, at(5)))


def alive(*, supervised: bool = True, stop_requested: bool = False) -> Observation:
    """The command runs."""
    return Observation(Evidence.ALIVE, started_at=START, supervised=supervised, stop_requested=stop_requested)


def launching(*, supervised: bool = True) -> Observation:
    """Built, not begun."""
    return Observation(Evidence.LAUNCHING, supervised=supervised)


NOW = at(10)  # when decisions are made, where the moment does not matter
GONE = Observation(Evidence.GONE, started_at=START)
ABSENT = Observation(Evidence.ABSENT)
UNKNOWN = Observation(Evidence.UNKNOWN, message="attempt.json: is not JSON")


def seen(attempt: Observation | None = None, **more: Any) -> Observed:
    """What one look found; the run directory of attempt 1 exists where an attempt was observed in one."""
    exists = attempt is not None and attempt.evidence is not Evidence.ABSENT
    return Observed(attempt=attempt, **({"known": (1,) if exists else (), "sequence": 10} | more))
