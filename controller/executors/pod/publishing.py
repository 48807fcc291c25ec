"""The container that publishes what the command pushed: it runs once that has succeeded, in the same Pod (5.4, 5.5).

Kubernetes itself keeps the order: the command becomes the last init container and this one the Pod's only other. An
init container that fails ends the Pod, so nothing is published then. Until the Pod is over the attempt is not, and it
holds its lock. No other container may see into this one: it has the Repository's credentials.
"""

from __future__ import annotations

from typing import Any

from controller.executors.base import PodSetup
from controller.executors.pod import names, setup

Object = dict[str, Any]

NAME, SCRATCH = "publish", "publish-tmp"
FENCED = "HOLDFAST_FENCED"  # repositories/operations/pod.py reads it
_OURS = (setup.NAME, names.CONTAINER, NAME)


def volumes() -> list[Object]:
    """Of the Pod."""
    return [{"name": SCRATCH, "emptyDir": {}}]


def publish_container(publish: PodSetup, main: Object, security: Object) -> Object:
    """See the module; arguments as for `setup.init_container`.

    It only reads the workspace. The node has its image: that of the container that made the workspace.
    """
    mounts = [{**setup.mount(publish), "readOnly": True}, {"name": SCRATCH, "mountPath": "/tmp"}]
    made = setup.container(NAME, publish, main, security, mounts)
    # The kubelet looks at the Pod's annotations when it starts the container: once the command has ended.
    fenced = {"name": FENCED, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{names.FENCED}']"}}}
    return {**made, "env": [*made["env"], fenced], "imagePullPolicy": "IfNotPresent"}


def arranged(pod: Object, publish: Object) -> Object:
    """`pod` with the command as its last init container, behind the author's, and `publish` in its place.

    Args:
        pod: its first container is the command's.
        publish: of `publish_container`.
    """
    main, *others = pod["containers"]
    before = [one for one in pod.get("initContainers") or [] if one.get("name") not in (names.CONTAINER, NAME)]
    seen = {name: value for name, value in pod.items() if name not in ("shareProcessNamespace", "hostPID")}
    beside = [one for one in others if one.get("name") not in _OURS]
    return {**seen, "initContainers": [*before, main], "containers": [publish, *beside]}
