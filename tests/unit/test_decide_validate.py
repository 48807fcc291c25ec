"""What the API server cannot judge ends the job with the field's name (1.2), and merge patches (RFC 7386)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.batchjob_status import Phase
from controller.api.conditions import find
from controller.decisions.job import decide
from controller.decisions.validate import invalid
from controller.reconcile.merge import difference
from tests.unit.builders import HOST, at, job, seen
from tests.unit.world import merged

PODS = replace(HOST, executors=frozenset({"Process", "Pod"}), default_executor="Pod", workspace_image="git:1")
IMAGE = {"image": "busybox"}


def with_push(**template: Any) -> dict[str, Any]:
    """A spec whose push is published by a Pod with this template."""
    return {"pod": {**IMAGE, "template": {"spec": template}}, "repository": {"name": "shop", "push": "Upstream"}}


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({"executor": "Pod"}, "ExecutorNotEnabled", "spec.executor"),
        ({"deadline": "0s"}, "InvalidSpec", "spec.deadline"),
        ({"retry": {"backoff": "2m", "maxBackoff": "1m"}}, "InvalidSpec", "spec.retry.backoff"),
        ({"limits": {"memory": "512"}}, "InvalidSpec", "spec.limits.memory"),
        ({"limits": {"cpu": "0"}}, "InvalidSpec", "spec.limits.cpu"),
        ({"limits": {"outputBytes": "0"}}, "InvalidSpec", "spec.limits.outputBytes"),
        ({"command": [""]}, "InvalidSpec", "spec.command[0]"),
    ],
)
def test_a_combination_that_cannot_run_ends_the_job(spec: dict[str, Any], reason: str, field: str) -> None:
    """1.2: Failed with reason and a message that names the field; nothing is started, nothing is repeated."""
    declared = job().with_spec(**spec).build()
    found = invalid(declared.spec, HOST)
    assert found is not None
    assert found[0] == reason and found[1].startswith(field)
    plan = decide(declared, seen(granted=True), HOST, at(1))
    assert (plan.status.phase, plan.status.reason, plan.actions) == (Phase.FAILED, reason, ())


def test_what_can_run_is_let_through() -> None:
    """1.2"""
    spec = {"deadline": "1ms", "limits": {"memory": "1Mi", "cpu": "10m", "outputBytes": "1Ki"}, "args": [""]}
    assert invalid(job().with_spec(**spec).build().spec, HOST) is None
    assert invalid(job().with_spec(executor="Pod", pod=IMAGE).build().spec, PODS) is None


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({}, "InvalidSpec", "spec.pod.image"),
        ({"pod": IMAGE, "repository": {"name": "shop", "push": "Mirror"}}, "Unsupported", "spec.repository.push"),
        (with_push(containers=[{"name": "log"}]), "Unsupported", "spec.pod.template.spec.containers[log]"),
        (
            with_push(containers=[{"name": "main", "livenessProbe": {"exec": {}}}]),
            "Unsupported",
            "spec.pod.template.spec.containers[main].livenessProbe",
        ),
        (with_push(shareProcessNamespace=True), "Unsupported", "spec.pod.template.spec.shareProcessNamespace"),
        (with_push(hostPID=True), "Unsupported", "spec.pod.template.spec.hostPID"),
        ({"pod": IMAGE, "onLost": "Resume"}, "Unsupported", "spec.onLost"),
        ({"pod": IMAGE, "limits": {"openFiles": 64}}, "Unsupported", "spec.limits.openFiles"),
    ],
)
def test_what_cannot_work_in_a_pod_is_refused(spec: dict[str, Any], reason: str, field: str) -> None:
    """4.1: and not ignored; the default executor counts where the job names none."""
    plan = decide(job().with_spec(**spec).build(), seen(granted=True), PODS, at(1))
    assert (plan.status.phase, plan.status.reason, plan.actions) == (Phase.FAILED, reason, ())
    failed = find(plan.status.conditions, "Failed")
    assert failed is not None and failed.message.startswith(field)


def test_a_repository_in_a_pod_needs_an_image_that_makes_workspaces() -> None:
    """4.1: with one it may run."""
    spec = job().with_spec(pod=IMAGE, repository={"name": "shop"}).build().spec
    refused = invalid(spec, replace(PODS, workspace_image=""))
    assert refused is not None and refused[0] == "Unsupported" and "HOLDFAST_WORKSPACE_IMAGE" in refused[1]
    assert invalid(spec, PODS) is None


@pytest.mark.parametrize(
    "template",
    [{}, {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}, {"containers": [{"name": "main"}]}],
)
def test_a_pod_may_publish(template: dict[str, Any]) -> None:
    """4.1, 5.5: with native sidecars too; what is no template at all is the API server's to refuse."""
    assert invalid(job().with_spec(**with_push(**template)).build().spec, PODS) is None
    odd = {"pod": {**IMAGE, "template": {"spec": "x"}}, "repository": {"name": "shop", "push": "Upstream"}}
    assert invalid(job().with_spec(**odd).build().spec, PODS) is None


def test_an_attempt_of_a_pod_belongs_to_the_cluster() -> None:
    """4.2: its record names executor Pod and no state directory, so that any controller may take it up."""
    plan = decide(job().with_spec(pod=IMAGE).build(), seen(granted=True), PODS, at(1))
    attempt = plan.status.attempt
    assert attempt is not None and (attempt.executor, attempt.state_id, attempt.host) == ("Pod", "", "")


SCALARS = st.sampled_from([True, False, "", "x", 2, 3])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OBJECTS, OBJECTS)
def test_a_patch_makes_the_new_from_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    """10.1: and is empty exactly where nothing changed."""
    patch = difference(old, new)
    assert merged(old, patch) == new
    assert (patch == {}) == (old == new)
