"""The chart on a node of its own, whose audit log tells what the operator calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.node.layout import CHECKOUT, Node
from tests.cluster.running_node import Cluster, audited
from tests.eventually import eventually_sync

CHART = CHECKOUT / "charts" / "holdfast"
NAMESPACE, NAME = "holdfast-system", "holdfast"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAME}"
SETTLED_SECONDS = 180.0  # a container that ended several times is started again after 80 s
Call = tuple[str, str, str]  # API group, resource with its subresource, verb


@dataclass(frozen=True, slots=True)
class Release:
    """See the module."""

    helm: Path
    cluster: Cluster
    node: Node

    def run(self, *arguments: str, check: bool = True, timeout: float = 400) -> subprocess.CompletedProcess[str]:
        """Run helm as a user does, in the release's namespace."""
        done = subprocess.run(
            [self.helm, *arguments, f"--namespace={NAMESPACE}"],
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}\n{self.logs()}"
        return done

    def logs(self) -> str:
        """What the controllers said last, for the message of a failure."""
        selector = f"--selector=app.kubernetes.io/name={NAME}"
        return self.kubectl("logs", selector, "--prefix", "--tail=15", check=False).stdout

    def kubectl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """kubectl in the release's namespace."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *arguments, **options)

    def leader(self) -> str:
        """Name of the Pod that holds the Lease, "" where nobody does."""
        found = self.kubectl("get", "lease", NAME, "--output=jsonpath={.spec.holderIdentity}", check=False).stdout
        return found.rpartition("_")[0]

    def pods(self) -> dict[str, dict[str, Any]]:
        """The controllers' Pods that are not going away."""
        found = json.loads(
            self.kubectl("get", "pods", f"--selector=app.kubernetes.io/name={NAME}", "--output=json").stdout
        )
        return {pod["metadata"]["name"]: pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]}

    def settled(self) -> None:
        """Wait until two replicas are ready and one of them leads."""

        def look() -> bool:
            pods = self.pods()
            ready = [
                name
                for name, pod in pods.items()
                for condition in pod["status"].get("conditions", [])
                if (condition["type"], condition["status"]) == ("Ready", "True")
            ]
            assert len(pods) == 2 == len(ready), (list(pods), ready)
            assert self.leader() in pods
            return True

        eventually_sync(look, SETTLED_SECONDS, "two replicas, one leads")

    def granted(self) -> set[Call]:
        """What the installed roles allow the operator."""
        found = [made for made in yaml.safe_load_all(self.run("get", "manifest", NAME).stdout) if made]
        names = {"ClusterRole": "holdfast-controller", "Role": NAME}
        roles = [made for made in found if names.get(made["kind"]) == made["metadata"]["name"]]
        return {
            (group, resource, verb)
            for role in roles
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    def calls(self) -> Iterator[tuple[Call, int]]:
        """What the operator called so far, with the answers' codes; a watch counts from its start."""
        for entry in audited(self.node.audit_log):
            if entry["user"]["username"] != ACCOUNT or "objectRef" not in entry or "responseStatus" not in entry:
                continue
            about = entry["objectRef"]
            if "resource" not in about:
                continue
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            yield (about.get("apiGroup", ""), resource, entry["verb"]), entry["responseStatus"]["code"]
