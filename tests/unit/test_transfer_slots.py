"""The limit of operations on remotes at once holds before any record is written (7.4, setting `max_transfers`)."""

from __future__ import annotations

from typing import Any

from controller.api.keys import Key
from controller.api.repository import OperationState, OperationType, RepositoryStatus
from controller.kube.store import Store
from controller.reconcile.transfer_slots import TransferSlots
from controller.telemetry.metrics import Metrics
from tests.unit.repository_builders import operation

METRICS = Metrics("test")
IDLE = RepositoryStatus()
FETCHES = RepositoryStatus(operation=operation(1, OperationType.FETCH, OperationState.STARTING))
VERIFIES = RepositoryStatus(operation=operation(1, OperationType.VERIFY, OperationState.STARTING))


def key(name: str) -> Key:
    return Key("Repository", "default", name)


def store(*names: str, **status: RepositoryStatus) -> Store:
    made = Store(METRICS)
    for version, name in enumerate(names, 100):
        put(made, name, status.get(name, IDLE), version)
    return made


def put(made: Store, name: str, status: RepositoryStatus, version: int) -> None:
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    meta |= {"resourceVersion": str(version), "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    made.update("Repository", {"metadata": meta, "spec": {"url": "https://x.example/y"}, "status": status.to_json()})


def test_what_is_decided_counts_before_it_is_recorded() -> None:
    """7.4: Repositories that are due together see each other, though none has a record yet."""
    slots = TransferSlots(store("a", "b", "c"), 2)
    for name in ("a", "b"):
        assert slots.free_for(key(name))
        slots.decided(key(name), FETCHES)
    assert not slots.free_for(key("c"))
    assert slots.free_for(key("a")), "its own slot is its own"


def test_record_and_decision_of_one_are_one_slot() -> None:
    """A slot is not taken twice, and comes free when both say that it is over, or the Repository is gone."""
    made = store("a", "b", a=FETCHES)
    slots = TransferSlots(made, 1)
    slots.decided(key("a"), FETCHES)
    assert not slots.free_for(key("b"))
    slots.decided(key("a"), IDLE)
    assert not slots.free_for(key("b")), "the record says that it runs"
    put(made, "a", IDLE, 200)
    assert slots.free_for(key("b"))
    slots.decided(key("a"), FETCHES)
    slots.gone(key("a"))
    assert slots.free_for(key("b"))


def test_a_verify_takes_none() -> None:
    """It talks to no remote."""
    slots = TransferSlots(store("a", "b"), 1)
    slots.decided(key("a"), VERIFIES)
    assert slots.free_for(key("b"))
