"""The volume that keeps workspace and checkpoints beyond a Pod, for an attempt that goes on in them (requirement 3.5).

Both are directories of one claim below the path that the attempts of one chain share; the kubelet makes them.
"""

from __future__ import annotations

from typing import Any

from controller.executors.base import PodClaim

Object = dict[str, Any]

VOLUME = "kept"
CHECKPOINTS, WORKSPACE = "/checkpoints", "/workspace"  # where the command finds them


def volume(claim: PodClaim) -> Object:
    """Of the Pod."""
    return {"name": VOLUME, "persistentVolumeClaim": {"claimName": claim.name}}


def workspace_mount(claim: PodClaim, path: str = WORKSPACE) -> Object:
    """Of the command's container, and of the one that makes the workspace."""
    return {"name": VOLUME, "mountPath": path, "subPath": f"{claim.path}/workspace"}


def mounts(claim: PodClaim) -> list[Object]:
    """Of the command's container."""
    checkpoints = {"name": VOLUME, "mountPath": CHECKPOINTS, "subPath": f"{claim.path}/checkpoints"}
    return [workspace_mount(claim), checkpoints]
