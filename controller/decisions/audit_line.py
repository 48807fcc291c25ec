"""One line of the audit journal (requirement 9.3): what was decided or done, about which object, and why.

Never carries values of Secrets: it is made from statuses, names and reasons, which carry none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

MAX_MESSAGE = 256  # characters; the whole one stands in the object's status or Event


class Category(StrEnum):
    """What a line is about, for `holdfast audit --category`."""

    JOB = "job"
    QUEUE = "queue"
    REPOSITORY = "repository"
    LOCK = "lock"
    BATCH = "batch"
    CALLBACK = "callback"
    RECOVERY = "recovery"
    ORPHAN = "orphan"
    DECISION = "decision"
    SNAPSHOT = "snapshot"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Line:
    """See the module.

    Args:
        event: what happened, in CamelCase: a status changed (Recorded), or the action that was done.
        kind: of the object; "Attempt" for a run directory, "Controller" for the controller itself.
        job: name of the BatchJob that it concerns, where the object is another one.
        attempt: number of the attempt, operation or try; None where it is about none.
        old, new: what changed, from and to.
        token: fencing token of the lock.
        urgent: written at once: starts and ends of attempts, grants and releases of locks.
    """

    category: Category
    event: str
    kind: str
    namespace: str
    name: str
    uid: str = ""
    job: str = ""
    attempt: int | None = None
    old: str = ""
    new: str = ""
    reason: str = ""
    message: str = ""
    token: int | None = None
    urgent: bool = False

    def to_json(self, now: datetime) -> dict[str, Any]:
        """As it is written: `time` first, in UTC with milliseconds (RFC 3339); what is empty is left out.

        Args:
            now: timezone-aware.
        """
        time = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        values = {
            "time": time,
            "category": self.category.value,
            "event": self.event,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "job": self.job,
            "attempt": self.attempt,
            "from": self.old,
            "to": self.new,
            "reason": self.reason,
            "message": self.message[:MAX_MESSAGE],
            "token": self.token,
        }
        return {key: value for key, value in values.items() if value not in ("", None)}
