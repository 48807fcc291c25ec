"""Recording rules: what several panels, or dashboards over many controllers, would compute again and again."""

from __future__ import annotations

from hack.monitoring.rule import Group, Recording

RECORDINGS = Group(
    "holdfast.recordings",
    (
        Recording("instance:holdfast_queue_pending:sum", "sum without (queue) (holdfast_queue_pending)"),
        Recording("instance:holdfast_queue_running:sum", "sum without (queue) (holdfast_queue_running)"),
        Recording(
            "instance_outcome:holdfast_attempts_ended:rate5m",
            "rate(holdfast_attempts_ended_total[5m])",
        ),
        Recording(
            "instance_kind:holdfast_reconcile_duration_seconds:p99_rate5m",
            "histogram_quantile(0.99, rate(holdfast_reconcile_duration_seconds_bucket[5m]))",
        ),
        Recording(
            "instance_verb:holdfast_api_request_duration_seconds:p99_rate5m",
            "histogram_quantile(0.99, rate(holdfast_api_request_duration_seconds_bucket[5m]))",
        ),
        Recording(  # conflicts and objects that are gone are answers, not errors
            "instance:holdfast_api_request_errors:ratio_rate5m",
            'sum without (verb, kind, code) (rate(holdfast_api_requests_total{code=~"5xx|unreachable"}[5m]))'
            " / sum without (verb, kind, code) (rate(holdfast_api_requests_total[5m]))",
        ),
    ),
)
