"""The controller as a child process: when it was started, whether it is ready, what it says and what it costs."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path

import httpx

from benchmarks import processes

LIMIT_SECONDS = 120.0
STOP_SECONDS = 60.0
QUIET_CPU_SHARE, QUIET_WINDOW_SECONDS = 0.1, 1.0


class Controller:
    """One life of the controller.

    Args:
        child: its process.
        began: wall clock at its start, seconds since the epoch.
        home: HOLDFAST_HOME.
        log: shown where it does not do as it should.
    """

    def __init__(self, child: subprocess.Popen[bytes], began: float, home: Path, log: str) -> None:
        self.child = child
        self.began = began
        self._home = home
        self._log = log

    @property
    def pid(self) -> int:
        """Of the process; where it was started by a shell, that shell became it."""
        return self.child.pid

    async def ready(self) -> float:
        """Wait for /readyz; returns the seconds since its start."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            deadline = time.monotonic() + LIMIT_SECONDS
            while time.monotonic() < deadline:
                url = self._url()
                if url is not None:
                    try:
                        if (await client.get(f"{url}/readyz")).status_code == 200:
                            return time.time() - self.began
                    except httpx.HTTPError:
                        pass  # it does not listen yet
                if self.child.poll() is not None:
                    raise RuntimeError(f"the controller ended with {self.child.returncode}:\n{self._end_of_log()}")
                await asyncio.sleep(0.005)
        raise RuntimeError(f"the controller is not ready after {LIMIT_SECONDS:g} s:\n{self._end_of_log()}")

    async def stages(self) -> dict[str, float]:
        """holdfast_start_seconds by stage, once it is steady; by the controller's own clock."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            deadline = time.monotonic() + LIMIT_SECONDS
            while time.monotonic() < deadline:
                text = (await client.get(f"{self._url()}/metrics")).text
                found = {
                    line.split('"')[1]: float(line.split()[-1])
                    for line in text.splitlines()
                    if line.startswith("holdfast_start_seconds{")
                }
                if found.get("steady", 0) > 0:
                    return found
                await asyncio.sleep(0.25)
        raise RuntimeError(f"the controller is not steady after {LIMIT_SECONDS:g} s:\n{self._end_of_log()}")

    async def quiet(self) -> float:
        """Wait until it uses next to no CPU for a while; returns the seconds from its start to then."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            at, used = time.time(), self.cpu_seconds()
            await asyncio.sleep(QUIET_WINDOW_SECONDS)
            if self.cpu_seconds() - used < QUIET_CPU_SHARE * QUIET_WINDOW_SECONDS:
                return at - self.began
        raise RuntimeError(f"the controller is still at work after {LIMIT_SECONDS:g} s:\n{self._end_of_log()}")

    def cpu_seconds(self) -> float:
        """Its own CPU time so far, without its children."""
        return processes.cpu_seconds(self.pid)

    def rss_mb(self) -> float:
        """Its resident memory in MB."""
        return processes.rss_mb(self.pid)

    def rss_peak_mb(self) -> float:
        """The most that it ever was."""
        return processes.rss_peak_mb(self.pid)

    def end(self, number: signal.Signals) -> None:
        """Signal it and wait until it is gone; harmless where it is gone already."""
        if self.child.poll() is None:
            self.child.send_signal(number)
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(STOP_SECONDS)
                raise

    @property
    def url(self) -> str:
        """Of its HTTP server, once it is ready."""
        return self._url() or ""

    def _url(self) -> str | None:
        """From http.json, once it was written by this very process."""
        try:
            found = json.loads((self._home / "http.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return str(found["url"]) if found["pid"] == self.pid else None

    def _end_of_log(self) -> str:
        return "\n".join(Path(self._log).read_text(errors="replace").splitlines()[-15:])
