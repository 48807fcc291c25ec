"""What is created of an archived object: its body, with what marks it (requirement 7.10). Pure.

A job's claims follow from the job, so they are left out; a released claim would claim again. What holds an object back
until its status is there stands in `api/restored.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.api.keys import API_VERSION
from controller.api.restored import RESTORED, RESTORED_ATTEMPT, RESTORING, RESUMABLE, TOKEN_FLOOR
from controller.decisions.observed import Evidence, Observation
from controller.decisions.restore import Source

Object = dict[str, Any]

ENDED = {
    "Snapshot": ("Complete", "Failed"),
    "RecoveryReport": ("Complete", "Degraded", "Aborted"),
}
SETTLED = {"JobBatch": ("Ready", "Failed")}
NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration",)
OURS = ("holdfast.dev/restor", TOKEN_FLOOR)  # marks of an earlier restore


def phase(item: Object) -> str:
    """status.phase, "" before there was one."""
    return str((item.get("status") or {}).get("phase") or "")


def finished(item: Object) -> bool:
    """Whether the condition Finished is True."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Finished" and each.get("status") == "True" for each in conditions)


def left_out(kind: str, item: Object) -> str:
    """Why an object is not restored; "" for one that is."""
    if kind in ENDED and phase(item) not in ENDED[kind]:
        return "was not over when the archive was taken"
    if kind == "RepositoryLock":
        if item["spec"].get("holder", {}).get("attempt"):
            return "follows from its job"
        if phase(item) == "Released":
            return "was released"
    return ""


def is_held(kind: str, item: Object) -> bool:
    """Whether a controller that finds it without its status would do what was done already."""
    if kind == "Callback":
        return phase(item) in ("Delivered", "Failed")
    return kind in ("BatchJob", "Snapshot")


def body(kind: str, item: Object, source: Source, owners: Mapping[str, str], attempt: str | None) -> Object:
    """What is created.

    Args:
        owners: new uid of each old one that is restored.
        attempt: its active attempt, where the run directory of that is on this machine.
    """
    old, spec = item["metadata"], dict(item["spec"])
    annotations = {k: v for k, v in (old.get("annotations") or {}).items() if _copied(k)}
    labels = {k: v for k, v in (old.get("labels") or {}).items() if _copied(k)} | {RESTORED: source.id}
    if is_held(kind, item):
        annotations[RESTORING] = source.id
    if kind == "BatchJob" and not finished(item):
        if not spec.get("suspend"):
            labels[RESUMABLE] = source.id
        spec["suspend"] = True
        if attempt is not None:
            annotations[RESTORED_ATTEMPT] = attempt
    if kind == "Snapshot":
        spec["keep"] = True  # to restore something is no reason to remove a backup
    if kind == "Callback":
        spec["job"] = spec["job"] | {"uid": owners.get(spec["job"]["uid"], spec["job"]["uid"])}
    if kind == "Repository" and (token := largest_token(item)) > 0:
        annotations[TOKEN_FLOOR] = str(token)
    meta = {"name": old["name"], "namespace": old.get("namespace", ""), "labels": labels, "annotations": annotations}
    if references := owned(item, owners):
        meta["ownerReferences"] = references
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


def _copied(name: str) -> bool:
    return name not in NOT_COPIED and not name.startswith(OURS)


def owned(item: Object, owners: Mapping[str, str]) -> list[Object]:
    """ownerReferences with the new uids; one whose owner is not restored would have the object deleted, and goes."""
    references = item["metadata"].get("ownerReferences") or ()
    return [each | {"uid": owners[each["uid"]]} for each in references if each["uid"] in owners]


def largest_token(item: Object) -> int:
    """The largest fencing token that a Repository's record knows."""
    lock = (item.get("status") or {}).get("lock") or {}
    return max((int(lock.get("token") or 0), *(int(each.get("token") or 0) for each in lock.get("holders") or ())))


def active_attempt(item: Object) -> str | None:
    """Name of the recorded attempt that is not over, None without one."""
    attempt = (item.get("status") or {}).get("attempt") or {}
    active = attempt.get("state") in ("Starting", "Running", "Stopping")
    return str(attempt["id"]) if active and attempt.get("id") else None


def plain_status(kind: str, item: Object) -> Object | None:
    """The status as it is restored, for kinds but BatchJob; None where it follows from what is there."""
    status = dict(item.get("status") or {})
    if kind == "Repository":
        # Who holds it, what runs on it, and whether its mirror is there is found out anew.
        status = {name: status[name] for name in ("statistics", "activities", "successPercent") if name in status}
    if kind in SETTLED and phase(item) not in SETTLED[kind]:
        return None
    if "observedGeneration" in status:
        status["observedGeneration"] = 1
    return status or None


def shown(attempt: str, found: Observation) -> str:
    """What the run directory of an attempt shows, which does not end the job."""
    match found.evidence:
        case Evidence.ENDED if found.exit is not None:
            return f"its attempt {attempt} has ended since, exit code {found.exit.code}"
        case Evidence.ALIVE | Evidence.LAUNCHING:
            return f"its attempt {attempt} still runs here: the job does not start again before that is over"
        case _:
            return f"its attempt {attempt}: {found.message or found.evidence}"


def irreplaceable(kind: str, there: Object) -> str:
    """Why the archive's version must not take the place of what is there, "" where it may."""
    if kind in ("JobQueue", "Repository"):
        return ""
    if kind != "BatchJob":
        return f"a {kind} is never replaced"
    if finished(there):
        return "it has finished here: finished jobs stay finished"
    return "it runs here" if active_attempt(there) is not None else ""
