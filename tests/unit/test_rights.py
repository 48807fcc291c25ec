"""Rights that are missing, told from answers (issue 7, "RBAC taken away under way")."""

from __future__ import annotations

import pytest

from controller.telemetry.metrics import Metrics

SAID = (
    'batchjobs.holdfast.dev "a" is forbidden: User "system:serviceaccount:x" cannot patch resource "batchjobs/status" '
    'in API group "holdfast.dev" in the namespace "team"'
)


def test_it_is_named_and_forgotten_with_the_next_answer() -> None:
    """The verb and the resource as a Role would name them."""
    rights = Metrics().rights
    rights.refused("patch_status", "BatchJob", SAID)
    assert rights.missing == ["patch batchjobs.holdfast.dev/status in namespace team"]
    rights.granted("patch", "BatchJob")
    assert rights.missing
    rights.granted("patch_status", "BatchJob")
    assert rights.missing == []


def test_a_whole_cluster_and_a_core_kind() -> None:
    """Neither a namespace nor a group to name."""
    rights = Metrics().rights
    rights.refused("list", "Pod", 'User "u" cannot list resource "pods" in API group "" at the cluster scope')
    assert rights.missing == ["list pods"]


def test_a_watch_is_refused_by_rights_alone() -> None:
    """Its answer was not read."""
    rights = Metrics().rights
    rights.refused("watch", "JobQueue", None)
    assert rights.missing == ["watch JobQueue"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Job", 'jobs.batch "a" is forbidden: exceeded quota: none, requested: count/jobs.batch=1'),
        ("Event", "unable to create new content in namespace x because it is being terminated"),
        ("Job", 'admission webhook "w" denied the request: no'),
        ("Secret", SAID),
    ],
)
def test_other_refusals_are_none(kind: str, said: str) -> None:
    """Quotas, webhooks, namespaces that go away, and Secrets, whose rights are restricted on purpose."""
    rights = Metrics().rights
    rights.refused("create", kind, said)
    assert rights.missing == []
