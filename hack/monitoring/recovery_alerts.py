"""Alerts about starts: what a recovery found, what it could not do, how long it takes."""

from __future__ import annotations

from hack.monitoring.rule import Alert, Group

RECOVERY = Group(
    "holdfast.recovery",
    (
        Alert(
            "HoldfastDegraded",
            # A full disk has alerts of its own.
            'holdfast_degraded{reason!="DiskFull"} == 1',
            60,
            "critical",
            "The controller runs degraded: nothing is started or removed.",
            "The controller {{ $labels.instance }} is degraded: {{ $labels.reason }}.",
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
    ),
)
