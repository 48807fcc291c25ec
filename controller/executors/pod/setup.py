"""The init container that makes the workspace of an attempt, and the volume that it shares with the command.

It is the first one and ends before any other container begins, so nobody sees its environment: credentials are there
only, by reference (and in the container that publishes, `publishing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.api.units import quantity_value
from controller.executors.base import PodSetup

Object = dict[str, Any]

NAME, VOLUME, SCRATCH = "workspace", "workspace", "workspace-tmp"
RESERVED = (VOLUME, SCRATCH)
MESSAGE_PATH = "/dev/termination-log"
MEMORY = "512Mi"  # git needs it although the command may get along with less
_IDENTITY = ("runAsUser", "runAsGroup", "runAsNonRoot")
_SHARED_RESOURCES = ("cpu", "memory", "ephemeral-storage")  # an extended one, such as a GPU, is the command's alone


def volumes() -> list[Object]:
    """Of the Pod."""
    return [{"name": name, "emptyDir": {}} for name in RESERVED]


def mount(setup: PodSetup) -> Object:
    """Of the command's container."""
    return {"name": VOLUME, "mountPath": setup.mount_path}


def init_container(setup: PodSetup, main: Object, security: Object) -> Object:
    """See the module.

    Args:
        main: the command's container: whose user owns the files, and whose limits hold.
        security: of a container of ours.
    """
    return container(NAME, setup, main, security, [mount(setup), {"name": SCRATCH, "mountPath": "/tmp"}])


def container(name: str, setup: PodSetup, main: Object, security: Object, mounts: Sequence[Object]) -> Object:
    """One of ours with the credentials; arguments as above."""
    who = {name: value for name, value in (main.get("securityContext") or {}).items() if name in _IDENTITY}
    made: Object = {
        "name": name,
        "image": setup.image,
        "command": list(setup.argv),
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}, *_secrets(setup)],
        "workingDir": "/",
        "volumeMounts": list(mounts),
        "terminationMessagePath": MESSAGE_PATH,
        "securityContext": {**security, "readOnlyRootFilesystem": True, **who},
        "resources": _resources(main.get("resources") or {}),
    }
    return made


def _secrets(setup: PodSetup) -> Sequence[Object]:
    found = []
    for name, (key, optional) in setup.secret_env.items():
        reference: Object = {"name": setup.secret, "key": key}
        found.append(
            {"name": name, "valueFrom": {"secretKeyRef": reference | ({"optional": True} if optional else {})}}
        )
    return found


def _resources(main: Object) -> Object:
    limits = _shared(main.get("limits") or {})
    requests = {**limits, **_shared(main.get("requests") or {})}
    if "memory" in limits and _is_little(str(limits["memory"])):
        limits["memory"] = MEMORY
    return {name: value for name, value in (("limits", limits), ("requests", requests)) if value}


def _shared(resources: Mapping[str, Any]) -> Object:
    return {name: value for name, value in resources.items() if name in _SHARED_RESOURCES}


def _is_little(memory: str) -> bool:
    try:
        return quantity_value(memory) < quantity_value(MEMORY)
    except ValueError:  # of the author's template, in a notation that only Kubernetes reads
        return False
