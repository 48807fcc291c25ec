"""A real control plane for tests: the product's own Plane, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from controller.executors.process import identity
from controller.local import binaries
from controller.local.down import down
from controller.local.plane import Plane
from controller.settings import Settings
from tests.real_kubectl import run_kubectl

T = TypeVar("T")
PREFIX = "holdfast-tests-"
OWNER = "owner.json"
LIMIT = 120.0


class RunningPlane:
    """A Plane with a short-lived home, usable from sync and async tests.

    Attributes:
        home: its state directory.
        kubeconfig: of a cluster administrator.
        audit_log: one JSON line per API request (level Metadata).
        kubectl: path of the binary.
    """

    def __init__(self, directory: Path, found: binaries.Binaries, say: Callable[[str], None]) -> None:
        self.home = directory / "home"
        self.audit_log = directory / "audit.log"
        self.kubectl = found.kubectl
        self.plane = Plane(self.home, found, audit_log=self.audit_log, fsync=False, ballast_bytes=0, say=say)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plane", daemon=True)

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig

    def start(self) -> None:
        self._thread.start()
        self.call(self.plane.start())

    def stop(self) -> None:
        try:
            self.call(self.plane.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LIMIT)
            self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the plane's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LIMIT)

    def run_kubectl(
        self, *arguments: str, input: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl against this plane; a failure shows what it said."""
        return run_kubectl(
            self.kubectl,
            self.home.parent / "kubectl",
            self.kubeconfig,
            *arguments,
            input=input,
            check=check,
            timeout=timeout,
        )

    def audit(self) -> Iterator[dict[str, Any]]:
        """The API requests so far, oldest first."""
        with self.audit_log.open() as lines:
            for line in lines:
                if not line.endswith("\n"):  # half written: its rest would be no JSON
                    return
                yield json.loads(line)


def make_directory() -> Path:
    """A directory for one test run, after ending what killed test runs left behind."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{PREFIX}*"):
        if not owner_lives(old):
            asyncio.run(down(old / "home", print))
            shutil.rmtree(old, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    (directory / OWNER).write_text(json.dumps(identity.of_self().to_json()))
    return directory


def owner_lives(directory: Path) -> bool:
    """Whether the test run that made the directory still goes on, or may."""
    try:
        owner = identity.Identity.from_json(json.loads((directory / OWNER).read_text()))
    except (FileNotFoundError, ValueError):
        return True  # just being made, or not ours: leave it
    return identity.compare(owner) is not identity.Verdict.GONE


def find_binaries(say: Callable[[str], None]) -> binaries.Binaries:
    """The binaries, from the same cache as the product."""
    return binaries.find_or_make(Settings().cache, say)
