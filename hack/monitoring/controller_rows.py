"""Rows of the dashboard about the controller: how it stands, what its last start found, its loop, its disk."""

from __future__ import annotations

from hack.monitoring.panel import Panel, Query, Row, mean

RED = ((1, "red"),)
GREEN_FROM_ONE = ((0, "red"), (1, "green"))

OVERVIEW = Row(
    "Controller",
    (
        Panel("Up", "Controllers that answer.", "short", (Query("sum(up{$T})", "up"),), "stat", GREEN_FROM_ONE, 4),
        Panel(
            "Admission",
            "1 while new jobs may start.",
            "short",
            (Query("max(holdfast_admission_gate_open{$T})", "open"),),
            "stat",
            GREEN_FROM_ONE,
            4,
        ),
        Panel(
            "Degraded",
            "Reasons why the controller does not do everything.",
            "short",
            (Query("sum(holdfast_degraded{$T})", "reasons"),),
            "stat",
            RED,
            4,
        ),
        Panel(
            "Waiting jobs",
            "In all queues.",
            "short",
            (Query("sum(instance:holdfast_queue_pending:sum{$T})", "waiting"),),
            "stat",
            width=4,
        ),
        Panel(
            "Running jobs",
            "In all queues.",
            "short",
            (Query("sum(instance:holdfast_queue_running:sum{$T})", "running"),),
            "stat",
            width=4,
        ),
        Panel(
            "Last start",
            "When the process of the controller began.",
            "dateTimeFromNow",
            (Query("max(process_start_time_seconds{$T}) * 1000", "start"),),
            "stat",
            width=4,
        ),
    ),
)

RECOVERY = Row(
    "Recovery",
    (
        Panel(
            "What the last start found",
            "Objects of the last start by what became of them.",
            "short",
            (Query("max by (outcome) (holdfast_recovery_objects{$T})", "{{outcome}}"),),
        ),
        Panel(
            "Phases of the last start",
            "How long each phase took; `kubectl get rr` has the starts before.",
            "s",
            (Query("max by (phase) (holdfast_recovery_phase_seconds{$T})", "{{phase}}"),),
        ),
        Panel(
            "Failed phases",
            "1 while a phase of the last start has failed, and while the recovery runs.",
            "short",
            (
                Query("max by (phase) (holdfast_recovery_phase_failed{$T}) > 0", "{{phase}} failed"),
                Query("max(holdfast_recovery_running{$T})", "running"),
            ),
            steps=RED,
        ),
        Panel(
            "Time to recover",
            "Mean of the starts since the process began, from exec to the end of the last phase.",
            "s",
            (mean("holdfast_recovery_duration_seconds"),),
        ),
        Panel(
            "Reattached and lost",
            "Attempts that held a slot at the last start.",
            "short",
            (Query("sum by (result) (holdfast_reattach_total{$T})", "{{result}}"),),
        ),
        Panel(
            "Starts",
            "Starts of the controller within an hour.",
            "short",
            (Query("changes(process_start_time_seconds{$T}[1h])"),),
            width=12,
        ),
        Panel(
            "Share that recovery saved",
            "Of the jobs that recovery took up lately and that have ended: share that succeeded.",
            "percentunit",
            (Query("holdfast_recovery_success_ratio{$T}"),),
            width=12,
        ),
    ),
)

INTEGRITY = Row(
    "Orphans and damage",
    (
        Panel(
            "Orphans",
            "What the last sweep found that belongs to nobody, by sort.",
            "short",
            (Query("sum by (kind) (holdfast_orphans{$T})", "{{kind}}"),),
        ),
        Panel(
            "Removed and reclaimed",
            "Orphans removed within an hour, by sort.",
            "short",
            (Query("sum by (kind) (increase(holdfast_orphans_removed_total{$T}[1h])) > 0", "{{kind}}"),),
        ),
        Panel(
            "Reclaimed since the start",
            "Memory (PSS) of leftover processes that were stopped, disk space of leftovers that were removed.",
            "bytes",
            (
                Query("sum(holdfast_orphan_memory_reclaimed_bytes_total{$T})", "memory"),
                Query("sum(holdfast_orphan_disk_reclaimed_bytes_total{$T})", "disk"),
            ),
        ),
        Panel(
            "Damaged share",
            "Share of objects and state files that are damaged or were set aside; over 5 % an alert rings.",
            "percentunit",
            (Query("holdfast_corrupt_ratio{$T}"),),
            steps=((0.05, "red"),),
        ),
        Panel(
            "Damaged objects",
            "Objects that were set aside, by kind.",
            "short",
            (Query("sum by (kind) (holdfast_corrupt_objects{$T}) > 0", "{{kind}}"),),
        ),
        Panel(
            "Files set aside",
            "Damaged files that were moved to quarantine since the start.",
            "short",
            (Query("holdfast_quarantined_files_total{$T}"),),
        ),
    ),
)

LOOP = Row(
    "API and reconcile loop",
    (
        Panel(
            "Calls to the API server",
            "By verb.",
            "reqps",
            (Query("sum by (verb) (rate(holdfast_api_requests_total{$T}[$__rate_interval]))", "{{verb}}"),),
            stacked=True,
        ),
        Panel(
            "Share of calls that fail",
            "5xx or no answer. Conflicts and missing objects are answers.",
            "percentunit",
            (Query("instance:holdfast_api_request_errors:ratio_rate5m{$T}"),),
            steps=((0.1, "red"),),
        ),
        Panel(
            "Latency of calls",
            "99 of 100 are quicker, by verb.",
            "s",
            (Query("instance_verb:holdfast_api_request_duration_seconds:p99_rate5m{$T} >= 0", "{{verb}}"),),
        ),
        Panel(
            "Reconcile latency",
            "99 of 100 passes are quicker, by kind.",
            "s",
            (Query("instance_kind:holdfast_reconcile_duration_seconds:p99_rate5m{$T} >= 0", "{{kind}}"),),
        ),
        Panel(
            "Reconciles that raised",
            "By the reaction that the error wants; a defect is a bug.",
            "ops",
            (Query("sum by (reaction) (rate(holdfast_reconcile_errors_total{$T}[$__rate_interval]))", "{{reaction}}"),),
        ),
        Panel(
            "Work queue",
            "Keys that are ready, delayed and in work.",
            "short",
            (Query("sum by (state) (holdfast_workqueue_depth{$T})", "{{state}}"),),
        ),
        Panel(
            "Oldest ready key",
            "How long it has waited for a worker.",
            "s",
            (Query("holdfast_workqueue_oldest_ready_seconds{$T}"),),
            steps=((60, "red"),),
        ),
        Panel(
            "Objects in the store",
            "By kind.",
            "short",
            (Query("max by (kind) (holdfast_store_objects{$T})", "{{kind}}"),),
        ),
        Panel(
            "CPU of the controller",
            "Cores.",
            "short",
            (Query("rate(process_cpu_seconds_total{$T}[$__rate_interval])"),),
        ),
        Panel("Memory of the controller", "Resident.", "bytes", (Query("process_resident_memory_bytes{$T}"),)),
        Panel(
            "Watch events",
            "By kind.",
            "ops",
            (Query("sum by (kind) (rate(holdfast_watch_events_total{$T}[$__rate_interval]))", "{{kind}}"),),
        ),
        Panel(
            "Missing rights",
            "Calls that the API server refuses for want of rights; `GET /health` names each right.",
            "short",
            (Query("holdfast_missing_rights{$T} > 0", "{{verb}} {{kind}}"),),
            steps=((1, "red"),),
        ),
    ),
)

STORAGE = Row(
    "Disk, Snapshots, audit",
    (
        Panel(
            "Free space",
            "Of the file system of the state directory, and the limit below which no job starts.",
            "bytes",
            (
                Query("holdfast_state_free_bytes{$T}", "free {{instance}}"),
                Query("holdfast_state_min_free_bytes{$T}", "limit {{instance}}"),
            ),
        ),
        Panel(
            "Age of the last good Snapshot",
            "Nothing where there is none.",
            "s",
            (Query("time() - (holdfast_snapshot_last_success_timestamp_seconds{$T} > 0)"),),
        ),
        Panel(
            "Snapshots",
            "Taken within a day, by result.",
            "short",
            (Query("sum by (result) (increase(holdfast_snapshots_total{$T}[1d]))", "{{result}}"),),
        ),
        Panel(
            "Time to take a Snapshot",
            "Mean since the process began.",
            "s",
            (mean("holdfast_snapshot_duration_seconds"),),
        ),
        Panel(
            "Audit lines",
            "Lines for the journal, by category.",
            "ops",
            (Query("sum by (category) (rate(holdfast_audit_lines_total{$T}[$__rate_interval]))", "{{category}}"),),
        ),
        Panel(
            "Dropped audit lines",
            "Within an hour; each is a gap in the journal.",
            "short",
            (Query("increase(holdfast_audit_dropped_total{$T}[1h])"),),
            steps=RED,
        ),
    ),
)
