"""Alerts about the controller itself: whether it is there, whether its loop turns, whether it has room.

A target is Holdfast's where it has served holdfast_build_info: no name of a scrape job has to be known.
"""

from __future__ import annotations

from hack.monitoring.rule import Alert, Group, grew

KNOWN = "last_over_time(holdfast_build_info[1d])"

CONTROLLER = Group(
    "holdfast.controller",
    (
        Alert(
            "HoldfastControllerDown",
            # Of a leader and its stand-bys one is enough. Two minutes outlast a restart and an upgrade.
            f"max by (cluster, namespace, job) (up and on (job, instance) {KNOWN}) == 0",
            120,
            "critical",
            "No Holdfast controller answers.",
            "No controller of the scrape job {{ $labels.job }} could be scraped for 2 minutes. Running jobs go on; "
            "nothing is started, recorded or called back.",
        ),
        Alert(
            "HoldfastControllerAbsent",
            # What is down and still a target is told by HoldfastControllerDown.
            f"absent(holdfast_build_info) unless on () (up == 0 and on (job, instance) {KNOWN})",
            600,
            "critical",
            "No Holdfast controller is scraped at all.",
            "Prometheus has no target that is a Holdfast controller: it was removed, or the scrape configuration does "
            "not find it.",
        ),
        Alert(
            "HoldfastControllerCrashLooping",
            # An upgrade is one change, a person's tries two or three; CrashLoopBackOff makes six and more.
            "(changes(process_start_time_seconds[30m])"
            " and on (job, instance) last_over_time(holdfast_build_info[30m])) > 3",
            60,
            "critical",
            "The Holdfast controller is started again and again.",
            "The controller {{ $labels.instance }} was started {{ $value }} times within 30 minutes.",
        ),
        Alert(
            "HoldfastReconcileStuck",
            # 10,000 objects of a start are through in 5 s; a key that waits for a minute waits for a worker that hangs.
            "holdfast_workqueue_oldest_ready_seconds > 60",
            300,
            "critical",
            "The reconcile loop does not keep up.",
            "The oldest key in the work queue of {{ $labels.instance }} has been ready for "
            "{{ $value | humanizeDuration }}.",
        ),
        Alert(
            "HoldfastApiErrors",
            # The ratio is 0/0, so nothing, where no call was made: an idle controller makes none.
            "instance:holdfast_api_request_errors:ratio_rate5m > 0.1",
            600,
            "warning",
            "Calls to the API server fail.",
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.instance }} to the API server are answered "
            "with 5xx or not at all.",
        ),
        Alert(
            "HoldfastMissingRights",
            # A role that is replaced during an upgrade is back within seconds; a refused call is tried again for ever.
            "holdfast_missing_rights > 0",
            300,
            "critical",
            "The API server refuses calls of the controller for want of rights.",
            "{{ $labels.instance }} may not {{ $labels.verb }} {{ $labels.kind }} for 5 minutes: what needs it stands "
            "still, running jobs go on.",
        ),
    ),
)

STORAGE = Group(
    "holdfast.storage",
    (
        Alert(
            "HoldfastDiskFull",
            "holdfast_state_free_bytes < holdfast_state_min_free_bytes",
            60,
            "critical",
            "No job starts: the disk of the state directory is full.",
            "The file system of the state directory of {{ $labels.instance }} has {{ $value | humanize1024 }}B free, "
            "less than HOLDFAST_MIN_FREE_BYTES. Below half of it the jobs that print most are ended.",
        ),
        Alert(
            "HoldfastDiskNearFull",
            # Twice the limit, or at the pace of the last 6 hours at the limit within 4: time to act in working hours.
            # Jobs that write much come and go: the pace counts only where little room is left (20 GiB by default).
            "(holdfast_state_free_bytes < 2 * holdfast_state_min_free_bytes"
            " or (predict_linear(holdfast_state_free_bytes[6h], 14400) < holdfast_state_min_free_bytes"
            " and holdfast_state_free_bytes < 10 * holdfast_state_min_free_bytes))"
            " unless holdfast_state_free_bytes < holdfast_state_min_free_bytes",
            900,
            "warning",
            "The disk of the state directory is nearly full.",
            "The file system of the state directory of {{ $labels.instance }} comes close to HOLDFAST_MIN_FREE_BYTES, "
            "below which no job starts.",
        ),
        Alert(
            "HoldfastAuditLinesDropped",
            # A gap stays a gap: an hour is enough to be seen.
            grew("holdfast_audit_dropped_total"),
            0,
            "warning",
            "The audit journal has a gap.",
            "The controller {{ $labels.instance }} has dropped lines of the audit journal within the last hour.",
        ),
    ),
)
