"""The store (design 2; requirements 1.3, 7.5, 10.3)."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from controller.api.batchjob import BatchJob
from controller.api.keys import Key
from controller.kube.store import HOT, LAST_APPLIED, Change, ChangeType, Store, edited_before_seen
from controller.telemetry.metrics import Metrics

CREATED = "2026-11-20T12:00:00Z"


def raw(name: str = "a", version: int = 10, uid: str = "u1", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": CREATED,
            "managedFields": [{"manager": "kubectl", "operation": "Update", "time": CREATED}],
        },
        "spec": {"command": ["true"]},
        "status": status,
    }


def finished(number: int) -> dict[str, Any]:
    """A finished job as the controller leaves it: 2 KB of JSON."""
    at = "2026-11-20T13:00:00.123456Z"
    uid = f"6f1f0000-0000-4000-8000-{number:012d}"
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": "Completed",
            "message": "The command ended with exit code 0.",
            "observedGeneration": 1,
            "lastTransitionTime": at,
        }
        for kind in ("Admitted", "Running", "Complete", "Finished")
    ]
    attempt = {"id": f"{uid}.1", "number": 1, "state": "Succeeded", "startedAt": at, "finishedAt": at, "exitCode": 0}
    status = {"phase": "Succeeded", "sequence": number, "conditions": conditions, "attempt": attempt, "finishedAt": at}
    return raw(f"job-{number:05d}", 1000 + number, uid, **status)


KEY = Key("BatchJob", "default", "a")


@pytest.fixture
def store() -> Store:
    return Store(Metrics())


def test_the_newest_version_wins_and_older_ones_are_ignored(store: Store) -> None:
    """Design 2: older events than the stored version are ignored."""
    told: list[Change] = []
    store.listen(told.append)
    assert store.update("BatchJob", raw(version=10)) is not None
    assert store.update("BatchJob", raw(version=12, phase="Running")) is not None
    assert store.update("BatchJob", raw(version=11)) is None
    assert store.update("BatchJob", raw(version=12)) is None
    assert [change.type for change in told] == [ChangeType.ADDED, ChangeType.MODIFIED]
    assert told[1].old is not None and told[1].old.metadata.version == 10
    job = store.job(KEY)
    assert job is not None and job.status.phase == "Running"
    assert store.highest_version("BatchJob") == 12


def test_versions_are_compared_as_integers(store: Store) -> None:
    """Design 2: comparable integers within one resource type."""
    store.update("BatchJob", raw(version=9))
    assert store.update("BatchJob", raw(version=10)) is not None


def test_a_late_answer_does_not_revive_a_deleted_object(store: Store) -> None:
    """Design 2: deleted keys keep a tombstone."""
    store.update("BatchJob", raw(version=10))
    change = store.delete("BatchJob", raw(version=12))
    assert change is not None and change.type == ChangeType.DELETED and change.old is not None
    assert store.update("BatchJob", raw(version=11)) is None
    assert store.update("BatchJob", raw(version=13)) is None
    assert store.get(KEY) is None


def test_tombstones_go_after_ten_minutes() -> None:
    """Design 2: tombstones are kept for 10 min, so that they do not pile up."""
    now = [0.0]
    store = Store(Metrics(), clock=lambda: now[0])
    store.delete("BatchJob", raw(version=10))
    now[0] = 599
    store.delete("BatchJob", raw(name="b", uid="u2", version=11))
    assert store.update("BatchJob", raw(version=12)) is None
    now[0] = 601
    store.delete("BatchJob", raw(name="c", uid="u3", version=13))
    assert store.update("BatchJob", raw(version=14)) is not None


def test_an_object_made_again_under_the_same_name_is_another_one(store: Store) -> None:
    """Issue 3, faults: deleted and created again under the same name, also when the deletion was not told."""
    told: list[Change] = []
    store.listen(told.append)
    store.update("BatchJob", raw(version=10, uid="old"))
    store.update("BatchJob", raw(version=20, uid="new"))
    assert [(c.type, (c.new or c.old).metadata.uid) for c in told if c.new or c.old] == [
        (ChangeType.ADDED, "old"),
        (ChangeType.DELETED, "old"),
        (ChangeType.ADDED, "new"),
    ]
    assert store.delete("BatchJob", raw(version=15, uid="old")) is None
    assert store.get(KEY) is not None
    assert store.update("BatchJob", raw(version=21, uid="old")) is None


def test_what_does_not_parse_is_set_aside_and_the_rest_goes_on() -> None:
    """Requirement 7.5: corrupt objects are counted, set aside and never stop the rest."""
    metrics = Metrics()
    store = Store(metrics)
    store.update("BatchJob", raw(name="good", uid="u2", version=5))
    store.update("BatchJob", raw(version=10))
    change = store.update("BatchJob", raw(version=11, phase="Nonsense"))
    assert change is not None and change.type == ChangeType.CORRUPT and "phase" in change.error
    assert store.corrupt[KEY].version == 11
    kept = store.get(KEY)
    assert kept is not None and kept.metadata.version == 10
    assert metrics.registry.get_sample_value("holdfast_corrupt_objects", {"kind": "BatchJob"}) == 1
    assert store.update("BatchJob", raw(version=11, phase="Nonsense")) is None
    assert store.update("BatchJob", raw(version=12, phase="Queued")) is not None
    assert store.corrupt == {}
    assert metrics.registry.get_sample_value("holdfast_corrupt_objects", {"kind": "BatchJob"}) == 0


def test_a_corrupt_object_that_never_parsed_can_be_deleted(store: Store) -> None:
    """Requirement 7.5."""
    store.update("BatchJob", raw(version=11, phase="Nonsense"))
    assert store.versions("BatchJob") == {KEY: ("u1", 11)}
    change = store.delete("BatchJob", raw(version=12))
    assert change is not None and change.type == ChangeType.DELETED
    assert store.corrupt == {} and store.versions("BatchJob") == {}


def manager(name: str, at: str = CREATED, subresource: str = "") -> dict[str, str]:
    return {"manager": name, "operation": "Update", "time": at, "subresource": subresource}


@pytest.mark.parametrize(
    ("generation", "managers", "edited"),
    [
        (1, [manager("kubectl-create")], False),
        (2, [manager("kubectl-create")], True),
        (1, [manager("kubectl-create"), manager("kubectl-label")], True),
        (1, [manager("kubectl-create"), manager("holdfast", subresource="status")], True),
        (1, [manager("holdfast", subresource="status")], True),
        (1, [manager("kubectl-create", "2026-11-20T12:00:01Z")], True),
        (1, [], True),
    ],
)
def test_an_edit_before_the_first_sight_is_told(
    store: Store, generation: int, managers: list[dict[str, str]], edited: bool
) -> None:
    """Design 4: the version first seen is the sequence only where the object was not edited before."""
    obj = raw()
    obj["metadata"] |= {"generation": generation, "managedFields": managers}
    assert edited_before_seen(obj) is edited
    change = store.update("BatchJob", obj)
    assert change is not None and change.edited_before_seen is edited


def test_what_nobody_reads_is_dropped_and_the_argument_is_left_alone(store: Store) -> None:
    """Design 2: the store drops managedFields; kopf goes on using the object that it handed over."""
    obj = raw()
    obj["metadata"]["annotations"] = {LAST_APPLIED: "x" * 5000, "mine": "kept"}
    store.update("BatchJob", obj)
    job = store.job(KEY)
    assert job is not None and job.metadata.annotations == {"mine": "kept"}
    assert obj["metadata"]["managedFields"] and LAST_APPLIED in obj["metadata"]["annotations"]


def test_cold_objects_read_the_same_as_hot_ones(store: Store) -> None:
    """Requirement 10.3: only some models are kept parsed; a read gives the same whichever they are."""
    numbers = range(HOT + 100)
    for number in numbers:
        store.update("BatchJob", finished(number))
    for number in (0, 1, HOT + 99):
        expected = BatchJob.model_validate(finished(number))
        assert store.get(Key("BatchJob", "default", f"job-{number:05d}")) == expected
    assert len(list(store.items("BatchJob"))) == store.count("BatchJob") == len(numbers)


def test_ten_thousand_finished_jobs_fit() -> None:
    """Requirement 10.3: the controller stays below 250 MB at 10,000 objects; the store's share is at most 70."""
    store = Store(Metrics())
    tracemalloc.start()
    try:
        for number in range(10_000):
            store.update("BatchJob", finished(number))
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 70 * 1024**2
