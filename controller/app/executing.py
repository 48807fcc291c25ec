"""Where attempts run: the enabled executors behind the one that reconcilers know."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from controller.app.foundation import Foundation
from controller.decisions.executors import POD, PROCESS, recorded
from controller.decisions.inputs import Host
from controller.executors.base import AttemptId, Executor
from controller.executors.pod.executor import PodExecutor
from controller.executors.pod.names import ATTEMPT_LABEL
from controller.executors.pod.place import OutputPlace
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.rundir import RunDir
from controller.executors.routing import RoutingExecutor
from controller.kube.client import Api
from controller.kube.workloads import Workloads
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Executing:
    """See the module.

    Args:
        executor: what reconcilers work with.
        process: the one of this host, None where it is not enabled.
        pods: the one of the cluster, None where it is not enabled.
        cluster: its Jobs and Pods.
        host: what decisions are told of where attempts run.
    """

    executor: RoutingExecutor
    process: ProcessExecutor | None
    pods: PodExecutor | None
    cluster: Workloads | None
    host: Host
    _runs: Path
    _outputs: OutputPlace | None

    def output(self, attempt: AttemptId) -> Path:
        """The output file of an attempt of this host."""
        return Path(RunDir(str(self._runs / str(attempt))).output)

    def output_location(self, attempt: AttemptId) -> str:
        """Where people find an attempt's output: `host:path`, or a URL."""
        if self._outputs is not None and self.executor.name_of(attempt) == POD:
            return self._outputs.location(attempt)
        return f"{self.host.name}:{self.output(attempt)}"

    async def reattach(self, carried: set[str]) -> None:
        """After a start: find what runs. Raises Transient.

        Args:
            carried: attempts that live processes carry.
        """
        if self.process is not None:
            await self.process.reattach(carried)
        if self.pods is not None and self.cluster is not None:
            await self.cluster.fill()
            self.pods.reattach()

    async def close(self) -> None:
        """Stop looking; what runs goes on."""
        if self.pods is not None and self.cluster is not None:
            await self.pods.close()
            await self.cluster.close()


def executing(base: Foundation, api: Api, state_id: str) -> Executing:
    """Make the enabled executors; nothing runs yet."""
    settings, process, pods, cluster, outputs = base.settings, None, None, None, None
    settings.runs.mkdir(mode=0o700, parents=True, exist_ok=True)  # looked at also where no attempt runs on this host
    executors: dict[str, Executor] = {}
    for name in settings.enabled_executors:
        if name == PROCESS:
            process = ProcessExecutor(settings.runs, state_id, settings.sweep_seconds, home=settings.job_home)
            executors[name] = process
        else:
            cluster, outputs = Workloads(api, ATTEMPT_LABEL), _outputs(settings)
            remove_pods = bool(settings.pod_output)
            pods = PodExecutor(cluster, outputs, partial(_owner, base), remove_pods=remove_pods)
            executors[name] = pods
    host = Host(
        state_id,
        socket.gethostname(),
        settings.running_record_delay_ms / 1000,
        settings.start_timeout_seconds,
        frozenset(executors),
        next(iter(executors)),
        settings.workspace_image,
    )
    routing = RoutingExecutor(executors, partial(_recorded, base))
    return Executing(routing, process, pods, cluster, host, settings.runs, outputs)


def _outputs(settings: Settings) -> OutputPlace:
    """A directory that is named is shared by all who may lead, the default one is this host's."""
    local = settings.home / "output"
    if "://" in settings.pod_output:
        return OutputPlace(local, settings.pod_output, "")
    if settings.pod_output:
        return OutputPlace(Path(settings.pod_output), "", "")
    return OutputPlace(local, "", socket.gethostname())


def _owner(base: Foundation, uid: str) -> tuple[str, str] | None:
    key = base.scheduler.owner(uid)
    return (key.namespace, key.name) if key is not None else None


def _recorded(base: Foundation, attempt: AttemptId) -> str | None:
    key = base.scheduler.owner(attempt.job_uid)
    job = base.store.job(key) if key is not None else None
    return recorded(job.status, attempt.number) if job is not None else None
