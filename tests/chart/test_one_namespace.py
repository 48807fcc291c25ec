"""watchNamespace: the operator of one namespace, with no right outside of it (issue 7.5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from tests.chart.rendered import Object, render, template
from tests.eventually import eventually_sync
from tests.integration.controller.conftest import assert_no_defect
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController
from tests.running_plane import RunningPlane

pytestmark = pytest.mark.cluster  # helm is built the first time, which takes minutes; no node is needed

RBAC = "/apis/rbac.authorization.k8s.io/v1"
Found = dict[tuple[str, str], Object]


def roles_of(found: Found) -> dict[str, Object]:
    """The two Roles and their bindings, for the one namespace."""
    names = ("holdfast-controller", "demo-holdfast")
    return {f"{kind}/{name}": found[kind, name] for kind in ("Role", "RoleBinding") for name in names}


def test_all_of_it_is_in_one_namespace(helm: Path) -> None:
    """Nothing of the cluster's: no ClusterRole, and every right is one of the namespace."""
    found = template(helm, {"watchNamespace": "team"})
    assert not {name for kind, name in found if kind.startswith("ClusterRole")}
    assert {made["metadata"]["namespace"] for made in roles_of(found).values()} == {"team"}
    spec = found["Deployment", "demo-holdfast"]["spec"]["template"]["spec"]["containers"][0]
    env = {each["name"]: each.get("value") for each in spec["env"]}
    assert (env["HOLDFAST_NAMESPACE"], env["HOLDFAST_WATCH_NAMESPACE"]) == ("team", "team")
    everywhere = template(helm)["ClusterRole", "holdfast-controller"]["rules"]
    here = found["Role", "holdfast-controller"]["rules"]
    assert [rule for rule in here if rule["resources"] != ["namespaces"]] == [
        rule for rule in everywhere if rule["resources"] != ["namespaces"]
    ], "the same rights, in one namespace"


def test_the_test_runs_its_job_there(helm: Path) -> None:
    """`helm test` makes its BatchJob where somebody runs it."""
    found = template(helm, {"watchNamespace": "team"})
    assert found["Role", "demo-holdfast-test"]["metadata"]["namespace"] == "team"
    assert found["RoleBinding", "demo-holdfast-test"]["subjects"][0]["namespace"] == "system"
    env = {each["name"]: each["value"] for each in found["Pod", "demo-holdfast-test"]["spec"]["containers"][0]["env"]}
    assert env["NAMESPACE"] == "team"


def test_what_contradicts_is_said(helm: Path) -> None:
    """Namespaces of Secrets have no meaning beside it."""
    values = {"watchNamespace": "team", "rbac": {"secrets": {"namespaces": ["other"]}}}
    assert "rbac.secrets.namespaces has no meaning" in render(helm, values).stderr


@pytest.fixture
def account(helm: Path, plane: RunningPlane, plane_http: httpx.Client, namespace: str, tmp_path: Path) -> Path:
    """kubeconfig of a ServiceAccount that has the chart's rights in the namespace, and no others."""
    found = template(helm, {"watchNamespace": namespace})
    plane_http.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", json={"metadata": {"name": "operator"}})
    for made in roles_of(found).values():
        for subject in made.get("subjects", ()):
            subject |= {"name": "operator", "namespace": namespace}
        collection = f"{RBAC}/namespaces/{namespace}/{made['kind'].lower()}s"
        plane_http.post(collection, json=made).raise_for_status()
    return as_account(plane, plane_http, namespace, "operator", tmp_path / "kubeconfig")


def as_account(plane: RunningPlane, http: httpx.Client, namespace: str, name: str, path: Path) -> Path:
    """Write a kubeconfig with a token of the ServiceAccount."""
    asked = {"spec": {"expirationSeconds": 3600}}
    answer = http.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", json=asked).raise_for_status()
    config = yaml.safe_load(plane.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": answer.json()["status"]["token"]}
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def operator(account: Path, namespace: str, tmp_path: Path) -> Iterator[RunningController]:
    settings = {
        "HOLDFAST_NAMESPACE": namespace,
        "HOLDFAST_WATCH_NAMESPACE": namespace,
        "HOLDFAST_EXECUTORS": "Process,Pod",
        "HOLDFAST_LEADER_ELECTION": "true",
        "HOLDFAST_LEASE_NAME": "demo-holdfast",
        "HOLDFAST_SNAPSHOT_SCHEDULE": "* * * * *",
        "HOLDFAST_RELIST_SECONDS": "2",
    }
    made = RunningController(tmp_path, account, settings)
    yield made
    made.stop()
    made.clean()
    assert_no_defect(made)


def test_it_works_with_the_rights_of_one_namespace(
    operator: RunningController, plane: RunningPlane, plane_http: httpx.Client, namespace: str
) -> None:
    """Issue 7.5: on the real API server: it runs what is there, sees nothing else, and nothing is refused to it."""
    elsewhere = f"test-{uuid4().hex[:10]}"
    plane_http.post("/api/v1/namespaces", json={"metadata": {"name": elsewhere}}).raise_for_status()
    here, there = Jobs(plane_http, namespace), Jobs(plane_http, elsewhere)
    there.create("foreign")
    operator.start()
    here.create("own")
    here.finished("own", "Succeeded")
    here.create("pod", executor="Pod", pod={"image": "holdfast.local/none:1"})
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    eventually_sync(lambda: plane_http.get(jobs).json()["items"], 60, "the Pod's Job is there")
    here.make("snapshots", "Snapshot", "now", spec={})
    eventually_sync(lambda: phase(here, "now") == "Complete", 60, "the Snapshot is complete")
    assert "status" not in there.get("foreign")
    told = [entry for entry in plane.audit() if f":{namespace}:operator" in entry["user"]["username"]]
    refused = [entry["requestURI"] for entry in told if entry.get("responseStatus", {}).get("code") == 403]
    assert told and not refused, json.dumps(refused)
    plane_http.delete(f"/api/v1/namespaces/{elsewhere}")


def phase(jobs: Jobs, snapshot: str) -> Any:
    return (jobs.get(snapshot, "snapshots").get("status") or {}).get("phase")


def test_a_right_that_is_taken_away_is_named_and_heals(
    operator: RunningController, plane_http: httpx.Client, namespace: str
) -> None:
    """Faults: degraded with the exact missing verb; when it is given back the same process goes on by itself."""
    operator.start()
    jobs = Jobs(plane_http, namespace)
    path = f"{RBAC}/namespaces/{namespace}/roles/holdfast-controller"
    whole = plane_http.get(path).raise_for_status().json()["rules"]
    less = [{**rule, "resources": [one for one in rule["resources"] if one != "batchjobs/status"]} for rule in whole]
    set_rules(plane_http, path, less)
    jobs.create("held")
    right = f"patch batchjobs.holdfast.dev/status in namespace {namespace}"
    line = 'holdfast_missing_rights{kind="BatchJob",verb="patch_status"}'
    eventually_sync(lambda: operator.metric(line) == 1, 60, "the right is missing")
    found = operator.page("/health")[1]["components"]["api"]
    assert found["state"] == "degraded" and right in found["message"], found
    assert operator.child is not None
    before = operator.child.pid
    set_rules(plane_http, path, whole)
    jobs.finished("held", "Succeeded", timeout=90)
    eventually_sync(lambda: operator.metric(line) == 0, 60, "nothing is missing")
    assert operator.page("/health")[1]["components"]["api"]["state"] == "ok"
    assert operator.alive and operator.child.pid == before


def set_rules(http: httpx.Client, path: str, rules: list[Object]) -> None:
    content = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
    http.patch(path, content=content, headers={"Content-Type": "application/json-patch+json"}).raise_for_status()
