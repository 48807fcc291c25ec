"""What helm makes of the chart, for every switch (issue 7.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.monitoring.files import ALERTS
from tests.chart.rendered import CHART, Object, pod_of, render, run, template

pytestmark = pytest.mark.cluster  # helm is built the first time, which takes minutes; no node is needed

DEFAULT_KINDS = {
    "ClusterRole",
    "ClusterRoleBinding",
    "Deployment",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
}


def env_of(found: dict[tuple[str, str], Object]) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in pod_of(found)["containers"][0]["env"]}


def test_lint(helm: Path) -> None:
    """`helm lint --strict` has nothing to say."""
    done = run(helm, "lint", "--strict", str(CHART), "--kube-version=1.36.0")
    assert done.returncode == 0, done.stdout


def test_default(helm: Path) -> None:
    """Two replicas, one of which acts; the host's executor is not enabled; no Prometheus needed."""
    found = template(helm)
    assert {kind for kind, _ in found} == DEFAULT_KINDS
    assert found["Deployment", "demo-holdfast"]["spec"]["replicas"] == 2
    env = env_of(found)
    assert (env["HOLDFAST_EXECUTORS"], env["HOLDFAST_LEADER_ELECTION"]) == ("Pod", "true")
    assert "HOLDFAST_POD_OUTPUT" not in env
    assert [*env].index("POD_UID") < [*env].index("HOLDFAST_CONTAINER")  # or it is not expanded
    assert env["HOLDFAST_CONTAINER"] == f"$(POD_UID)/{pod_of(found)['containers'][0]['name']}"
    pod = pod_of(found)
    assert {each["topologyKey"] for each in pod["topologySpreadConstraints"]} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert all("emptyDir" in volume for volume in pod["volumes"])


def test_the_pod_is_restricted(helm: Path) -> None:
    """Pod Security `restricted`, for the operator and for the Pod of `helm test`."""
    found = template(helm)
    for pod in (pod_of(found), found["Pod", "demo-holdfast-test"]["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_the_names_follow_the_release(helm: Path) -> None:
    """One that has our name in it is not doubled; the ClusterRole is the same for all, so there is one per cluster."""
    assert ("Deployment", "holdfast") in template(helm, release="holdfast")
    assert ("Deployment", "other") in template(helm, {"fullnameOverride": "other"})
    found = template(helm, {"nameOverride": "jobs"})
    assert ("Deployment", "demo-jobs") in found
    assert ("ClusterRole", "holdfast-controller") in found


def test_image(helm: Path) -> None:
    """Tag, digest, pull secrets; also for the Pod of `helm test`."""
    values = {"image": {"repository": "r/i", "tag": "7", "pullPolicy": "Never"}, "imagePullSecrets": [{"name": "key"}]}
    found = template(helm, values)
    for pod in (pod_of(found), found["Pod", "demo-holdfast-test"]["spec"]):
        assert pod["containers"][0]["image"] == "r/i:7"
        assert pod["containers"][0]["imagePullPolicy"] == "Never"
        assert pod["imagePullSecrets"] == [{"name": "key"}]
    digest = f"sha256:{'0' * 64}"
    found = template(helm, {"image": {"repository": "r/i", "tag": "7", "digest": digest}})
    assert pod_of(found)["containers"][0]["image"] == f"r/i@{digest}"


def test_settings(helm: Path) -> None:
    """By their names; large numbers stay numbers, as helm writes them."""
    values = {"settings": {"HOLDFAST_AUDIT_MAX_BYTES": 2684354560, "HOLDFAST_AUDIT": False, "HOLDFAST_WORKERS": 8}}
    env = env_of(template(helm, values))
    assert (env["HOLDFAST_AUDIT_MAX_BYTES"], env["HOLDFAST_AUDIT"], env["HOLDFAST_WORKERS"]) == (
        "2684354560",
        "false",
        "8",
    )
    values = {"settings": {"HOLDFAST_SWEEP_SECONDS": 2.5, "HOLDFAST_SNAPSHOT_SCHEDULE": "0 3 * * *"}}
    env = env_of(template(helm, values))
    assert (env["HOLDFAST_SWEEP_SECONDS"], env["HOLDFAST_SNAPSHOT_SCHEDULE"]) == ("2.5", "0 3 * * *")


def test_environment_and_volumes_of_your_own(helm: Path) -> None:
    """extraEnv, extraEnvFrom, extraVolumes, extraVolumeMounts"""
    values = {
        "extraEnv": [{"name": "A", "value": "1"}],
        "extraEnvFrom": [{"secretRef": {"name": "s"}}],
        "extraVolumes": [{"name": "v", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    found = template(helm, values)
    container = pod_of(found)["containers"][0]
    assert env_of(found)["A"] == "1"
    assert container["envFrom"] == [{"secretRef": {"name": "s"}}]
    assert {"name": "v", "mountPath": "/v"} in container["volumeMounts"]
    assert {"name": "v", "emptyDir": {}} in pod_of(found)["volumes"]


def test_output(helm: Path) -> None:
    """An address, or a claim that all replicas mount."""
    assert env_of(template(helm, {"output": {"url": "s3://b/p"}}))["HOLDFAST_POD_OUTPUT"] == "s3://b/p"
    found = template(helm, {"output": {"existingClaim": "shared"}})
    mounts = {mount["name"]: mount["mountPath"] for mount in pod_of(found)["containers"][0]["volumeMounts"]}
    assert env_of(found)["HOLDFAST_POD_OUTPUT"] == mounts["output"]
    claim = {"name": "output", "persistentVolumeClaim": {"claimName": "shared"}}
    assert claim in pod_of(found)["volumes"]


def test_a_bucket(helm: Path) -> None:
    """7.10: as README shows it: credentials from a Secret, or a role; none in an address."""
    values = {
        "output": {"url": "s3://jobs/output"},
        "settings": {"HOLDFAST_SNAPSHOT_DESTINATION": "s3://jobs/snapshots"},
        "extraEnv": [{"name": "AWS_ENDPOINT_URL", "value": "https://s3.example.com"}],
        "extraEnvFrom": [{"secretRef": {"name": "holdfast-s3"}}],
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/holdfast"}},
    }
    found = template(helm, values)
    assert env_of(found)["HOLDFAST_SNAPSHOT_DESTINATION"] == "s3://jobs/snapshots"
    assert pod_of(found)["containers"][0]["envFrom"] == [{"secretRef": {"name": "holdfast-s3"}}]
    account = found["ServiceAccount", "demo-holdfast"]["metadata"]["annotations"]
    assert account == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/holdfast"}
    assert "url" in render(helm, {"output": {"url": "s3://key:secret@jobs/output"}}).stderr


def test_times(helm: Path) -> None:
    """The Pod gets more time to end than the controller takes for it."""
    found = template(helm, {"stopGraceSeconds": 100, "leaderElection": {"leaseSeconds": 30}})
    assert pod_of(found)["terminationGracePeriodSeconds"] == 125
    assert env_of(found)["HOLDFAST_STOP_GRACE_SECONDS"] == "100"
    assert env_of(found)["HOLDFAST_LEASE_SECONDS"] == "30"


def test_port(helm: Path) -> None:
    """Container, Service and setting agree; probes name it."""
    found = template(helm, {"http": {"host": "::", "port": 9999}})
    assert pod_of(found)["containers"][0]["ports"] == [{"name": "http", "containerPort": 9999}]
    assert found["Service", "demo-holdfast"]["spec"]["ports"][0]["port"] == 9999
    assert (env_of(found)["HOLDFAST_HTTP_HOST"], env_of(found)["HOLDFAST_HTTP_PORT"]) == ("::", "9999")


def test_where_it_runs(helm: Path) -> None:
    """Replicas, resources, labels, node selection."""
    values = {
        "replicaCount": 3,
        "resources": {"limits": {"memory": "2Gi"}},
        "podLabels": {"team": "a", "app.kubernetes.io/name": "not ours to change"},
        "podAnnotations": {"note": "b"},
        "priorityClassName": "high",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologyKeys": [],
        "stateSizeLimit": "4Gi",
    }
    found = template(helm, values)
    made, pod = found["Deployment", "demo-holdfast"]["spec"], pod_of(found)
    assert made["replicas"] == 3
    assert made["template"]["metadata"]["labels"]["team"] == "a"
    assert made["selector"]["matchLabels"].items() <= made["template"]["metadata"]["labels"].items()
    assert made["template"]["metadata"]["annotations"] == {"note": "b"}
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}
    assert (pod["priorityClassName"], pod["nodeSelector"], pod["tolerations"], pod["affinity"]) == (
        "high",
        {"disk": "fast"},
        [{"operator": "Exists"}],
        {"nodeAffinity": {}},
    )
    assert "topologySpreadConstraints" not in pod
    assert {"name": "state", "emptyDir": {"sizeLimit": "4Gi"}} in pod["volumes"]


@pytest.mark.parametrize(
    ("switch", "kind"),
    [("service", "Service"), ("podDisruptionBudget", "PodDisruptionBudget"), ("networkPolicy", "NetworkPolicy")],
)
def test_switched_off(helm: Path, switch: str, kind: str) -> None:
    """The object is not there."""
    assert (kind, "demo-holdfast") in template(helm)
    assert (kind, "demo-holdfast") not in template(helm, {switch: {"enabled": False}})


def test_disruption_budget(helm: Path) -> None:
    """A number or a share."""
    for given in (2, "50%"):
        found = template(helm, {"podDisruptionBudget": {"minAvailable": given}})
        assert found["PodDisruptionBudget", "demo-holdfast"]["spec"]["minAvailable"] == given


def test_network_policy(helm: Path) -> None:
    """Ingress to the HTTP port alone; egress is free unless somebody says where to."""
    spec = template(helm)["NetworkPolicy", "demo-holdfast"]["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": "http"}]}]
    peer: Object = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    values = {"networkPolicy": {"ingressFrom": [peer], "egress": [{"ports": [{"port": 443}]}]}}
    spec = template(helm, values)["NetworkPolicy", "demo-holdfast"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"][0]["from"] == [peer]
    assert spec["egress"] == [{"ports": [{"port": 443}]}]


@pytest.mark.parametrize(
    ("switch", "kind", "endpoints"),
    [("serviceMonitor", "ServiceMonitor", "endpoints"), ("podMonitor", "PodMonitor", "podMetricsEndpoints")],
)
def test_monitors(helm: Path, switch: str, kind: str, endpoints: str) -> None:
    """They select what they are to scrape."""
    found = template(helm, {switch: {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}}})
    made = found[kind, "demo-holdfast"]
    assert made["metadata"]["labels"]["release"] == "prometheus"
    assert made["spec"][endpoints] == [{"port": "http", "path": "/metrics", "interval": "1m"}]
    selected = made["spec"]["selector"]["matchLabels"].items()
    assert selected <= found["Service", "demo-holdfast"]["metadata"]["labels"].items()
    assert selected <= found["Deployment", "demo-holdfast"]["spec"]["template"]["metadata"]["labels"].items()


def test_monitors_that_contradict(helm: Path) -> None:
    """Said in words."""
    on, off = {"enabled": True}, {"enabled": False}
    assert "needs service.enabled" in render(helm, {"serviceMonitor": on, "service": off}).stderr
    assert "twice" in render(helm, {"serviceMonitor": on, "podMonitor": on}).stderr


def test_prometheus_rule(helm: Path) -> None:
    """9.3: all rules of charts/holdfast/rules, unchanged but for where runbooks are."""
    values = {
        "prometheusRule": {"enabled": True, "runbookBaseUrl": "https://runbooks.example/#", "labels": {"team": "a"}}
    }
    made = template(helm, values)["PrometheusRule", "demo-holdfast"]
    assert made["metadata"]["labels"]["team"] == "a"
    alerts = {rule["alert"]: rule for group in made["spec"]["groups"] for rule in group["rules"] if "alert" in rule}
    assert set(alerts) == {alert.name for alert in ALERTS}
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook_url"] == f"https://runbooks.example/#{name.lower()}"
    plain = template(helm, {"prometheusRule": {"enabled": True}})["PrometheusRule", "demo-holdfast"]
    assert plain["spec"] == yaml.safe_load((CHART / "rules" / "holdfast.rules.yaml").read_text())


def test_dashboard(helm: Path) -> None:
    """9.3: a ConfigMap that Grafana's sidecar finds."""
    made = template(helm, {"dashboard": {"enabled": True}})["ConfigMap", "demo-holdfast-dashboard"]
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["data"]["holdfast.json"].strip() == (CHART / "dashboards" / "holdfast.json").read_text().strip()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "replicas"),
        ({"image": {"name": "x"}}, "name"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"replicaCount": "two"}, "replicaCount"),
        ({"settings": {"HOLDFAST_MAX_RUNING": 3}}, "HOLDFAST_MAX_RUNING"),
        ({"settings": {"HOLDFAST_EXECUTORS": "Process"}}, "HOLDFAST_EXECUTORS"),
        ({"leaderElection": {"leaseSeconds": 1}}, "leaseSeconds"),
        ({"http": {"port": 80}}, "port"),
        ({"output": {"url": "/on/this/host"}}, "url"),
        ({"serviceMonitor": {"enabled": True, "interval": "soon"}}, "interval"),
        ({"rbac": {"secrets": {"namespaces": ["Not A Name"]}}}, "namespaces"),
        ({"stateSizeLimit": "much"}, "stateSizeLimit"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(helm: Path, values: Object, said: str) -> None:
    """Issue 7.5: values.schema.json names what is wrong."""
    done = render(helm, values)
    assert done.returncode != 0
    assert said in done.stderr
