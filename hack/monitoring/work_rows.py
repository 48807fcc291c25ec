"""Rows of the dashboard about what is worked on: queue, runs, repositories and locks, callbacks."""

from __future__ import annotations

from hack.monitoring.panel import Panel, Query, Row, quantiles

QUEUE = Row(
    "Queue",
    (
        Panel(
            "Waiting jobs",
            "Jobs that wait, by queue (namespace/name). Past 200 queues they are counted together as `other`.",
            "short",
            (Query("holdfast_queue_pending{$T}", "{{queue}}"),),
            stacked=True,
        ),
        Panel(
            "Running jobs",
            "Jobs that hold a slot, by queue, and those that an outside queue such as Kueue limits in its place.",
            "short",
            (
                Query("holdfast_queue_running{$T}", "{{queue}}"),
                Query("holdfast_queue_outside{$T} > 0", "{{queue}}, by an outside queue"),
            ),
            stacked=True,
        ),
        Panel(
            "Wait until start",
            "From the creation of a job to the start of its first attempt.",
            "s",
            quantiles("holdfast_enqueue_to_start_seconds", 0.5, 0.99),
        ),
    ),
)

RUNS = Row(
    "Runs",
    (
        Panel(
            "Jobs by phase",
            "All jobs that there are, by what they are doing.",
            "short",
            (Query("sum by (phase) (holdfast_jobs{$T})", "{{phase}}"),),
            stacked=True,
        ),
        Panel(
            "Attempts started and ended",
            "Attempts whose command was let go, and those that are over, by outcome.",
            "ops",
            (
                Query("sum(rate(holdfast_attempts_started_total{$T}[$__rate_interval]))", "started"),
                Query("sum by (outcome) (instance_outcome:holdfast_attempts_ended:rate5m{$T})", "{{outcome}}"),
            ),
        ),
        Panel(
            "Run time",
            "Run time of attempts that are over.",
            "s",
            quantiles("holdfast_run_duration_seconds", 0.5, 0.99),
        ),
        Panel(
            "Launches",
            "Launches by result; transient ones are tried again.",
            "ops",
            (Query("sum by (result) (rate(holdfast_launches_total{$T}[$__rate_interval]))", "{{result}}"),),
        ),
        Panel(
            "Launch time",
            "From the start of a launch until its supervisor is on its own.",
            "s",
            quantiles("holdfast_launch_duration_seconds", 0.99),
        ),
        Panel(
            "Lost attempts and decisions",
            "Attempts that were lost in the last hour, by the policy that decided what followed; jobs that wait for a "
            "person now.",
            "short",
            (
                Query("sum by (policy) (increase(holdfast_losses_total{$T}[1h]))", "lost: {{policy}}"),
                Query("sum(holdfast_jobs_needing_decision{$T})", "wait for a person"),
            ),
            width=12,
        ),
        Panel(
            "Oldest decision",
            "How long the job has waited that has waited longest for a person; after an hour an alert rings.",
            "s",
            (Query("max(holdfast_oldest_decision_seconds{$T})", "oldest"),),
            steps=((3600, "red"),),
            width=12,
        ),
        Panel(
            "Failures by queue",
            "Attempts that failed or were lost lately: the ten most frequent reasons; `holdfast failures` has more.",
            "short",
            (
                Query(
                    'topk(10, max by (name, reason) (holdfast_recent_failures{$T,scope="queue"}) > 0)',
                    "{{name}} {{reason}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Failures by repository",
            "The same by repository.",
            "short",
            (
                Query(
                    'topk(10, max by (name, reason) (holdfast_recent_failures{$T,scope="repository"}) > 0)',
                    "{{name}} {{reason}}",
                ),
            ),
            width=12,
        ),
    ),
)

REPOSITORIES = Row(
    "Repositories and locks",
    (
        Panel(
            "Holders of locks",
            "Current holders by mode, and those that are silent: their pushes are refused, and they keep the lock.",
            "short",
            (
                Query("sum by (mode) (holdfast_lock_holders{$T})", "{{mode}}"),
                Query("sum(holdfast_lock_holders_fenced{$T})", "silent"),
            ),
        ),
        Panel(
            "Grants and releases",
            "Locks given, by mode, and given back, by reason.",
            "ops",
            (
                Query("sum by (mode) (rate(holdfast_lock_grants_total{$T}[$__rate_interval]))", "granted: {{mode}}"),
                Query(
                    "sum by (reason) (rate(holdfast_lock_releases_total{$T}[$__rate_interval])) > 0",
                    "released: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Repositories with an alert",
            "How many repositories have which alert.",
            "short",
            (Query("sum by (alert) (holdfast_repository_alerts{$T})", "{{alert}}"),),
            steps=((1, "red"),),
        ),
        Panel(
            "Operations on mirrors",
            "Clones, fetches and verifications that ended.",
            "ops",
            (
                Query(
                    "sum by (type, result) (rate(holdfast_repository_operations_total{$T}[$__rate_interval]))",
                    "{{type}} {{result}}",
                ),
            ),
        ),
        Panel(
            "Duration of operations",
            "99 of 100 are shorter.",
            "s",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le, type)"
                    " (rate(holdfast_repository_operation_duration_seconds_bucket{$T}[$__rate_interval])))",
                    "{{type}}",
                ),
            ),
        ),
        Panel(
            "Size of mirrors",
            "The ten largest.",
            "bytes",
            (Query("topk(10, holdfast_repository_size_bytes{$T})", "{{repository}}"),),
        ),
    ),
)

CALLBACKS = Row(
    "Callbacks",
    (
        Panel(
            "Callbacks by phase",
            "Failed ones were given up: `holdfast callbacks redeliver --failed` sends them again.",
            "short",
            (Query("sum by (phase) (holdfast_callbacks{$T})", "{{phase}}"),),
        ),
        Panel(
            "Tries",
            "Tries that were recorded, by what came of them.",
            "ops",
            (Query("sum by (result) (rate(holdfast_callback_tries_total{$T}[$__rate_interval]))", "{{result}}"),),
            stacked=True,
        ),
        Panel(
            "In flight, waiting, open circuits",
            "Tries that are being made; due ones that wait for room at their host; hosts that failed time after time.",
            "short",
            (
                Query("sum(holdfast_callbacks_in_flight{$T})", "in flight"),
                Query("sum(holdfast_callbacks_waiting{$T})", "waiting"),
                Query("sum(holdfast_callback_open_circuits{$T})", "open circuits"),
            ),
        ),
        Panel(
            "Duration of tries",
            "99 of 100 are shorter.",
            "s",
            quantiles("holdfast_callback_try_duration_seconds", 0.99),
            width=12,
        ),
        Panel(
            "From the event to its delivery",
            "From the Callback's creation to the receiver having it.",
            "s",
            quantiles("holdfast_callback_latency_seconds", 0.5, 0.99),
            width=12,
        ),
    ),
)
