"""The output of an attempt that runs as a Pod, as a file of this command that grows: the same reading as on a host.

Taken from the Pod's log through the API server while there is one, else from where the controller kept it, if that can
be read from here. Only lines that are not known yet are added.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from controller.cli import view
from controller.cli.cluster import Cluster
from controller.errors import HoldfastError
from controller.executors.pod.lines import Lines
from controller.executors.pod.names import ATTEMPT_LABEL, CONTAINER

Object = dict[str, Any]

REFRESH_SECONDS = 0.5  # between two requests for more


def runs_as_pod(job: Object, number: int) -> bool:
    """Whether an attempt of the job is recorded as a Pod."""
    attempts = [*(view.status(job).get("history") or ()), view.attempt(job) or {}]
    return any(one.get("number") == number and one.get("executor") == "Pod" for one in attempts)


class PodOutput:
    """See the module; stands where `runs.Run` does."""

    over = False  # the status says that

    def __init__(self, cluster: Cluster, uid: str, number: int) -> None:
        self._cluster = cluster
        self._attempt = f"{uid}.{number}"
        self._directory = tempfile.TemporaryDirectory(prefix="holdfast-logs-")
        self._last = (0, 0)  # moment of the last line, and how many of that moment
        self._asked = 0.0
        self.lacking = ""  # why what was kept of an attempt that is over cannot be read from here
        self.number, self.uid = number, uid
        self.output = Path(self._directory.name) / "output.log"
        self.output.touch()

    def refresh(self, location: str, *, over: bool = False) -> None:
        """Ask for more, unless that was done a moment ago; an API server that is away is asked again later.

        Args:
            location: where the controller keeps it, as far as the status says.
            over: the command has ended: a line that does not end is the last one.
        """
        if not over and time.monotonic() - self._asked < REFRESH_SECONDS:
            return
        with contextlib.suppress(HoldfastError):
            pod = self._pod()
            if pod is None or not self._from_log(pod, over):
                said = self._from_kept(location)
                self.lacking = said if over else ""
        self._asked = time.monotonic()

    def _pod(self) -> str | None:
        found = self._cluster.list("Pod", labels=f"{ATTEMPT_LABEL}={self._attempt}")
        return next((str(pod["metadata"]["name"]) for pod in found), None)

    def _from_log(self, pod: str, over: bool) -> bool:
        """False where there is no log (any more)."""
        try:
            data = self._cluster.log(pod, CONTAINER)
        except HoldfastError:
            return False
        lines, (last, same), seen = Lines(), self._last, 0
        with self.output.open("ab") as file:
            for entry in [*lines.feed(data), *(lines.rest() if over else ())]:
                seen += entry.at == last
                if entry.at < last or (entry.at == last and seen <= same):
                    continue
                file.write(entry.text)
                known, many = self._last
                self._last = (entry.at, many + 1 if entry.at == known else 1)
        return True

    def _from_kept(self, location: str) -> str:
        """What the controller kept begins with what was read before; returns why it cannot be read, "" where it was."""
        if not location:
            return ""
        try:
            with self.output.open("ab") as file:
                if "://" in location:
                    from controller.files.remote import Remote  # late: only for output that is kept elsewhere

                    Remote(location).read_from(file.tell(), file)
                else:
                    with Path(location.partition(":")[2]).open("rb") as kept:
                        kept.seek(file.tell())
                        shutil.copyfileobj(kept, file)
        except FileNotFoundError:
            return f"{location}: it is not there, or not on this machine"
        except OSError as error:
            return f"{location}: {error.strerror or error}"
        except HoldfastError as error:
            return error.message
        return ""


def location_of(job: Object, number: int) -> str:
    """Where the output of an attempt is kept: the status names that of the newest, the others lie beside it."""
    if "metadata" not in job:
        return ""
    newest = (view.attempt(job) or {}).get("number")
    recorded = str((view.status(job).get("output") or {}).get("location") or "")
    return recorded.replace(f"{view.uid(job)}.{newest}", f"{view.uid(job)}.{number}")
