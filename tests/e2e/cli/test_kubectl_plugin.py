"""`kubectl holdfast …` through the real kubectl (issue items 1 and 7)."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.cli.holdfast_command import Jobs, one_line
from tests.running_plane import RunningPlane


class Plugin:
    """`kubectl holdfast …` by the real kubectl, which finds `kubectl-holdfast` on the PATH."""

    def __init__(self, plane: RunningPlane, namespace: str, directory: Path) -> None:
        self._plane, self._namespace, self._directory = plane, namespace, directory

    def __call__(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
            "HOLDFAST_HOME": str(self._directory / "home"),
            "KUBECONFIG": str(self._plane.kubeconfig),
        }
        environment.pop("HOLDFAST_KUBECONFIG", None)
        return subprocess.run(
            [self._plane.kubectl, "holdfast", command, *arguments],
            cwd=self._directory,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def plugin(plane: RunningPlane, namespace: str, tmp_path: Path) -> Plugin:
    return Plugin(plane, namespace, tmp_path)


def test_as_a_plugin_of_kubectl(plugin: Plugin, jobs: Jobs) -> None:
    """Issue items 1 and 7: the same commands, under the name by which they were called, with their exit codes."""
    asked = plugin("--help")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("Usage: kubectl holdfast [OPTIONS] COMMAND")
    jobs.create("waits")
    jobs.status("waits", phase="Queued", sequence=1)
    listed = plugin("queue", "-n", jobs.namespace)
    assert listed.returncode == 0, listed.stderr
    assert "waits" in listed.stdout
    missing = plugin("cancel", "-n", jobs.namespace, "nope")
    assert (missing.returncode, "no batchjob nope" in one_line(missing.stderr)) == (1, True)
    wrong = plugin("queue", "--nope")
    assert wrong.returncode == 2
    assert one_line(wrong.stderr).endswith("; see `kubectl holdfast queue --help`\n")
