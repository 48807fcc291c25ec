"""Metrics and health (requirements 9.1, 9.4)."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.api.batchjob_status import AttemptState, Phase
from controller.telemetry.health import Health
from controller.telemetry.metrics import (
    DEGRADED_REASONS,
    MAX_QUEUES,
    OUTCOMES,
    PHASES,
    Metrics,
    code_class,
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples of the text exposition by name and labels."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_every_label_value_exists_at_zero() -> None:
    """Requirement 9.1: labels exist from the start at zero."""
    found = samples(Metrics())
    for name, labels in (
        ("holdfast_jobs", {"phase": "Running"}),
        ("holdfast_attempts_ended_total", {"outcome": "Lost"}),
        ("holdfast_losses_total", {"policy": "Manual"}),
        ("holdfast_launches_total", {"result": "transient"}),
        ("holdfast_api_requests_total", {"verb": "patch_status", "kind": "BatchJob", "code": "409"}),
        ("holdfast_reconcile_errors_total", {"kind": "JobQueue", "reaction": "defect"}),
        ("holdfast_reconcile_duration_seconds_count", {"kind": "BatchJob"}),
        ("holdfast_workqueue_depth", {"state": "ready"}),
        ("holdfast_kubernetes_events_total", {"outcome": "dropped"}),
        ("holdfast_corrupt_objects", {"kind": "BatchJob"}),
        ("holdfast_orphans", {"kind": "process"}),
        ("holdfast_degraded", {"reason": "OlderEtcd"}),
        ("holdfast_queue_pending", {"queue": "other"}),
        ("holdfast_quarantined_files_total", {}),
        ("holdfast_state_free_bytes", {}),
    ):
        assert found[name, tuple(sorted(labels.items()))] == 0, name


def test_label_values_are_those_of_the_kinds() -> None:
    """Requirement 9.1: a phase or outcome that the models know is a label value."""
    assert set(PHASES) == {phase.value for phase in Phase}
    assert set(OUTCOMES) == {state.value for state in AttemptState if state.over}


def test_names_follow_the_conventions() -> None:
    """Requirement 9.1: prefix, base units and suffixes as Prometheus wants them."""
    for family in text_string_to_metric_families(Metrics().render().decode()):
        assert family.name.startswith(("holdfast_", "process_")), family.name
        assert family.documentation, family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name
        assert not family.name.endswith(("_ms", "_minutes", "_kb")), family.name


@pytest.mark.parametrize(
    ("status", "label"),
    [(200, "2xx"), (201, "2xx"), (404, "404"), (409, "409"), (422, "4xx"), (503, "5xx"), (None, "unreachable")],
)
def test_codes_are_few(status: int | None, label: str) -> None:
    """Requirement 9.1: bounded label values."""
    assert code_class(status) == label


def test_the_number_of_queue_labels_is_bounded() -> None:
    """Requirement 9.1: users name queues, so past a number of them they are counted together."""
    metrics = Metrics()
    for number in range(MAX_QUEUES + 3):
        metrics.set_queue(f"ns/q{number}", 2, 1)
    value = metrics.registry.get_sample_value
    assert value("holdfast_queue_pending", {"queue": "ns/q0"}) == 2
    assert value("holdfast_queue_pending", {"queue": "other"}) == 6
    assert value("holdfast_queue_running", {"queue": "other"}) == 3
    assert value("holdfast_queue_paused", {"queue": "other"}) == 0
    metrics.set_queue(f"ns/q{MAX_QUEUES}", 2, 1, paused=True)
    assert value("holdfast_queue_paused", {"queue": "other"}) == 1
    metrics.drop_queue(f"ns/q{MAX_QUEUES}")
    assert value("holdfast_queue_pending", {"queue": "other"}) == 4
    metrics.drop_queue("ns/q0")
    assert value("holdfast_queue_pending", {"queue": "ns/q0"}) is None
    assert value("holdfast_queue_paused", {"queue": "ns/q0"}) is None


def test_one_reason_at_a_time_is_the_degraded_one() -> None:
    """Requirement 7.3: degraded is told by a metric; a reason that did not exist at zero is a defect."""
    metrics = Metrics()
    metrics.set_degraded("OlderEtcd")
    metrics.set_degraded("OtherCluster")
    values = {r: metrics.registry.get_sample_value("holdfast_degraded", {"reason": r}) for r in DEGRADED_REASONS}
    assert {r for r, v in values.items() if v} == {"OtherCluster"}
    metrics.set_degraded(None)
    assert not any(metrics.registry.get_sample_value("holdfast_degraded", {"reason": r}) for r in DEGRADED_REASONS)
    with pytest.raises(ValueError, match="Whatever"):
        metrics.set_degraded("Whatever")


def test_two_controllers_in_one_process_do_not_share_metrics() -> None:
    """Habit 2: no globals; a test or a second controller has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.attempts_started.inc()
    assert second.registry.get_sample_value("holdfast_attempts_started_total") == 0


def test_health_names_what_fails() -> None:
    """Requirement 9.4: real checks behind /healthz and /readyz, by name."""
    health = Health()
    assert health.readyz().ok
    why: list[str] = []
    health.liveness("workers", lambda: why[0] if why else None)
    health.readiness("first pass", lambda: "not over")
    assert health.healthz().ok
    assert not health.readyz().ok
    assert "[-] first pass: not over" in health.readyz().text()
    health.readiness("first pass", None)
    assert health.readyz().ok
    why.append("stuck")
    assert not health.healthz().ok and not health.readyz().ok
    assert health.healthz().text() == "[-] workers: stuck\nfailed\n"
