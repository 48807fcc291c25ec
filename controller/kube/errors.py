"""What a call to the API server can raise, by the reaction that it wants.

Transient
├── NotFound       404 that names the object (or the namespace that it would be in)
├── NotServed      404 that names nothing: the kind (or the path) is not served, so it proves nothing
├── Conflict       409: somebody else wrote first; read again, queue again
│   └── AlreadyExists
├── StatusRefused  a refusal of a status that we recorded: it may be taken once somebody else has changed something
├── Expired        410: that resourceVersion was compacted away
└── Unreachable    no answer, 5xx, 429, 401; `retry_after` in seconds where the server said it
Waiting
└── Forbidden      403: the rights may come without a change of the object, so it is looked at again
Terminal
└── Invalid        400, 422 and other refusals of what was sent
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from controller.errors import HoldfastError, Terminal, Transient, Waiting

FORBIDDEN_RETRY_SECONDS = 30.0


class NotFound(Transient):
    """The API server said that an object does not exist; `plural` and `name` are those that it named."""

    def __init__(self, reason: str, message: str, plural: str = "", name: str = "") -> None:
        super().__init__(reason, message)
        self.plural = plural
        self.name = name

    def names(self, plural: str, name: str) -> bool:
        """Whether it is exactly this object that does not exist, not for example its namespace."""
        return self.plural == plural and self.name == name


class NotServed(Transient):
    """404 without the name of an object: the kind is not served (yet); no proof that the object is gone."""


class Conflict(Transient):
    """The object was written since it was read."""


class AlreadyExists(Conflict):
    """An object of that name exists."""


class Expired(Transient):
    """The resourceVersion asked for was compacted away."""


class Unreachable(Transient):
    """The API server did not answer, or could not. A write may nevertheless have happened."""

    def __init__(self, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class Forbidden(Waiting):
    """The API server refused for want of rights."""


class Invalid(Terminal):
    """The API server refused what was sent."""


class StatusRefused(Transient):
    """The API server refused a status of ours: what others wrote into it, a policy, or another version of the CRD."""


class OlderEtcd(Terminal):
    """A LIST is older than what was seen of the same kind before: etcd was replaced or restored; a person decides."""


def error_of(what: str, status: int, headers: Mapping[str, str], body: bytes) -> HoldfastError:
    """The error that an HTTP answer stands for.

    Args:
        what: the call, for the message, such as `patch_status BatchJob/default/a`.
        status: HTTP status of 300 or more.
        body: a metav1.Status where the API server itself answered.
    """
    answer = _status_object(body)
    message = f"{what}: {answer.get('message') or f'HTTP {status}'}"
    details = answer.get("details") or {}
    if status == 404:
        if not details.get("name"):
            return NotServed("NotServed", message)
        return NotFound("NotFound", message, str(details.get("kind", "")), str(details["name"]))
    if status == 409:
        exists = answer.get("reason") == "AlreadyExists"
        return AlreadyExists("AlreadyExists", message) if exists else Conflict("Conflict", message)
    if status == 410:
        return Expired("Expired", message)
    if status == 403:
        return Forbidden("Forbidden", message, retry_after=FORBIDDEN_RETRY_SECONDS)
    if status in (401, 408, 429) or status >= 500:
        seconds = headers.get("Retry-After") or details.get("retryAfterSeconds")
        return Unreachable(str(answer.get("reason") or f"HTTP{status}"), message, _seconds(seconds))
    return Invalid(str(answer.get("reason") or f"HTTP{status}"), message)


def _status_object(body: bytes) -> dict[str, Any]:
    """`body` as a metav1.Status; empty where a proxy or a dying server answered something else."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) and parsed.get("kind") == "Status" else {}


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None  # Retry-After may also be a date; then our own backoff decides
