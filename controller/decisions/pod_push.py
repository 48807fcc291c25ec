"""Which Pods cannot publish what their command pushes (requirements 3.7, 4.1, 5.5).

The command runs as the last init container there, and what publishes follows it alone, with the credentials of the
Repository (executors/pod/publishing.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.api.batchjob import BatchJobSpec
from controller.api.repository_use import Push

COMMAND = "main"  # name of the command's container in spec.pod.template
NEEDS_RUNNING = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")  # no init container may have them
SHARING = ("shareProcessNamespace", "hostPID")


def cannot_publish(spec: BatchJobSpec) -> str | None:
    """What of `spec` keeps its push from being published in a Pod, as `field: reason and way out`; None: nothing."""
    push = spec.repository.push if spec.repository is not None else Push.NONE
    if push is Push.MIRROR:
        text = "the mirror is on the controller's host, where a Pod cannot push to it"
        return f"spec.repository.push: {text}; use Upstream, or leave it out"
    if push is not Push.UPSTREAM:
        return None
    template = spec.pod.template if spec.pod is not None else None
    pod = _object(_object(template).get("spec"))
    return _shares(pod) or _beside(pod)


def _shares(pod: Mapping[str, Any]) -> str | None:
    field = next((name for name in SHARING if pod.get(name)), None)
    if field is None:
        return None
    text = "the container that publishes upstream has the Repository's credentials, which others could read then"
    return f"spec.pod.template.spec.{field}: {text}; leave it out, or leave spec.repository.push out"


def _beside(pod: Mapping[str, Any]) -> str | None:
    """Containers start only once the command has ended, as everything that is published has been pushed by then."""
    where = "spec.pod.template.spec.containers"
    for one in map(_object, _list(pod.get("containers"))):
        if one.get("name") != COMMAND:
            text = "would start only after the command, whose push is published upstream"
            return f"{where}[{one.get('name')}]: {text}; make it an init container with restartPolicy Always"
        if (field := next((name for name in NEEDS_RUNNING if one.get(name)), None)) is not None:
            text = "cannot be kept for a command whose push is published upstream, which runs as an init container"
            return f"{where}[{COMMAND}].{field}: {text}; leave it out"
    return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
