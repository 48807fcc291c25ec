"""Whose rights the chart declares: the operator's and those of its users (issue 7.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.rendered import CHART, pod_of, render, rules_of, template

pytestmark = pytest.mark.cluster  # helm is built the first time, which takes minutes; no node is needed


def test_service_account(helm: Path) -> None:
    """Ours, or one that is there."""
    found = template(helm, {"serviceAccount": {"name": "mine", "annotations": {"role": "x"}}})
    assert found["ServiceAccount", "mine"]["metadata"]["annotations"] == {"role": "x"}
    found = template(helm, {"serviceAccount": {"create": False, "name": "mine"}})
    assert ("ServiceAccount", "mine") not in found
    assert pod_of(found)["serviceAccountName"] == "mine"
    assert found["ClusterRoleBinding", "holdfast-controller"]["subjects"][0]["name"] == "mine"
    assert "serviceAccount.name is needed" in render(helm, {"serviceAccount": {"create": False}}).stderr


def test_rights_over_secrets(helm: Path) -> None:
    """Everywhere, in some namespaces, nowhere; never more than get, and of nothing else that is sensitive."""
    secret = ("", "secrets", "get")
    found = template(helm)
    rules = rules_of(found["ClusterRole", "holdfast-controller"])
    assert [rule for rule in rules if rule[1] == "secrets"] == [secret]
    assert not {rule for rule in rules if "*" in rule}
    assert not {resource for _, resource, _ in rules} & {"configmaps", "nodes", "pods/exec", "serviceaccounts/token"}
    found = template(helm, {"rbac": {"secrets": {"namespaces": ["a", "b"]}}})
    assert secret not in rules_of(found["ClusterRole", "holdfast-controller"])
    role = found["Role", "demo-holdfast-secrets"]
    assert rules_of(role) == {secret}
    found = template(helm, {"rbac": {"secrets": {"enabled": False, "namespaces": ["a"]}}})
    assert secret not in rules_of(found["ClusterRole", "holdfast-controller"])
    assert ("Role", "demo-holdfast-secrets") not in found


def test_rights_off(helm: Path) -> None:
    """rbac.create and rbac.aggregate; `helm test` brings its own."""
    found = template(helm, {"rbac": {"create": False, "aggregate": False}})
    assert {name for kind, name in found if "Role" in kind} == {"demo-holdfast-test"}


def test_rights_of_users(helm: Path) -> None:
    """Aggregated; all kinds can be read, nobody writes a status."""
    found = template(helm)
    for name in ("view", "edit", "admin"):
        role = found["ClusterRole", f"holdfast-{name}"]
        assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{name}"] == "true"
        assert not [rule for rule in rules_of(role) if "/" in rule[1] or rule[0] != "holdfast.dev"]
    readable = {resource for _, resource, verb in rules_of(found["ClusterRole", "holdfast-view"]) if verb == "get"}
    assert readable == {path.stem for path in (CHART / "crds").glob("*.yaml")}
