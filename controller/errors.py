"""Errors by the reaction that they want, not by where they came from.

    HoldfastError
    ├── Terminal     tell the user, stop: repeating cannot help
    ├── Waiting      a condition of the world: say so, look again when it changes or after a while
    └── Transient    retry with backoff

Anything else that is raised is a defect: the worker boundary counts it, logs it with its trace and retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SEVERAL_NAMED = 5  # of the errors beside the first


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


Failure = HoldfastError | OSError  # of the world, as against a defect


class Several:
    """Errors of like things done one after the other, where one that fails must not keep the others from being done.

    for each in things:
        with several.kept():
            remove(each)
    several.raise_all()
    """

    def __init__(self) -> None:
        self._errors: list[Failure] = []

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error of the world for later; a defect is raised."""
        try:
            yield
        except (HoldfastError, OSError) as error:
            self._errors.append(error)

    @property
    def error(self) -> Failure | None:
        """One for all: the only one, or one of the first's sort that names the others too; None: all went well."""
        if len(self._errors) < 2:
            return self._errors[0] if self._errors else None
        first, *others = self._errors
        told = [_text(error) for error in others[:SEVERAL_NAMED]]
        told += [f"and {len(others) - len(told)} more"] if len(others) > len(told) else []
        if isinstance(first, OSError):
            return OSError(first.errno, "; ".join([first.strerror or str(first), *told]), first.filename)
        return Transient(first.reason, "; ".join([first.message, *told]))

    def raise_all(self) -> None:
        """Raise that one, where there is one."""
        if (error := self.error) is not None:
            raise error


def _text(error: Failure) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return error.message if isinstance(error, HoldfastError) else str(error)
