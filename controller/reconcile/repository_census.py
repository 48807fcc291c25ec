"""What the metrics say of repositories: gauges from what is recorded, counters from what is about to be."""

from __future__ import annotations

from collections.abc import Iterable

from controller.api.conditions import find, is_true
from controller.api.repository import Lock, OperationState, Repository, RepositoryStatus
from controller.decisions.holders import Gone
from controller.kube.store import Store
from controller.telemetry.repository_metrics import RepositoryFigures, RepositoryMetrics


def figures(store: Store) -> list[RepositoryFigures]:
    """Of every Repository in the store."""
    return [_figures(found) for _, found in store.items("Repository") if isinstance(found, Repository)]


def _figures(repository: Repository) -> RepositoryFigures:
    status, conditions = repository.status, repository.status.conditions
    alerts = {kind for kind in ("Failing", "Slow", "Stale", "Diverged") if is_true(conditions, kind)}
    sound = find(conditions, "LockSound")
    if sound is not None and sound.status != "True":
        alerts.add("LockUnsound")
    holders = status.lock.holders if status.lock is not None else ()
    return RepositoryFigures(
        name=f"{repository.metadata.namespace}/{repository.metadata.name}",
        ready=is_true(conditions, "Ready"),
        size_bytes=status.size_bytes,
        success=status.success_percent / 100 if status.success_percent is not None else None,
        alerts=frozenset(alerts),
        holders=tuple(holder.mode.value for holder in holders),
        fenced=sum(holder.fenced_at is not None for holder in holders),
    )


def count(metrics: RepositoryMetrics, old: RepositoryStatus, new: RepositoryStatus, gone: Iterable[Gone]) -> None:
    """What happened between two recorded statuses."""
    ended = new.operation
    if ended is not None and ended.state is not OperationState.STARTING and ended != old.operation:
        metrics.operations.labels(ended.type.value, ended.state.value).inc()
        if ended.finished_at is not None:
            seconds = (ended.finished_at - ended.started_at).total_seconds()
            metrics.operation_seconds.labels(ended.type.value).observe(max(0.0, seconds))
    before = {holder.token for holder in (old.lock or Lock()).holders}
    for holder in (new.lock or Lock()).holders:
        if holder.token not in before:
            metrics.grants.labels(holder.mode.value).inc()
    for each in gone:
        metrics.releases.labels(each.reason).inc()
