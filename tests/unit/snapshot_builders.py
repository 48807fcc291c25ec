"""Snapshots as the API server tells them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from controller.api.snapshot import SCHEDULED_FOR, Snapshot

T0 = datetime(2026, 11, 20, 12, tzinfo=UTC)


def snapshot(name: str = "a", *, scheduled: datetime | None = None, keep: bool = False, **status: Any) -> Snapshot:
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"{name:0>8}-uid", "generation": 1}
    if scheduled is not None:
        meta["annotations"] = {SCHEDULED_FOR: scheduled.isoformat()}
    return Snapshot.model_validate({"metadata": meta, "spec": {"keep": keep}, "status": status})


def ended(name: str, hours_ago: float, phase: str = "Complete", **more: Any) -> Snapshot:
    at = T0 - timedelta(hours=hours_ago)
    return snapshot(name, phase=phase, finishedAt=at.isoformat(), **more)
