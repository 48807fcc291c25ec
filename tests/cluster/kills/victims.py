"""What is killed: processes by their pid, found by the cgroup or the record of what they belong to; Pods by kubectl."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from controller.executors.pod.names import ATTEMPT_LABEL
from controller.executors.process import identity
from controller.local import records
from hack.node import cgroups
from tests.cluster.release import Release
from tests.cluster.running_node import up

JUST_BEFORE, TAKES_UP_AGAIN = 1.0, 5.0  # seconds around an outage of containerd in which its pipes are not read either
SERVERS = ("kubelet", "containerd", "apiserver", "etcd", "controller-manager", "scheduler")
Strike = Callable[[], str]
"""Kills something and says what; "" where there was nothing to kill."""


class Victims:
    """See the module.

    Args:
        namespace: of the jobs.
        choose: the recorded source of chance.
    """

    def __init__(self, release: Release, namespace: str, choose: random.Random) -> None:
        self._release = release
        self._cluster = release.cluster
        self._namespace = namespace
        self._choose = choose
        self.deleted: set[str] = set()
        """Attempts whose Pod was deleted by hand: nobody promises their output."""
        self.deaf: list[tuple[float, float]] = []
        """From when to when containerd was away, in seconds since boot.

        What a command prints then that ends then too stays in a pipe that nobody reads: no log file ever has it.
        """

    def strikes(self) -> dict[str, Strike]:
        """What can be struck, by name."""
        found: dict[str, Strike] = {
            "leader": self._leader,
            "leader's Pod": self._leaders_pod,
            "job's command": self._command,
            "job's Pod": self._pod,
            "shim": self._shim,
        }
        return {**found, **{name: lambda name=name: self._server(name) for name in SERVERS}}

    def _leader(self) -> str:
        pod = self._release.pods().get(self._release.leader())
        return "" if pod is None else self._kill(self._pids(pod))

    def _leaders_pod(self) -> str:
        name = self._release.leader()
        if name:
            self._release.kubectl("delete", "pod", name, "--force", "--grace-period=0", check=False)
        return name

    def _command(self) -> str:
        pod = self._running()
        return "" if pod is None else self._kill(self._pids(pod))

    def _pod(self) -> str:
        pod = self._running()
        if pod is None:
            return ""
        labels = pod["metadata"]["labels"]
        self.deleted.add(labels[ATTEMPT_LABEL])
        name: str = pod["metadata"]["name"]
        self._cluster.kubectl("delete", "pod", name, f"--namespace={self._namespace}", "--wait=false", check=False)
        return name

    def _shim(self) -> str:
        """containerd's process beside each Pod: with it goes the Pod."""
        socket = str(self._release.node.socket).encode()
        shims = sorted(pid for pid, line in _command_lines() if b"containerd-shim" in line and socket in line)
        return self._kill([self._choose.choice(shims)]) if shims else ""

    def _server(self, name: str) -> str:
        """It is started again at once, as systemd or the kubelet would."""
        record = records.read(self._release.node.home.record(name))
        if record is None or record.process is None or not identity.send(record.process, signal.SIGKILL):
            return ""
        began = _since_boot()
        up(self._release.node.path)
        if name == "containerd":
            self.deaf.append((began - JUST_BEFORE, _since_boot() + TAKES_UP_AGAIN))
        return str(record.process.pid)

    def _running(self) -> dict[str, Any] | None:
        found = self._cluster.get("pods", f"--namespace={self._namespace}")["items"]
        there = [pod for pod in found if pod["status"]["phase"] == "Running" and not _leaves(pod)]
        return self._choose.choice(there) if there else None

    def _pids(self, pod: dict[str, Any]) -> list[int]:
        return cgroups.pids_of_pod(self._release.node.cgroup, pod["metadata"]["uid"])

    def _kill(self, pids: list[int]) -> str:
        killed = []
        for pid in pids:
            process = identity.of_pid(pid)
            if process is not None and identity.send(process, signal.SIGKILL):
                killed.append(str(pid))
        return ", ".join(killed)


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _leaves(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _command_lines() -> Iterator[tuple[int, bytes]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                yield int(path.name), (path / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue


NOT_NOW = (AssertionError, subprocess.TimeoutExpired)  # of kubectl while the API server is away: nothing was struck
