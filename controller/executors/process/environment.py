"""The environment of a job: a clean base, then the spec's variables, then names that only Holdfast sets (design 6).

Nothing of the controller's own environment reaches a job but what is listed here (requirement 3.7).
"""

from __future__ import annotations

import os
from typing import Literal

from controller.executors.base import LaunchSpec
from controller.executors.process.identity import boot_id, container, machine_id
from controller.executors.process.records import Attempt
from controller.executors.process.tree import MARKER

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def attempt_record(
    spec: LaunchSpec, path: str, state_id: str, now: float, *, home: Literal["private", "user"], search_path: str
) -> Attempt:
    """What goes into attempt.json.

    Args:
        path: the run directory to be.
        now: wall clock in seconds since the epoch.
        home: HOME is a directory of the attempt, or the user's.
        search_path: PATH of a job that does not set its own.
    """
    limits = spec.limits
    return Attempt(
        id=str(spec.attempt),
        state_id=state_id,
        machine=machine_id(),
        boot=boot_id(),
        namespace=spec.namespace,
        job=spec.job,
        argv=tuple(spec.argv),
        env=_environment(spec, path, home, search_path),
        cwd=spec.working_dir or f"{path}/work",
        secret_names=tuple(spec.secret_env),
        deadline_seconds=limits.deadline_seconds,
        grace_seconds=limits.grace_seconds,
        memory_bytes=limits.memory_bytes,
        cpu=limits.cpu,
        open_files=limits.open_files,
        output_bytes=limits.output_bytes,
        created_at=now,
        annotations=dict(spec.annotations),
        container=container(),
    )


def _environment(spec: LaunchSpec, path: str, home: Literal["private", "user"], search_path: str) -> dict[str, str]:
    return {
        "PATH": search_path,
        "LANG": "C.UTF-8",
        "TMPDIR": f"{path}/tmp",
        "HOME": f"{path}/home" if home == "private" else os.path.expanduser("~"),
        **spec.env,
        # Last: the sweep finds the processes of an attempt by this marker.
        "HOLDFAST_NAMESPACE": spec.namespace,
        "HOLDFAST_JOB": spec.job,
        MARKER: str(spec.attempt),
    }
