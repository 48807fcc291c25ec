"""Alerts about starts: what a recovery found, what it could not do, how long it takes; and about Snapshots.

A start counts before it is scraped for the first time: what it counted is seen by `grew`, not by `increase` alone.
"""

from __future__ import annotations

from hack.monitoring.rule import Alert, Group, grew

RECOVERY = Group(
    "holdfast.recovery",
    (
        Alert(
            "HoldfastDegraded",
            # A full disk and a failed phase have alerts of their own.
            'holdfast_degraded{reason!~"DiskFull|RecoveryFailed"} == 1',
            60,
            "critical",
            "The controller found something that it must not touch, and waits for a person.",
            "The controller {{ $labels.instance }} is degraded: {{ $labels.reason }}.",
        ),
        Alert(
            "HoldfastRecoveryFailed",
            # Phases are tried again by themselves; what heals within two minutes woke nobody.
            "holdfast_recovery_phase_failed == 1",
            120,
            "critical",
            "A phase of the recovery has failed: what depends on it stands still.",
            "The phase {{ $labels.phase }} of the last start of {{ $labels.instance }} has failed.",
        ),
        Alert(
            "HoldfastRecoverySlow",
            # The target is 60 s (issue: success criteria of a recovery); 10,000 objects take 6 s.
            "holdfast_recovery_running == 1",
            300,
            "warning",
            "A recovery does not come to its end.",
            "The last start of {{ $labels.instance }} has been recovering for over 5 minutes.",
        ),
        Alert(
            "HoldfastRecoveryAborted",
            # It is done again, so one is no harm; over and over is HoldfastControllerCrashLooping.
            grew('holdfast_recoveries_total{result="Aborted"}'),
            0,
            "info",
            "A start died before its recovery was over.",
            "The controller {{ $labels.instance }} found the report of an earlier start still open.",
        ),
        Alert(
            "HoldfastReattachFailed",
            # A level would ring for ever: the count stays until the next start. An hour is enough to be seen.
            grew('holdfast_reattach_total{result="failed"}'),
            0,
            "warning",
            "Running attempts were lost over a restart.",
            "The controller {{ $labels.instance }} could not go on with attempts that ran before its start.",
        ),
        Alert(
            "HoldfastCorruptState",
            # Requirement 7.5. What is damaged stays out of the work; more than 5 % is no single bad file, but a disk.
            "holdfast_corrupt_ratio > 0.05",
            300,
            "critical",
            "Much of the state is damaged.",
            "{{ $value | humanizePercentage }} of the objects and state files of {{ $labels.instance }} are damaged or "
            "were set aside.",
        ),
        Alert(
            "HoldfastSnapshotTooOld",
            # Whatever the schedule is: a good one has to be newer than its last moment, with an hour to be taken.
            "holdfast_snapshot_last_success_timestamp_seconds < holdfast_snapshot_due_timestamp_seconds",
            3600,
            "warning",
            "The last good Snapshot is older than the schedule wants.",
            "The last good Snapshot of {{ $labels.instance }} ended {{ $value | humanizeTimestamp }}, and the schedule "
            "has wanted a newer one for an hour.",
        ),
    ),
)
