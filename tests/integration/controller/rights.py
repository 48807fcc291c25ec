"""A user of the API server with rights of its own, for a controller that is not an administrator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import yaml

from controller.api.names import KINDS, Names

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "holdfast.dev"
Rule = dict[str, list[str]]


class Rights:
    """A service account and what it may do; everything of it goes with `remove`.

    Args:
        http: as an administrator.
        namespace: of the service account.
    """

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http = http
        self._namespace = namespace
        self._name = f"limited-{namespace}"
        self._accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self._post(self._accounts, {"metadata": {"name": self._name}})
        self._made: list[str] = []

    def allow(self, name: str, *rules: Rule) -> None:
        """Add rights under a name."""
        full = f"{self._name}-{name}"
        self._post(f"{RBAC}/clusterroles", {"metadata": {"name": full}, "rules": [*rules]})
        body = {
            "metadata": {"name": full},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": full},
            "subjects": [{"kind": "ServiceAccount", "name": self._name, "namespace": self._namespace}],
        }
        self._post(f"{RBAC}/clusterrolebindings", body)
        self._made.append(name)

    def take(self, name: str) -> None:
        """Take them back."""
        for plural in ("clusterrolebindings", "clusterroles"):
            self._http.delete(f"{RBAC}/{plural}/{self._name}-{name}").raise_for_status()
        self._made.remove(name)

    def remove(self) -> None:
        for name in [*self._made]:
            self.take(name)

    def kubeconfig(self, administrator: Path, path: Path) -> Path:
        """That of the service account, written to `path`; the administrator's says where the API server is."""
        asked: dict[str, Any] = {"spec": {"expirationSeconds": 3600}}
        token = self._post(f"{self._accounts}/{self._name}/token", asked)["status"]["token"]
        config = yaml.safe_load(administrator.read_text())
        config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
        path.write_text(json.dumps(config))
        return path

    def _post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.post(url, json=body)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made


def rule(group: str, *resources: str, verbs: tuple[str, ...] = ("*",)) -> Rule:
    """What RBAC calls a rule."""
    return {"apiGroups": [group], "resources": [*resources], "verbs": [*verbs]}


# All that a controller with the process executor does but for its reports.
WORK = (
    rule(GROUP, *(Names(kind).plural + more for kind in KINDS for more in ("", "/status"))),
    rule("", "namespaces", "events", "secrets", "configmaps"),
    {"nonResourceURLs": ["*"], "verbs": ["get"]},
)
