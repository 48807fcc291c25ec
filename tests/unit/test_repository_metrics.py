"""The metrics of repositories: every label value at zero, names bounded, gauges from what is recorded (9.1)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controller.telemetry.repository_metrics import ALERTS, MAX_REPOSITORIES, RepositoryFigures, RepositoryMetrics


def repository(name: str, **changes: object) -> RepositoryFigures:
    base: dict[str, object] = {
        "name": name,
        "ready": True,
        "size_bytes": 7,
        "success": 0.5,
        "alerts": frozenset(),
        "holders": (),
        "fenced": 0,
    }
    return RepositoryFigures(**{**base, **changes})  # type: ignore[arg-type]


def test_labels_exist_at_zero() -> None:
    """9.1: an alert works from the first scrape on."""
    registry = CollectorRegistry()
    RepositoryMetrics(registry)
    for alert in ALERTS:
        assert registry.get_sample_value("holdfast_repository_alerts", {"alert": alert}) == 0
    assert registry.get_sample_value("holdfast_lock_grants_total", {"mode": "Exclusive"}) == 0
    assert registry.get_sample_value("holdfast_lock_releases_total", {"reason": "ForceReleased"}) == 0


def test_gauges_follow_what_is_recorded() -> None:
    """5.1: and a Repository that is gone is shown no more."""
    registry = CollectorRegistry()
    metrics = RepositoryMetrics(registry)
    held = repository("a/one", holders=("Shared", "Shared"), fenced=1, alerts=frozenset({"Slow"}))
    metrics.show([held, repository("a/two", ready=False, success=None)])
    assert registry.get_sample_value("holdfast_lock_holders", {"mode": "Shared"}) == 2
    assert registry.get_sample_value("holdfast_lock_holders_fenced") == 1
    assert registry.get_sample_value("holdfast_repository_alerts", {"alert": "Slow"}) == 1
    assert registry.get_sample_value("holdfast_repositories", {"ready": "false"}) == 1
    assert registry.get_sample_value("holdfast_repository_success_ratio", {"repository": "a/one"}) == 0.5
    metrics.show([repository("a/two")])
    assert registry.get_sample_value("holdfast_repository_ready", {"repository": "a/one"}) is None
    assert registry.get_sample_value("holdfast_repository_alerts", {"alert": "Slow"}) == 0


def test_names_are_bounded_and_keep_their_series() -> None:
    """9.1: however many there are, and whoever was named first stays."""
    registry = CollectorRegistry()
    metrics = RepositoryMetrics(registry)
    metrics.show([repository("z/first")])
    metrics.show([repository("z/first"), *(repository(f"a/{n:04}") for n in range(MAX_REPOSITORIES + 50))])
    shown = [s for m in registry.collect() if m.name == "holdfast_repository_ready" for s in m.samples]
    assert len(shown) == MAX_REPOSITORIES
    assert registry.get_sample_value("holdfast_repository_ready", {"repository": "z/first"}) == 1
    assert registry.get_sample_value("holdfast_repositories", {"ready": "true"}) == MAX_REPOSITORIES + 51
