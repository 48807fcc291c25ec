"""Random kills on a real node: leader, kubelet, containerd, control plane, commands and Pods (issue 7).

HOLDFAST_SOAK_SECONDS says how long the long one takes, HOLDFAST_SOAK_SEED repeats the choices of an earlier run.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.installed import users_jobs
from tests.cluster.kills.project import serving
from tests.cluster.kills.storm import DRAIN_SECONDS, Storm
from tests.cluster.release import CHART, NAME, NAMESPACE, Release

SHORT_SECONDS = 60.0
LONG_SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "600"))
SEED = int(os.environ.get("HOLDFAST_SOAK_SEED", "0")) or random.randrange(1, 10**6)
# Longer than all waits together, those of node and release included: the one that fails is to say why.
REST_SECONDS = DRAIN_SECONDS + 1500


@pytest.fixture(scope="module")
def shared(installed: Release, node_directory: Path) -> Path:
    """Directories that outlive every Pod; the release keeps output in one of them, which all replicas mount."""
    directory = node_directory / "kills"
    for name in ("ledgers", "output"):
        (directory / name).mkdir(parents=True)
        (directory / name).chmod(0o777)
    installed.cluster.apply(*_volume(directory / "output"), namespace=NAMESPACE)
    values = ("--reuse-values", "--set=output.existingClaim=output")
    installed.run("upgrade", NAME, str(CHART), *values, "--wait", "--timeout=150s")
    installed.settled()
    return directory


def _volume(path: Path) -> list[dict[str, Any]]:
    size = {"storage": "1Gi"}
    modes = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": size, "hostPath": {"path": str(path)}, "claimRef": {"name": "output", "namespace": NAMESPACE}}
    claim = {"resources": {"requests": size}, "volumeName": "output"}
    meta = {"metadata": {"name": "output"}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", **meta, "spec": {**modes, **volume}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **meta, "spec": {**modes, **claim}},
    ]


def weather(installed: Release, shared: Path, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    installed.settled()
    remote = shared / f"remote-{SEED}-{seconds:.0f}"
    with users_jobs(installed.cluster) as jobs, serving(remote, installed.node.host_address) as project:
        storm = Storm(installed, jobs, shared, project, SEED)
        with capsys.disabled():
            print(f"\nkills: seed {SEED}", file=sys.stderr, flush=True)
        violations = storm.run(seconds)
    with capsys.disabled():
        print(
            f"\nkills: {storm.summary()}; {len(violations)} violations",
            *violations,
            *(storm.timeline() if violations else ()),
            sep="\n",
            file=sys.stderr,
            flush=True,
        )
    assert not violations, "\n".join([f"seed {SEED}", *violations])


@pytest.mark.timeout(SHORT_SECONDS + REST_SECONDS)
def test_a_minute_of_kills(installed: Release, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2.3, 2.6, 3.7, 4.2, 5.3, 5.4, 10.5: never two attempts of a job, none lost, each end and output as the command
    had it; never two that have the repository alone, each in the commit that is recorded."""
    weather(installed, shared, SHORT_SECONDS, capsys)


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS + REST_SECONDS)
def test_long_kills(installed: Release, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for HOLDFAST_SOAK_SECONDS."""
    weather(installed, shared, LONG_SECONDS, capsys)
