"""A real node for tests: the one of `hack/cluster`, or a cluster of the user's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.executors.process import identity
from hack.node import layout
from hack.node.layout import Node
from tests.real_kubectl import run_kubectl
from tests.running_plane import OWNER, owner_lives

PREFIX = "holdfast-node-"
UP_SECONDS = 300.0
PATIENT_SECONDS = 900.0
"""Limit of a test with all that it is the first to ask for, on a busy machine: nodes, images, a release.

What hangs ends by the limit of its own wait, which says what it waited for; this one only says where."""
DOWN_SECONDS = 300.0  # another node that goes or comes is waited for


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs Pods.

    Args:
        kubeconfig: of its administrator.
        kubectl_binary: the real one.
        cache: kubectl's own.
        node: the node on this machine; None for a cluster of the user's own, where nothing can be killed.
    """

    kubeconfig: Path
    kubectl_binary: Path
    cache: Path
    node: Node | None

    def kubectl(
        self, *arguments: str, input: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl; a failure shows what it said."""
        return run_kubectl(
            self.kubectl_binary, self.cache, self.kubeconfig, *arguments, input=input, check=check, timeout=timeout
        )

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`, parsed."""
        content: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json").stdout)
        return content

    def apply(self, *manifests: dict[str, Any], namespace: str) -> None:
        """Server-side apply."""
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--server-side", f"--namespace={namespace}", "--filename=-", input=content)


def audited(log: Path) -> list[dict[str, Any]]:
    """The API requests so far; the line that is being written is not there yet."""
    lines = log.read_text(errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def command(name: str, *arguments: str, limit_seconds: float = UP_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run `hack/cluster NAME …` as a user does, without setting up the checkout again."""
    return run_module("hack.node", name, *arguments, limit_seconds=limit_seconds)


def run_module(module: str, *arguments: str, limit_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command of hack/ from the root of the checkout."""
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, check=False, cwd=layout.CHECKOUT, capture_output=True, text=True, timeout=limit_seconds)


def up(directory: Path) -> Node:
    """Bring the node of the directory up, or what is missing of it."""
    done = command("up", f"--dir={directory}")
    assert done.returncode == 0, done.stderr
    node = layout.read(directory)
    assert node is not None
    return node


def down(directory: Path) -> None:
    """End the node and whatever is left of it."""
    done = command("down", f"--dir={directory}", limit_seconds=DOWN_SECONDS)
    assert done.returncode == 0, done.stderr


def make_directory() -> Path:
    """A directory for one test run; the node goes to `node` below it. What killed test runs left is ended first."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{PREFIX}*"):
        if not owner_lives(old):
            for path in old.glob("*/node.json"):
                down(path.parent)
            shutil.rmtree(old, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    (directory / OWNER).write_text(json.dumps(identity.of_self().to_json()))
    return directory
