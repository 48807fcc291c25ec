"""Cases of the alerts about jobs, locks, repositories and callbacks."""

from __future__ import annotations

from tests.rules.ringing import Case, Ring

TWO_HOURS = Ring("The job that has waited longest for a decision has done so for 2h 0m 0s.")

CASES = (
    Case(
        "HoldfastQueueStuck",
        "three jobs wait, none runs",
        {
            'holdfast_queue_pending{queue="ci/default"}': "0x9 3x59 2x9",
            'holdfast_queue_running{queue="ci/default"}': "0x68 1x9",
            'holdfast_queue_paused{queue="ci/default"}': "0x90",
        },
        (
            (9, None),
            (35, None),
            (
                42,
                Ring(
                    "3 jobs wait in the queue ci/default, which is not paused, and none has run for 30 minutes.",
                    {"queue": "ci/default"},
                ),
            ),
            (71, None),
        ),
    ),
    Case(
        "HoldfastQueueStuck",
        "it is paused, or one job follows another, or what runs is limited elsewhere",
        {
            'holdfast_queue_pending{queue="ci/team"}': "3x90",
            'holdfast_queue_running{queue="ci/team"}': "0x90",
            'holdfast_queue_paused{queue="ci/team"}': "0x90",
            'holdfast_queue_outside{queue="ci/team"}': "2x90",
            'holdfast_queue_pending{queue="ci/paused"}': "3x90",
            'holdfast_queue_running{queue="ci/paused"}': "0x90",
            'holdfast_queue_paused{queue="ci/paused"}': "1x90",
            'holdfast_queue_pending{queue="ci/default"}': "3x90",
            'holdfast_queue_running{queue="ci/default"}': "0x20 1 0x20 1 0x20 1 0x20",
            'holdfast_queue_paused{queue="ci/default"}': "0x90",
        },
        ((40, None), (80, None)),
    ),
    Case(
        "HoldfastAdmissionClosed",
        "the gate stays shut, then opens",
        {
            "holdfast_admission_gate_open": "1x9 0x19 1x9",
            'holdfast_degraded{reason="DiskFull"}': "0x90",
        },
        (
            (9, None),
            (15, None),
            (22, Ring("The controller h:9400 has admitted no job for 10 minutes.")),
            (31, None),
        ),
    ),
    Case(
        "HoldfastAdmissionClosed",
        "who stands by admits nothing, and who leads has to",
        {"holdfast_admission_gate_open": "0x90", "holdfast_leader": "0x40 1x49"},
        ((40, None), (52, Ring("The controller h:9400 has admitted no job for 10 minutes."))),
    ),
    Case(
        "HoldfastAdmissionClosed",
        "a degraded controller is another alert",
        {
            "holdfast_admission_gate_open": "0x90",
            'holdfast_degraded{reason="OtherCluster"}': "1x90",
            'holdfast_degraded{reason="DiskFull"}': "0x90",
        },
        ((40, None),),
    ),
    Case(
        "HoldfastDecisionTooOld",
        "a job waits for two hours, and is answered",
        {"holdfast_oldest_decision_seconds": "0x9 0+60x120 0x9"},
        (
            (9, None),
            (70, None),
            (
                90,
                Ring("The job that has waited longest for a decision has done so for 1h 20m 0s."),
            ),
            (132, None),
        ),
    ),
    Case(
        "HoldfastDecisionTooOld",
        "a restart in it, before the first look",
        {"holdfast_oldest_decision_seconds": "7200x9 stale 0 7860+60x20"},
        (
            (9, TWO_HOURS),
            (11, None),
            (20, Ring("The job that has waited longest for a decision has done so for 2h 19m 0s.")),
        ),
    ),
    Case(
        "HoldfastLockSilent",
        "two holders, then somebody decides",
        {"holdfast_lock_holders_fenced": "0x9 2x19 0x9"},
        (
            (9, None),
            (12, None),
            (
                17,
                Ring(
                    "2 holders are neither proved alive nor proved dead: their pushes are refused, and they keep the "
                    "lock."
                ),
            ),
            (31, None),
        ),
    ),
    Case(
        "HoldfastLockUnsound",
        "a record cannot be rebuilt, then it can",
        {'holdfast_repository_alerts{alert="LockUnsound"}': "0x9 1x19 0x9"},
        (
            (9, None),
            (12, None),
            (
                17,
                Ring(
                    "The record of the lock of 1 repositories is absent or damaged, and nothing is granted until it is "
                    "rebuilt.",
                    {"alert": "LockUnsound"},
                ),
            ),
            (31, None),
        ),
    ),
    Case(
        "HoldfastRepositoryTroubled",
        "fetches fail, then work again",
        {
            'holdfast_repository_alerts{alert="Failing"}': "0x9 2x29 0x9",
            'holdfast_repository_alerts{alert="LockUnsound"}': "0x9 2x29 0x9",
        },
        (
            (9, None),
            (20, None),
            (28, Ring("2 repositories have the alert Failing.", {"alert": "Failing"})),
            (41, None),
        ),
    ),
    Case(
        "HoldfastCallbacksDeadLettered",
        "four are given up, then sent again",
        {'holdfast_callbacks{phase="Failed"}': "0x9 4x29 0x9", 'holdfast_callbacks{phase="Delivered"}': "7x90"},
        (
            (9, None),
            (10, None),
            (12, Ring("4 callbacks were not delivered by their last try.", {"phase": "Failed"})),
            (41, None),
        ),
    ),
    Case(
        "HoldfastCallbacksDeadLettered",
        "a restart counts them again",
        {'holdfast_callbacks{phase="Failed"}': "0x9 4x9 stale 0 4x9"},
        (
            (9, None),
            (18, Ring("4 callbacks were not delivered by their last try.", {"phase": "Failed"})),
            (21, None),
            (25, Ring("4 callbacks were not delivered by their last try.", {"phase": "Failed"})),
        ),
    ),
    Case(
        "HoldfastCallbacksBackedUp",
        "a slow receiver and a thousand jobs",
        {"holdfast_callbacks_waiting": "0x9 900x29 90x9"},
        (
            (9, None),
            (20, None),
            (28, Ring("900 callbacks are due and wait for room at their host.")),
            (41, None),
        ),
    ),
    Case(
        "HoldfastCallbacksBackedUp",
        "a thousand jobs that end at once",
        {"holdfast_callbacks_waiting": "0x9 900-300x3 0x30"},
        ((11, None), (30, None)),
    ),
)
