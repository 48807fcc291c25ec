"""Builders of claims, holders and looks for the tests of the lock; nothing here decides anything."""

from __future__ import annotations

from typing import Any

from controller.api.repository import Holder, Lock, LockPolicy
from controller.api.repository_use import LockMode
from controller.decisions.holders import Look, Record
from controller.decisions.lock import Claim
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner
from tests.unit.builders import at

S, X = LockMode.SHARED, LockMode.EXCLUSIVE
KEEP = LockPolicy(lease_duration="5m")
GIVE_ON = LockPolicy.model_validate({"leaseDuration": "5m", "whenSilent": "GiveOn"})


def claim(name: str, sequence: int, mode: LockMode = X, priority: int = 0, person: bool = False) -> Claim:
    """A waiting claim; its uid is `uid-<name>`, a job's attempt `<name>.1`."""
    order = (-priority, sequence, 0.0, name)
    owner = {} if person else {"job": name, "attempt": f"{name}.1"}
    return Claim(order, f"uid-{name}", name, mode, **owner)


def holder(name: str, token: int, mode: LockMode = X, person: bool = False, **more: Any) -> Holder:
    """A recorded holder, granted at START."""
    attempt = "" if person else f"{name}.1"
    fields = {"attempt": attempt, "granted_at": at(0)} | more
    return Holder(claim=name, uid=f"uid-{name}", mode=mode, token=token, **fields)


def lock(*holders: Holder, token: int | None = None) -> Lock:
    """A recorded lock; its token is the largest of its holders unless given."""
    return Lock(token=max((h.token for h in holders), default=0) if token is None else token, holders=holders)


def look(evidence: Evidence = Evidence.UNKNOWN, record: Record = Record.ACTIVE, left: int = 0, **more: Any) -> Look:
    """A look at a job's holder."""
    found = Observation(evidence, processes_left=left)
    return Look(**({"claim": Owner.PRESENT, "record": record, "found": found} | more))
