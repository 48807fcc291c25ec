"""What is read of a Job and its Pod, parsed once; everything else of them is not looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.decisions.observed import Publication
from controller.executors.pod import names
from controller.executors.pod.publishing import NAME as PUBLISH
from controller.executors.pod.setup import NAME as SETUP

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A condition that is True, or the state of a container that waits."""

    reason: str = ""
    message: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What we wrote into an annotation of the Job: why it is stopped or never starts, or how it ended."""

    reason: str = ""
    message: str = ""
    at: datetime | None = None
    started_at: datetime | None = None
    code: int | None = None
    never_started: bool = False
    publication: Publication | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """A batch/v1 Job.

    Args:
        owners: uids of its ownerReferences.
        deleting: it was deleted and waits for its Pods.
        suspended: spec.suspend.
        complete, failed: its terminal conditions; FailureTarget is not one.
        stopped, voided, ended: our annotations.
        publishes: its Pod publishes what the command pushed once it has succeeded.
    """

    namespace: str
    name: str
    uid: str
    attempt: str
    owners: tuple[str, ...]
    created: datetime | None
    deleting: bool
    suspended: bool
    started_at: datetime | None
    complete: Told | None
    failed: Told | None
    stopped: Note | None
    voided: Note | None
    ended: Note | None
    carried: Mapping[str, str] | None
    output_bytes: int | None
    publishes: bool = False

    @property
    def finished(self) -> bool:
        """Whether it has a terminal condition."""
        return self.complete is not None or self.failed is not None


@dataclass(frozen=True, slots=True)
class Terminated:
    """How a container ended."""

    code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class PodView:
    """A Pod.

    Args:
        gone_by: when it is to be gone after it was deleted: deletionTimestamp, which includes its grace period.
        reason, message: of status: Evicted, DeadlineExceeded.
        conditions: those that are True, and PodScheduled with what keeps it from being scheduled.
        running_since: of the command's container.
        setup: how the init container ended that makes the workspace, where it failed.
        publishes: what the command pushed is published once it has succeeded.
        publish_waits, publish_ended: of the container that does it.
        fenced: it must not be, as far as that container was not begun before.
    """

    namespace: str
    name: str
    uid: str
    phase: str
    node: str
    gone_by: datetime | None
    reason: str
    message: str
    unschedulable: Told | None
    disrupted: Told | None
    waiting: Told | None
    running_since: datetime | None
    terminated: Terminated | None
    setup: Terminated | None = None
    publishes: bool = False
    publish_waits: Told | None = None
    publish_ended: Terminated | None = None
    fenced: bool = False

    @property
    def over(self) -> bool:
        """Whether its phase is terminal: the kubelet has no process of it any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def began(self) -> bool:
        """Whether the command was let go, as far as can be seen."""
        ended = self.terminated
        return self.running_since is not None or (ended is not None and ended.reason not in NOT_BEGUN)


UNKNOWN = "ContainerStatusUnknown"
NOT_BEGUN = frozenset({"StartError", "ContainerCannotRun", UNKNOWN})


def job_view(raw: Object) -> JobView:
    """Parse a Job."""
    meta, status, notes = raw["metadata"], raw.get("status") or {}, raw["metadata"].get("annotations") or {}
    conditions = _true(status)
    return JobView(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        attempt=(meta.get("labels") or {}).get(names.ATTEMPT_LABEL, ""),
        owners=tuple(owner["uid"] for owner in meta.get("ownerReferences") or ()),
        created=_time(meta.get("creationTimestamp")),
        deleting="deletionTimestamp" in meta,
        suspended=bool(raw["spec"].get("suspend")),
        started_at=_time(status.get("startTime")),
        complete=conditions.get("Complete"),
        failed=conditions.get("Failed"),
        stopped=_note(notes.get(names.STOPPED)),
        voided=_note(notes.get(names.VOIDED)),
        ended=_note(notes.get(names.ENDED)),
        carried=_texts(notes.get(names.CARRIED)),
        output_bytes=_number(notes.get(names.OUTPUT_BYTES)),
        publishes=_publishes(raw["spec"]["template"]["spec"]),
    )


def pod_view(raw: Object) -> PodView:
    """Parse a Pod."""
    meta, status = raw["metadata"], raw.get("status") or {}
    true = _true(status)
    scheduled: Object = next((c for c in status.get("conditions") or () if c["type"] == "PodScheduled"), {})
    state, publish = _state(status, names.CONTAINER), _state(status, PUBLISH)
    return PodView(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        phase=status.get("phase") or "Pending",
        node=raw["spec"].get("nodeName") or "",
        gone_by=_time(meta.get("deletionTimestamp")),
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        unschedulable=_told(scheduled) if scheduled.get("status") == "False" else None,
        disrupted=true.get("DisruptionTarget"),
        waiting=_waits(_blocked(status) or state.get("waiting")),
        running_since=_time((state.get("running") or {}).get("startedAt")),
        terminated=_terminated(state.get("terminated")),
        setup=_failed_setup(status),
        publishes=_publishes(raw["spec"]),
        publish_waits=_waits(publish.get("waiting")),
        publish_ended=_terminated(publish.get("terminated")),
        fenced=names.FENCED in (meta.get("annotations") or {}),
    )


def _publishes(spec: Object) -> bool:
    return any(c.get("name") == PUBLISH for c in spec.get("containers") or ())


def _state(status: Object, name: str) -> Object:
    """Of a container, whichever of the two kinds it is."""
    found = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    state: Object = next((c.get("state") or {} for c in found if c.get("name") == name), {})
    return state


def _waits(state: Object | None) -> Told | None:
    return Told(state.get("reason") or "", state.get("message") or "") if state else None


def _failed_setup(status: Object) -> Terminated | None:
    ended = _terminated(_state(status, SETUP).get("terminated"))
    return ended if ended is not None and (ended.code != 0 or ended.reason in NOT_BEGUN) else None


def _blocked(status: Object) -> Object | None:
    """What an init container waits for, which the command's waits for too."""
    states = (c.get("state", {}).get("waiting") for c in status.get("initContainerStatuses") or ())
    return next((state for state in states if state and state.get("reason") != "PodInitializing"), None)


def _terminated(state: Object | None) -> Terminated | None:
    if state is None:
        return None
    return Terminated(
        code=int(state.get("exitCode", 0)),
        reason=state.get("reason") or "",
        message=state.get("message") or "",
        started_at=_time(state.get("startedAt")),
        finished_at=_time(state.get("finishedAt")),
    )


def _true(status: Object) -> dict[str, Told]:
    return {c["type"]: _told(c) for c in status.get("conditions") or () if c["status"] == "True"}


def _told(condition: Object) -> Told:
    return Told(
        condition.get("reason") or "", condition.get("message") or "", _time(condition.get("lastTransitionTime"))
    )


def _time(text: Any) -> datetime | None:
    """An RFC 3339 time; the zero time of Go counts as none."""
    if not isinstance(text, str) or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text)


def _object(text: Any) -> Object | None:
    """An annotation of ours; somebody may have changed it to whatever: then it says nothing."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _texts(text: Any) -> Mapping[str, str] | None:
    found = _object(text)
    return None if found is None else {str(name): str(value) for name, value in found.items()}


def _number(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None


def _note(text: Any) -> Note | None:
    if text is None:
        return None
    found = _object(text) or {}
    code = found.get("code")
    return Note(
        reason=str(found.get("reason") or ""),
        message=str(found.get("message") or ""),
        at=_moment(found.get("at")),
        started_at=_moment(found.get("startedAt")),
        code=code if isinstance(code, int) and 0 <= code <= 255 else None,
        never_started=found.get("neverStarted") is True,
        publication=_publication(found.get("publication")),
    )


def _publication(found: Any) -> Publication | None:
    if not isinstance(found, dict):
        return None
    return Publication(*(str(found.get(name) or "") for name in ("reason", "message", "commit")))


def _moment(text: Any) -> datetime | None:
    try:
        return _time(text)
    except ValueError:
        return None
