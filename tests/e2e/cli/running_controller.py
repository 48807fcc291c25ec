"""A controller as a process of its own, on a state directory of its own, that can be killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.eventually import eventually_sync

LIMIT = 120.0
MAX_RUNNING = 64  # jobs of other tests on the same API server may hold slots


class RunningController:
    """Starts with `start`, ends with `stop` (SIGTERM) or `kill` (SIGKILL); running jobs go on."""

    def __init__(self, home: Path, kubeconfig: Path) -> None:
        self.home = home
        self._environment = {
            "HOLDFAST_HOME": str(home),
            "HOLDFAST_KUBECONFIG": str(kubeconfig),
            "HOLDFAST_MAX_RUNNING": str(MAX_RUNNING),
            "HOLDFAST_MIN_FREE_BYTES": "0",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.home / "http.json").unlink(missing_ok=True)
        with (self.home / "controller.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "controller.cli.main", "controller"],
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            eventually_sync(self._ready, LIMIT)
        except BaseException:
            self.kill()  # who could not start it does not stop it
            raise

    def _ready(self) -> bool:
        assert self._process is not None
        log = self.home / "controller.log"
        if self._process.poll() is not None:
            raise RuntimeError(f"the controller ended: {log.read_text()[-4000:]}")
        try:
            url = json.loads((self.home / "http.json").read_text())["url"]
            return httpx.get(f"{url}/readyz", timeout=10, trust_env=False).is_success
        except (FileNotFoundError, ValueError, httpx.HTTPError):
            return False

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT)

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
