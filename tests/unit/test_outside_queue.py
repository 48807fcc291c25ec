"""A job that names an outside queue: what of it is recorded, passed on and rebuilt (issue 7, item 3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.decisions.executors import outside_queue
from controller.decisions.job import decide
from controller.executors.base import AttemptId
from controller.executors.pod.manifest import job_of
from controller.reconcile.environment import Environment
from controller.reconcile.launch import launch_spec
from tests.unit.builders import HOST, NOW, JobBuilder, alive, job, outside, seen

CLUSTER = replace(HOST, executors=frozenset({"Pod"}), default_executor="Pod")
QUEUE = "kueue.x-k8s.io/queue-name"


def pod(queue: str) -> dict[str, object]:
    return {"image": "busybox", "labels": {QUEUE: queue}}


@pytest.mark.parametrize(
    ("builder", "executor", "expected"),
    [
        (outside(), "Pod", "team"),
        (outside(), "Process", ""),
        (job(), "Pod", ""),
        (job().with_spec(pod=pod(queue="b")), "Pod", "b"),
        (outside().with_spec(pod=pod(queue="b")), "Pod", "b"),
        (outside().with_spec(pod=pod(queue="")), "Pod", ""),
        (job().labeled(queue_name=""), "Pod", ""),
    ],
    ids=["label", "on a host", "none", "of the Pod", "the Pod's wins", "taken away", "empty"],
)
def test_which_queue_it_names(builder: JobBuilder, executor: str, expected: str) -> None:
    """4.1: as Kueue will read it from the Job."""
    assert outside_queue(builder.build(), executor) == expected


def test_the_start_is_recorded_with_its_queue() -> None:
    """2.3, design 1: what is recorded decides, not what the labels say later."""
    built = outside().with_spec(executor=None).build()
    admitted = decide(built, seen(granted=True, sequence=1), CLUSTER, NOW).status
    assert admitted.attempt is not None and admitted.attempt.outside_queue == "team"
    plain = decide(job().build(), seen(granted=True, sequence=1), HOST, NOW).status
    assert plain.attempt is not None and plain.attempt.outside_queue == ""


@pytest.mark.parametrize("declared", [outside(), outside().labeled(), outside().labeled(queue_name="other")])
@pytest.mark.parametrize("in_pod", [True, False])
def test_the_job_gets_the_queue_that_is_recorded(declared: JobBuilder, in_pod: bool) -> None:
    """2.3: what was started without a slot is never let run without a queue, nor the other way round."""
    if in_pod:
        declared = declared.with_spec(pod=pod(queue="changed"))
    with_slot = declared.starting().in_outside_queue("")
    for builder, expected in ((declared.starting().in_outside_queue(), "team"), (with_slot, None)):
        spec = launch_spec(builder.build(), AttemptId("uid-a", 1), Environment(), CLUSTER)
        assert spec.pod is not None and spec.annotations.get("outsideQueue") == expected
        made = job_of(spec, spec.pod)
        assert made["metadata"]["labels"].get(QUEUE) == expected
        assert made["spec"]["template"]["metadata"]["labels"].get(QUEUE) == (expected if in_pod else None)


def test_other_labels_of_such_queues_are_passed_on() -> None:
    """Issue 7, item 3: whatever the queue is."""
    builder = (
        outside().labeled(**{"kueue.x-k8s.io/priority-class": "high", "team": "x"}).starting().in_outside_queue("")
    )
    spec = launch_spec(builder.build(), AttemptId("uid-a", 1), Environment(), CLUSTER)
    assert spec.pod is not None and dict(spec.pod.labels) == {"kueue.x-k8s.io/priority-class": "high"}


def test_a_wiped_status_knows_its_queue_again() -> None:
    """1.3: from what the attempt carries; text that somebody made too long costs nothing else."""
    for carried, expected in (("team", "team"), ("", ""), ("x" * 99, "x" * 63)):
        look = seen(alive(), known=(1,), annotations={"outsideQueue": carried} if carried else {})
        rebuilt = decide(outside().build(), look, CLUSTER, NOW).status
        assert rebuilt.attempt is not None and rebuilt.attempt.outside_queue == expected
