"""Alerts about what the controller works on: jobs, locks, repositories, callbacks."""

from __future__ import annotations

from hack.monitoring.rule import Alert, Group

JOBS = Group(
    "holdfast.jobs",
    (
        Alert(
            "HoldfastQueueStuck",
            # Where something runs, waiting is what a queue is for. Half an hour is longer than a fetch or a ramp takes.
            "holdfast_queue_pending > 0 and holdfast_queue_running == 0 and holdfast_queue_paused == 0"
            " unless holdfast_queue_outside > 0",
            1800,
            "warning",
            "Jobs wait and none runs.",
            "{{ $value }} jobs wait in the queue {{ $labels.queue }}, which is not paused, and none has run for 30 "
            "minutes.",
        ),
        Alert(
            "HoldfastAdmissionClosed",
            # A degraded controller says the reason by an alert of its own.
            "holdfast_admission_gate_open == 0"
            ' unless on (job, instance) holdfast_degraded{reason!="RecoveryFailed"} == 1'
            " unless on (job, instance) holdfast_leader == 0",  # one that stands by admits nothing
            600,
            "critical",
            "No job is admitted.",
            "The controller {{ $labels.instance }} has admitted no job for 10 minutes.",
        ),
        Alert(
            "HoldfastDecisionTooOld",
            # Its Event told somebody; an hour later nobody has answered.
            "holdfast_oldest_decision_seconds > 3600",
            300,
            "warning",
            "A job waits for a person.",
            "The job that has waited longest for a decision has done so for {{ $value | humanizeDuration }}.",
        ),
        Alert(
            "HoldfastLockSilent",
            # The lease (5 minutes by default) is over before a holder is fenced.
            "holdfast_lock_holders_fenced > 0",
            300,
            "warning",
            "A holder of a repository's lock is silent.",
            "{{ $value }} holders are neither proved alive nor proved dead: their pushes are refused, and they keep "
            "the lock.",
        ),
        Alert(
            "HoldfastLockUnsound",
            # Rebuilding a record takes seconds unless a source cannot be read.
            'holdfast_repository_alerts{alert="LockUnsound"} > 0',
            300,
            "critical",
            "The lock of a repository cannot be rebuilt.",
            "The record of the lock of {{ $value }} repositories is absent or damaged, and nothing is granted until "
            "it is rebuilt.",
        ),
        Alert(
            "HoldfastRepositoryTroubled",
            # They have limits of their own (decisions/repository_health.py) and are recorded; this adds patience only.
            'holdfast_repository_alerts{alert!="LockUnsound"} > 0',
            900,
            "warning",
            "A repository's mirror is in trouble.",
            "{{ $value }} repositories have the alert {{ $labels.alert }}.",
        ),
    ),
)

CALLBACKS = Group(
    "holdfast.callbacks",
    (
        Alert(
            "HoldfastCallbacksDeadLettered",
            # A level, not a rate: it stays until somebody has sent them again or deleted them.
            'holdfast_callbacks{phase="Failed"} > 0',
            60,
            "warning",
            "Callbacks were given up.",
            "{{ $value }} callbacks were not delivered by their last try.",
        ),
        Alert(
            "HoldfastCallbacksBackedUp",
            # With 4 tries at once per host, 100 that are due are a minute of a slow receiver; 15 minutes: a broken one.
            "holdfast_callbacks_waiting > 100",
            900,
            "warning",
            "Callbacks pile up.",
            "{{ $value }} callbacks are due and wait for room at their host.",
        ),
    ),
)
