"""Errors by the reaction that they want, not by where they came from.

    HoldfastError
    ├── Terminal     tell the user, stop: repeating cannot help
    ├── Waiting      a condition of the world: say so, look again when it changes or after a while
    └── Transient    retry with backoff

Anything else that is raised is a defect: the worker boundary counts it, logs it with its trace and retries.
"""

from __future__ import annotations


class HoldfastError(Exception):
    """Base of all errors that Holdfast raises on purpose.

    Args:
        reason: CamelCase word for a condition, as the Kubernetes API conventions want it.
        message: one sentence for a person: what is wrong, which field or path, and the way out.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Terminal(HoldfastError):
    """Repeating cannot help: the user has to change something."""


class Waiting(HoldfastError):
    """The world is not ready. `retry_after` is in seconds; None means that a change of the world wakes us."""

    def __init__(self, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class Transient(HoldfastError):
    """Likely to work when it is tried again: the work queue backs off."""
