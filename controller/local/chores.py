"""What `up` does again and again, each by itself: one that fails keeps no other from being done, nor itself from the
next time (requirement 8.3: a full disk ends nothing that could free it).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controller.errors import HoldfastError

_log = logging.getLogger(__name__)


def describe(error: Exception) -> str:
    """One line for a person."""
    if isinstance(error, OSError | HoldfastError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def log_defect(error: Exception) -> None:
    """Log the trace of what nobody expected; a full disk or a missing file needs none."""
    if not isinstance(error, OSError | HoldfastError):
        _log.error("a defect", exc_info=error)


class Chores:
    """Remembers what failed, so that it is said once and not every time.

    Args:
        say: told what failed, one message for a person.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._failed: dict[str, str] = {}

    @contextmanager
    def by_itself(self, what: str) -> Iterator[None]:
        """Do the body; what it raises is said, where it was not the same the last time, and goes no further."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  the worker boundary: a defect of one chore must not end the others
            text = f"{what} failed and will be tried again: {describe(error)}"
            if self._failed.get(what) != text:
                self._failed[what] = text
                log_defect(error)
                self._say(text)
        else:
            self._failed.pop(what, None)
