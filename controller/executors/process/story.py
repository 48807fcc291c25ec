"""The supervisor's voice: journal.jsonl. A journal that cannot be written (full disk) delays the story, nothing else.

Standard library only.
"""

from __future__ import annotations

import os
import time
from typing import Any

from controller.executors.process.rundir import RunDir
from controller.files import journal


class Story:
    """Appends entries; those that could not be written are kept in order and tried again with the next one."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._pending: list[dict[str, Any]] = []

    def tell(self, event: str, **facts: Any) -> None:
        """Add an entry. `event` is a CamelCase word, `facts` are its JSON values."""
        self._pending.append({"time": time.time(), "event": event, "supervisor": os.getpid(), **facts})
        self.flush()

    def flush(self) -> None:
        """Write what is pending; stays pending where that fails, and says so once it works."""
        while self._pending:
            entry = self._pending[0]
            try:
                journal.append(self._run.journal, entry)
            except OSError as error:
                entry["delayedBy"] = error.strerror
                return
            del self._pending[0]
