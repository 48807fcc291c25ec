"""Cases of the alerts about starts."""

from __future__ import annotations

from tests.rules.ringing import Case, Ring

ABORTED = "The controller h:9400 found the report of an earlier start still open."
LOST = "The controller h:9400 could not go on with attempts that ran before its start."

CASES = (
    Case(
        "HoldfastDegraded",
        "another cluster, then holdfast adopt",
        {'holdfast_degraded{reason="OtherCluster"}': "0x9 1x9 0x9", 'holdfast_degraded{reason="DiskFull"}': "1x90"},
        (
            (9, None),
            (10, None),
            (12, Ring("The controller h:9400 is degraded: OtherCluster.", {"reason": "OtherCluster"})),
            (21, None),
        ),
    ),
    Case(
        "HoldfastDegraded",
        "what has alerts of its own",
        {'holdfast_degraded{reason="RecoveryFailed"}': "1x90", 'holdfast_degraded{reason="DiskFull"}': "1x90"},
        ((40, None),),
    ),
    Case(
        "HoldfastRecoveryFailed",
        "a phase fails, and heals without a restart",
        {
            'holdfast_recovery_phase_failed{phase="locks"}': "0x9 1x9 0x9",
            'holdfast_recovery_phase_failed{phase="queue"}': "0x40",
        },
        (
            (9, None),
            (11, None),
            (13, Ring("The phase locks of the last start of h:9400 has failed.", {"phase": "locks"})),
            (20, None),
        ),
    ),
    Case(
        "HoldfastRecoverySlow",
        "ten minutes for a start",
        {"holdfast_recovery_running": "0x9 1x9 0x9"},
        (
            (9, None),
            (14, None),
            (16, Ring("The last start of h:9400 has been recovering for over 5 minutes.")),
            (20, None),
        ),
    ),
    Case(
        "HoldfastRecoverySlow",
        "starts that crash, each quick to be over",
        {"holdfast_recovery_running": "1x2 0 1x2 0 stale _x2 1x2 0 1x2 0x9"},
        ((5, None), (12, None), (20, None)),
    ),
    Case(
        "HoldfastRecoveryAborted",
        "two starts in a row die: the count is 1 in each process",
        {
            'holdfast_recoveries_total{result="Aborted"}': "0x9 1x9 1x80 0x20",
            "process_start_time_seconds": "0x9 600x9 1200x80 6000x20",
        },
        (
            (9, None),
            (12, Ring(ABORTED, {"result": "Aborted"})),
            (75, Ring(ABORTED, {"result": "Aborted"})),
            (90, None),
        ),
    ),
    Case(
        "HoldfastRecoveryAborted",
        "this start ended well",
        {
            'holdfast_recoveries_total{result="Aborted"}': "0x40",
            'holdfast_recoveries_total{result="Complete"}': "1x40",
            "process_start_time_seconds": "0x40",
        },
        ((9, None), (30, None)),
    ),
    Case(
        "HoldfastReattachFailed",
        "two are lost by a restart",
        {
            'holdfast_reattach_total{result="failed"}': "0x9 2x90",
            'holdfast_reattach_total{result="ok"}': "3x9 9x90",
            "process_start_time_seconds": "0x9 600x90",
        },
        (
            (9, None),
            (12, Ring(LOST, {"result": "failed"})),
            (60, Ring(LOST, {"result": "failed"})),
            (75, None),
        ),
    ),
    Case(
        "HoldfastReattachFailed",
        "the first scrape ever finds it",
        {'holdfast_reattach_total{result="failed"}': "_x9 2x90", "process_start_time_seconds": "_x9 540x90"},
        ((8, None), (12, Ring(LOST, {"result": "failed"})), (75, None)),
    ),
    Case(
        "HoldfastCorruptState",
        "a third is damaged, then mended",
        {"holdfast_corrupt_ratio": "0x9 0.3333x19 0.01x9"},
        (
            (9, None),
            (12, None),
            (17, Ring("33.33% of the objects and state files of h:9400 are damaged or were set aside.")),
            (31, None),
        ),
    ),
    Case("HoldfastCorruptState", "a twentieth is bearable", {"holdfast_corrupt_ratio": "0.05x40"}, ((20, None),)),
    Case(
        "HoldfastSnapshotTooOld",
        "the schedule wants one, and two hours later it is there",
        {
            "holdfast_snapshot_due_timestamp_seconds": "60x9 600x150",
            "holdfast_snapshot_last_success_timestamp_seconds": "70x129 7800x20",
        },
        (
            (9, None),
            (60, None),
            (
                75,
                Ring(
                    "The last good Snapshot of h:9400 ended 1970-01-01 00:01:10 +0000 UTC, and the schedule has wanted "
                    "a newer one for an hour."
                ),
            ),
            (131, None),
        ),
    ),
    Case(
        "HoldfastSnapshotTooOld",
        "no schedule, no Snapshot",
        {
            "holdfast_snapshot_due_timestamp_seconds": "0x150",
            "holdfast_snapshot_last_success_timestamp_seconds": "0x150",
        },
        ((100, None),),
    ),
)
