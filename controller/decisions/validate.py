"""Combinations of fields that the API server cannot judge: the job ends as Failed with reason and message (1.2)."""

from __future__ import annotations

from collections.abc import Callable

from controller.api.batchjob import BatchJobSpec
from controller.api.units import duration_seconds, quantity_value
from controller.decisions.executors import POD, chosen, unsupported
from controller.decisions.inputs import Host

MIN_MEMORY_BYTES = 1024**2  # below this no process starts: certainly a wrong unit (`512` instead of `512Mi`)

Check = Callable[[BatchJobSpec], str | None]


def _durations(spec: BatchJobSpec) -> str | None:
    for field, value in (("spec.deadline", spec.deadline), ("spec.activeDeadline", spec.active_deadline)):
        if value is not None and duration_seconds(value) <= 0:
            return f"{field}: {value} is no time at all; leave it out for no deadline"
    if duration_seconds(spec.retry.backoff) > duration_seconds(spec.retry.max_backoff):
        return f"spec.retry.backoff: {spec.retry.backoff} is over spec.retry.maxBackoff {spec.retry.max_backoff}"
    return None


def _limits(spec: BatchJobSpec) -> str | None:
    if spec.limits.memory is not None and quantity_value(spec.limits.memory) < MIN_MEMORY_BYTES:
        return f"spec.limits.memory: {spec.limits.memory} is below 1Mi; is the unit missing?"
    if quantity_value(spec.limits.output_bytes) < 1:
        return f"spec.limits.outputBytes: {spec.limits.output_bytes} leaves no room for output"
    if spec.limits.cpu is not None and quantity_value(spec.limits.cpu) <= 0:
        return f"spec.limits.cpu: {spec.limits.cpu} is no CPU at all; leave it out for no limit"
    return None


def _texts(spec: BatchJobSpec) -> str | None:
    if not spec.command[0]:
        return "spec.command[0]: is empty; name a program"
    for field, values in (("command", spec.command), ("args", spec.args)):
        for index, value in enumerate(values):
            if "\0" in value:
                return f"spec.{field}[{index}]: holds a NUL character, which no argument can (execve(2))"
    for variable in spec.env:
        if variable.value is not None and "\0" in variable.value:
            return f"spec.env[{variable.name}]: holds a NUL character, which no variable can (execve(2))"
    return None


CHECKS: tuple[Check, ...] = (_durations, _limits, _texts)


def invalid(spec: BatchJobSpec, host: Host) -> tuple[str, str] | None:
    """(reason, message) of the first thing that is wrong with `spec`, None where it can run here."""
    executor = chosen(spec, host)
    if executor not in host.executors:
        known = ", ".join(sorted(host.executors))
        return "ExecutorNotEnabled", f"spec.executor: {executor} is not enabled here; enabled: {known}"
    if executor == POD and spec.pod is None:
        return "InvalidSpec", "spec.pod.image: is required, as jobs run as Pods here"
    if executor == POD and (message := unsupported(spec, host)) is not None:
        return "Unsupported", message
    for check in CHECKS:
        if (message := check(spec)) is not None:
            return "InvalidSpec", message
    return None
