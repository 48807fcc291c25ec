"""Run a Pod and see what it said: for tests that want something looked at from inside the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from hack.node.images import BUSYBOX
from tests.cluster.running_node import Cluster
from tests.eventually import eventually_sync

END_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a Pod's only container ended, and what it wrote."""

    exit_code: int
    output: str


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods in one namespace."""

    cluster: Cluster
    namespace: str

    def start(
        self,
        *command: str,
        image: str = BUSYBOX,
        name: str | None = None,
        container: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> str:
        """Make a Pod that is not started again; its name.

        Args:
            command: of its container; none leaves the image's own.
            container: more of its container.
            spec: more of the Pod's spec, for example serviceAccountName.
        """
        name = name or f"pod-{uuid4().hex[:8]}"
        main = {"name": "main", "image": image, "imagePullPolicy": "Never", **(container or {})}
        if command:
            main["command"] = list(command)
        content = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main], **spec}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": content}
        self.cluster.apply(pod, namespace=self.namespace)
        return name

    def wait(self, name: str, timeout: float = END_SECONDS) -> Ended:
        """Wait for the end of the Pod's only container."""
        status = eventually_sync(lambda: self._terminated(name), timeout, f"end of Pod {name}")
        log = self.cluster.kubectl("logs", name, f"--namespace={self.namespace}").stdout
        return Ended(int(status["exitCode"]), log)

    def run(self, *command: str, **options: Any) -> Ended:
        """Start a Pod and wait for its end; the options are those of `start`."""
        return self.wait(self.start(*command, **options))

    def _terminated(self, name: str) -> dict[str, Any] | None:
        pod = self.cluster.get("pod", name, f"--namespace={self.namespace}")
        statuses = pod["status"].get("containerStatuses") or [{}]
        found: dict[str, Any] | None = statuses[0].get("state", {}).get("terminated")
        assert found is not None, f"{pod['status'].get('phase')}: {statuses[0].get('state')}"
        return found
