"""Attempts as Jobs on the node: each of a BatchJob that nobody reconciles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from controller.api.pod_use import PodUse
from controller.executors.base import AttemptId, Executor, LaunchSpec, Limits, PodRequest
from controller.executors.pod.executor import PodExecutor
from controller.executors.pod.names import ATTEMPT_LABEL
from controller.executors.pod.place import OutputPlace
from controller.kube.client import Api
from controller.kube.workloads import Workloads
from controller.telemetry.metrics import Metrics
from hack.node.images import BUSYBOX
from tests.contract.repositories import TARGET, InPods, at_remote

IMAGE = {"image": BUSYBOX, "imagePullPolicy": "Never"}


@dataclass
class _Instance:
    """One executor with its view of the cluster."""

    executor: PodExecutor
    workloads: Workloads
    task: asyncio.Task[None]

    async def close(self) -> None:
        await self.executor.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.workloads.close()


@dataclass
class PodSubject:
    """See the module.

    Args:
        place: a directory that all instances share.
        git: image and address of a git server that Pods reach, asked for where a test needs a repository.
    """

    api: Api
    namespace: str
    place: Path
    git: Callable[[], tuple[str, str]] | None = None
    remove_pods: bool = True
    limit: float = 120.0
    woken: list[AttemptId] = field(default_factory=list)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    made: list[_Instance] = field(default_factory=list)
    repository: InPods | None = None

    @property
    def executor(self) -> Executor:
        return self.made[0].executor

    async def start(self) -> None:
        (await self._instance()).executor.subscribe(self.woken.append)

    async def command(self, *argv: str, **fields: object) -> LaunchSpec:
        return await self.job(dict(IMAGE), *argv, **fields)

    async def job(self, pod: dict[str, object], *argv: str, **fields: object) -> LaunchSpec:
        """An attempt with a spec.pod of its own."""
        name = f"job-{uuid4().hex[:8]}"
        body = {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": name},
            "spec": {"command": ["true"]},
        }
        made = await self.api.create("BatchJob", self.namespace, body)
        uid = made["metadata"]["uid"]
        self.owners[uid] = (self.namespace, name)
        limits = {key: fields.pop(key) for key in list(fields) if key in Limits.__slots__}
        request = PodRequest(PodUse.model_validate(pod))
        spec = LaunchSpec(AttemptId(uid, 1), self.namespace, name, argv, pod=request, **fields)  # type: ignore[arg-type]
        return replace(spec, limits=Limits(**limits))  # type: ignore[arg-type]

    async def in_repository(self, *argv: str) -> LaunchSpec:
        assert self.git is not None
        image, address = self.git()
        self.repository = await asyncio.to_thread(InPods, self.place / "repository", address)
        spec = await self.job({"image": image, "imagePullPolicy": "Never"}, *argv)
        assert spec.pod is not None
        setup, publish = self.repository.setups(str(spec.attempt), image)
        return replace(spec, working_dir=TARGET, pod=replace(spec.pod, setup=setup, publish=publish))

    async def published(self) -> str:
        assert self.repository is not None
        return at_remote(self.repository.upstream)

    async def output(self, spec: LaunchSpec) -> bytes:
        path = self.place / str(spec.attempt) / "output.log"
        return path.read_bytes() if path.exists() else b""

    async def again(self) -> Executor:
        return (await self._instance()).executor

    async def close(self) -> None:
        for made in self.made:
            await made.close()
        if self.repository is not None:
            self.repository.close()

    async def _instance(self) -> _Instance:
        workloads = Workloads(self.api, ATTEMPT_LABEL)
        place = OutputPlace(self.place / f"at-{len(self.made)}" if self.made else self.place, "", "")
        executor = PodExecutor(workloads, place, self.owners.get, remove_pods=self.remove_pods)
        await workloads.fill()
        executor.reattach()
        made = _Instance(executor, workloads, asyncio.create_task(workloads.run()))
        self.made.append(made)
        return made


async def connect(kubeconfig: Path) -> Api:
    """A client of the controller's own."""
    return await Api.connect(kubeconfig, Metrics(), timeout_seconds=20)
